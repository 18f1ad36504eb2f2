package cli

import (
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"quorate/internal/conformance"
)

// soakRounds is how often a kill test is repeated: QUORATE_SOAK times, or a few.
func soakRounds(t *testing.T) int {
	if text := os.Getenv("QUORATE_SOAK"); text != "" {
		n, err := strconv.Atoi(text)
		if err != nil {
			t.Fatalf("QUORATE_SOAK: %v", err)
		}
		return n
	}
	if testing.Short() {
		return 1
	}
	return 2
}

// killHosts are the hosts of the kill tests' deployment.
var killHosts = []string{"host-1", "host-2"}

// killTasks and killJobs are the tasks of it and the jobs in each. No task may
// be repeated: a job that ran twice shows in the file of effects.
const (
	killTasks = 4
	killJobs  = 3
)

// writeDeployment writes a chain of tasks, each job of which writes a line to
// the effects file before and after some work.
func writeDeployment(t *testing.T, dir, effects string) []string {
	t.Helper()
	var services strings.Builder
	services.WriteString("id: chain\nversion: \"1.0\"\ntype: service\ntasks:\n")
	for task := range killTasks {
		fmt.Fprintf(&services, "  - id: t%d\n    driver: directord\n    provides: [chain.t%d]\n", task, task)
		if task > 0 {
			fmt.Fprintf(&services, "    requires: [chain.t%d]\n", task-1)
		}
		services.WriteString("    jobs:\n")
		for job := range killJobs {
			fmt.Fprintf(&services, "      - RUN: echo \"begin $QUORATE_TASK $QUORATE_HOST %d\" >> %s; sleep 0.15; echo \"end $QUORATE_TASK $QUORATE_HOST %d\" >> %s\n", job, effects, job, effects)
		}
	}
	var inventory strings.Builder
	inventory.WriteString("hosts:\n")
	for _, h := range killHosts {
		fmt.Fprintf(&inventory, "  %s: {role: node}\n", h)
	}
	files := map[string]string{"services/chain.yaml": services.String(), "inventory.yaml": inventory.String(), "roles.yaml": "node:\n  services: [chain]\n"}
	writeFiles(t, dir, files)
	return []string{"-s", filepath.Join(dir, "services"), "-i", filepath.Join(dir, "inventory.yaml"), "-r", filepath.Join(dir, "roles.yaml")}
}

func writeFiles(t *testing.T, dir string, files map[string]string) {
	t.Helper()
	for name, text := range files {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
}

// checkEffects wants the beginning and the end of every job exactly once.
func checkEffects(t *testing.T, path string) {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	counts := map[string]int{}
	for line := range strings.Lines(string(text)) {
		counts[strings.TrimSpace(line)]++
	}
	want := 0
	for _, host := range killHosts {
		for task := range killTasks {
			for job := range killJobs {
				for _, edge := range []string{"begin", "end"} {
					want++
					line := fmt.Sprintf("%s chain-t%d %s %d", edge, task, host, job)
					if counts[line] != 1 {
						t.Errorf("%q happened %d times, want once", line, counts[line])
					}
				}
			}
		}
	}
	if len(counts) != want {
		t.Errorf("%d different effects, want %d", len(counts), want)
	}
}

// killTest deploys while it kills and restarts victims, several times at random
// moments, and wants every effect once, the run succeeded, and the log sound.
func killTest(t *testing.T, victims func(r *rand.Rand) []string) {
	t.Parallel()
	for _, seed := range killSeeds(t) {
		t.Logf("QUORATE_SEED=%d go test ./cli -run '^%s$'", seed, t.Name())
		t.Run(fmt.Sprintf("seed %d", seed), func(t *testing.T) {
			killRound(t, rand.New(rand.NewPCG(seed, 1)), []string{logEmbedded, logRaft}[seed%2], victims)
		})
	}
}

// killSeeds are of the rounds of a kill test: QUORATE_SEED, or even and odd ones in turn,
// which have different logs.
func killSeeds(t *testing.T) (seeds []uint64) {
	t.Helper()
	if text := os.Getenv("QUORATE_SEED"); text != "" {
		seed, err := strconv.ParseUint(text, 10, 64)
		if err != nil {
			t.Fatalf("QUORATE_SEED: %v", err)
		}
		return []uint64{seed}
	}
	for round := range soakRounds(t) {
		seeds = append(seeds, rand.Uint64()&^1|uint64(round%2))
	}
	return seeds
}

func killRound(t *testing.T, r *rand.Rand, log string, victims func(r *rand.Rand) []string) {
	c := newCluster(t, log, killHosts...)
	effects := filepath.Join(c.dir, "effects")
	args := append([]string{"apply"}, writeDeployment(t, filepath.Join(c.dir, "input"), effects)...)
	apply := c.command(args...)
	progress := func(lines int) func() bool {
		return func() bool {
			select {
			case <-apply.done:
				if apply.code() == exitWaiting {
					return true // for the decision below
				}
				happened, _ := os.ReadFile(effects)
				t.Fatalf("apply ended early: %s\n%s", apply, happened)
			default:
			}
			text, _ := os.ReadFile(effects)
			return strings.Count(string(text), "\n") >= lines
		}
	}
	total := 2 * len(killHosts) * killTasks * killJobs
	for _, at := range []int{1 + r.IntN(total/4), total/3 + r.IntN(total/4)} {
		eventually(t, fmt.Sprintf("%d effects", at), progress(at))
		<-time.After(time.Duration(r.IntN(int(100 * time.Millisecond))))
		names := victims(r)
		c.kill(names...)
		<-time.After(time.Duration(r.IntN(int(300 * time.Millisecond))))
		c.restart(names...)
	}
	retried := retryUnknown(t, c, apply)
	checkEffects(t, effects)
	run, err := c.client.Run(t.Context(), "latest")
	if err != nil {
		t.Fatal(err)
	}
	if s := run.Summary; run.Status != "succeeded" || s.Succeeded != s.Steps || s.Steps != len(killHosts)*killTasks {
		t.Errorf("run is %s: %+v", run.Status, s)
	}
	for _, s := range stepsOf(run, "succeeded") {
		if s.Attempts != 1 && !retried[s.ID] {
			t.Errorf("step %s took %d attempts: its jobs in flight were not adopted", s.ID, s.Attempts)
		}
	}
}

// retryUnknown follows a run to its end, and has what is unknown tried again. An agent
// that dies between the record of a job's start and its fork cannot tell; that the job
// did not take effect then is for the counts of effects to show.
func retryUnknown(t *testing.T, c *cluster, follow *command) (retried map[string]bool) {
	t.Helper()
	retried = map[string]bool{}
	for follow.code() == exitWaiting {
		run, err := c.client.Run(t.Context(), "latest")
		if err != nil {
			t.Fatal(err)
		}
		for _, s := range stepsOf(run, "waiting") {
			t.Logf("step %s is unknown", s.ID)
			retried[s.ID] = true
			if resolve := c.command("run", "resolve", "latest", s.ID, "--as", "retry", "--reason", "the agent was killed"); resolve.code() != 0 {
				t.Fatalf("resolve: %s", resolve)
			}
		}
		follow = c.command("run", "watch", "latest")
	}
	if follow.code() != 0 {
		show := c.command("run", "show", "latest", "-o", "json")
		show.code()
		t.Fatalf("the run: %s\n%s", follow, show)
	}
	return retried
}

// TestKillServer kills the orchestrator in the middle of a run.
func TestKillServer(t *testing.T) {
	killTest(t, func(*rand.Rand) []string { return []string{"server"} })
}

// TestKillAgent kills an agent while its job runs: the job goes on, and the
// restarted agent adopts it.
func TestKillAgent(t *testing.T) {
	conformance.Case(t, conformance.Directord, "47")
	killTest(t, func(r *rand.Rand) []string { return []string{killHosts[r.IntN(len(killHosts))]} })
}

// TestKillBoth kills the orchestrator and all agents at once.
func TestKillBoth(t *testing.T) {
	killTest(t, func(*rand.Rand) []string { return append([]string{"server"}, killHosts...) })
}

// TestKillJob kills an agent and its running job: nobody can know whether the
// job took effect. The run waits, and goes on as the operator says.
func TestKillJob(t *testing.T) {
	t.Parallel()
	for _, as := range []string{"succeeded", "failed", "retry"} {
		t.Run(as, func(t *testing.T) {
			t.Parallel()
			testKillJob(t, as)
		})
	}
}

func testKillJob(t *testing.T, as string) {
	c := newCluster(t, logEmbedded, "host-1")
	effects, pid := filepath.Join(c.dir, "effects"), filepath.Join(c.dir, "pid")
	input := filepath.Join(c.dir, "input")
	writeFiles(t, input, map[string]string{
		"services/one.yaml": "id: one\nversion: \"1.0\"\ntype: service\ntasks:\n" +
			"  - id: long\n    driver: directord\n    provides: [one.long]\n    jobs:\n" +
			"      - RUN: echo before >> " + effects + "\n" +
			"      - RUN: echo long >> " + effects + "; echo $$ > " + pid + ".new; mv " + pid + ".new " + pid + "; test -e " + pid + ".again || sleep 300\n" +
			"      - RUN: echo after >> " + effects + "\n" +
			"  - id: next\n    driver: directord\n    requires: [one.long]\n    jobs:\n      - RUN: echo next >> " + effects + "\n",
		"inventory.yaml": "hosts:\n  host-1: {role: node}\n",
		"roles.yaml":     "node:\n  services: [one]\n",
	})
	apply := c.command("apply", "-s", filepath.Join(input, "services"), "-i", filepath.Join(input, "inventory.yaml"), "-r", filepath.Join(input, "roles.yaml"))
	eventually(t, "the long job", func() bool { _, err := os.Stat(pid); return err == nil })
	text, err := os.ReadFile(pid)
	if err != nil {
		t.Fatal(err)
	}
	leader, err := strconv.Atoi(strings.TrimSpace(string(text)))
	if err != nil {
		t.Fatal(err)
	}
	group, err := syscall.Getpgid(leader)
	if err != nil {
		t.Fatal(err)
	}
	c.kill("host-1")
	if err := syscall.Kill(-group, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	writeFiles(t, c.dir, map[string]string{"pid.again": ""})
	c.restart("host-1")

	if code := apply.code(); code != exitWaiting {
		t.Fatalf("apply: %s", apply)
	}
	hint := "quorate run resolve 1 one-long@host-1 --as"
	if !strings.Contains(apply.err.String(), hint) {
		t.Errorf("apply does not say how to go on, want %q:\n%s", hint, &apply.err)
	}
	resolve := c.command("run", "resolve", "1", "one-long@host-1", "--as", as, "--reason", "looked at the host")
	if code := resolve.code(); code != 0 {
		t.Fatalf("resolve: %s", resolve)
	}
	wait := c.command("run", "wait", "1")
	code := wait.code()
	got, err := os.ReadFile(effects)
	if err != nil {
		t.Fatal(err)
	}
	want := map[string]struct {
		code    int
		effects string
	}{
		"succeeded": {0, "before long after next"},
		"failed":    {exitRunFailed, "before long"},
		"retry":     {0, "before long long after next"},
	}[as]
	if code != want.code {
		t.Errorf("wait: want exit %d: %s", want.code, wait)
	}
	if lines := strings.Join(strings.Fields(string(got)), " "); lines != want.effects {
		t.Errorf("effects %q, want %q", lines, want.effects)
	}
}
