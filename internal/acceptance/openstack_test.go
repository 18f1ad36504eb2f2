package acceptance

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"quorate/engine/api"
	"quorate/internal/soak/lab"
)

// corpusDir is where the corpus lies beside this project. It is not ours, and nothing
// of it is here.
const corpusDir = "../../../shared/corpus/task-core/openstack"

// applyTimeout is how long a run may take before the test gives up and says where it is.
const applyTimeout = "5m"

// standIns are the programs that the corpus calls and that a machine of tests must not
// run, or does not have.
var standIns = []string{
	"cinder-manage", "crudini", "curl", "dnf", "galera_new_cluster", "glance-manage", "iptables", "iptables-save",
	"keystone-manage", "mysql", "neutron-db-manage", "nova-manage", "openstack", "os-net-config", "pgrep",
	"placement-manage", "restorecon", "setenforce", "setsebool", "swift-ring-builder", "systemctl", "timedatectl",
	"tripleo-repos", "update-ca-trust",
}

// A sandbox is where agents run so that the machine stays as it is.
type sandbox struct {
	dir    string // what the machines in it share
	script string
}

// newSandbox makes one with the stand-ins in it, or skips the test.
func newSandbox(t *testing.T) *sandbox {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("the agents run in mount namespaces, which need root")
	}
	s := &sandbox{dir: t.TempDir()}
	var err error
	if s.script, err = filepath.Abs("testdata/sandbox"); err != nil {
		t.Fatal(err)
	}
	for _, dir := range []string{"bin", "record"} {
		if err := os.Mkdir(filepath.Join(s.dir, dir), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	for from, to := range map[string]string{"testdata/stand-in": "bin/stand-in", "testdata/packages": "packages"} {
		text, err := os.ReadFile(from)
		if err == nil {
			err = os.WriteFile(filepath.Join(s.dir, to), text, 0o755)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	for _, name := range standIns {
		if err := os.Symlink("stand-in", filepath.Join(s.dir, "bin", name)); err != nil {
			t.Fatal(err)
		}
	}
	argv := s.wrap(t.TempDir(), "probe", []string{"sh", "-c", "command -v dnf && hostname -s && touch /etc/of-the-sandbox"})
	out, err := exec.Command(argv[0], argv[1:]...).CombinedOutput()
	if err != nil {
		t.Skipf("namespaces, overlays and the like are not to be had here: %v: %s", err, out)
	}
	if want := filepath.Join(s.dir, "bin/dnf") + "\nprobe\n"; string(out) != want {
		t.Fatalf("the sandbox says %q, want %q", out, want)
	}
	if _, err := os.Stat("/etc/of-the-sandbox"); err == nil {
		t.Fatal("the sandbox writes to this machine")
	}
	return s
}

// wrap makes a command run in it, on a machine of a name that writes below keep.
func (s *sandbox) wrap(keep, name string, argv []string) []string {
	return append([]string{"unshare", "--mount", "--uts", "--propagation", "private", s.script, s.dir, name, keep}, argv...)
}

// calls reads what was recorded so far.
func (s *sandbox) calls(t *testing.T) []call {
	t.Helper()
	calls, err := readCalls(filepath.Join(s.dir, "record/calls"))
	if err != nil {
		t.Fatal(err)
	}
	return calls
}

// The OpenStack services of Task-Core's examples, unchanged, are applied to four
// agents: all of their 103 tasks end well, and what they called on the four machines
// came in an order that keeps every "requires".
func TestOpenStack(t *testing.T) {
	if testing.Short() {
		t.Skip("the services take half a minute")
	}
	if _, err := os.Stat(corpusDir); err != nil {
		t.Skipf("the corpus is not beside this project: %v", err)
	}
	s := newSandbox(t)
	l := startLab(t, lab.Options{
		Agents:       4,
		AgentName:    func(n int) string { return fmt.Sprintf("task-core-%d", n) },
		AgentCommand: func(l *lab.Lab, name string, argv []string) []string { return s.wrap(l.Dir, name, argv) },
		Env:          []string{"STAND_IN_RECORD=" + filepath.Join(s.dir, "record"), "STAND_IN_PACKAGES=" + filepath.Join(s.dir, "packages")},
	})
	files := []string{
		"-s", filepath.Join(corpusDir, "services"), "-i", filepath.Join(corpusDir, "basic/basic_inventory.yaml"),
		"-r", filepath.Join(corpusDir, "basic/basic_roles.yaml"),
	}
	var plan planView
	quorate(t, l, &plan, append([]string{"plan", "-o", "json"}, files...)...)
	if len(plan.Tasks) != 103 || len(plan.Hosts) != 4 {
		t.Fatalf("%d tasks on %d hosts, want 103 on 4", len(plan.Tasks), len(plan.Hosts))
	}
	_, failed := l.Run(t.Context(), l.Servers()[0], append([]string{"apply", "-o", "ndjson", "--timeout", applyTimeout}, files...)...)
	var run api.Run
	quorate(t, l, &run, "run", "show", "1", "-o", "json")
	ended := 0
	for _, task := range run.Tasks {
		if task.Status == "succeeded" {
			ended++
			continue
		}
		for _, step := range task.Steps {
			if step.Status != "succeeded" && step.Status != "pending" {
				t.Errorf("%s is %s after %d of its jobs: %s", step.ID, step.Status, len(step.Jobs), step.Reason)
			}
		}
	}
	if failed != nil || run.Status != "succeeded" || ended != len(plan.Tasks) {
		t.Fatalf("%d of %d tasks, run %s, waiting for %v: %v", ended, len(plan.Tasks), run.Status, run.WaitingFor, failed)
	}
	calls := s.calls(t)
	for _, fault := range judge(&plan, calls) {
		t.Error(fault)
	}
	jobs := jobsOf(t, &plan, filepath.Join(corpusDir, "services"))
	for _, fault := range missed(jobs, calls) {
		t.Error(fault)
	}
	rendered := 0
	for _, j := range jobs {
		rendered += j.checkRendered(t, l)
	}
	t.Logf("%d jobs, %d calls, %d templates, %d ms", run.Summary.Jobs, len(calls), rendered, run.ElapsedMS)
	daysAfter(t, l, s)
}

// quorate runs a command on the first orchestrator and reads its answer.
func quorate(t *testing.T, l *lab.Lab, answer any, args ...string) {
	t.Helper()
	out, err := l.Run(t.Context(), l.Servers()[0], args...)
	if err == nil {
		err = json.Unmarshal(out, answer)
	}
	if err != nil {
		t.Fatalf("quorate %s: %v", strings.Join(args, " "), err)
	}
}
