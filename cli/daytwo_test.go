package cli

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"quorate/internal/conformance"
	"quorate/planner"
)

// note is a job that leaves a line among the effects: what was done, by which task and
// on which host.
func note(what string) string {
	return `RUN: 'echo "` + what + ` $QUORATE_TASK@$QUORATE_HOST" >> $EFFECTS'`
}

// dayTwoFiles are a deployment whose file "web.conf" is delivered by one task, which
// reloads what reads it, and required by others: on the same hosts and on another one.
func dayTwoFiles() map[string]string {
	return map[string]string{
		"services/web.yaml": `id: web
version: "1.0"
type: service
tasks:
  - id: options
    driver: directord
    provides: [web.options]
    jobs:
      - ADD: options.yaml options.yaml
      - CACHEFILE: options.yaml
  - id: conf
    driver: directord
    provides: [web.conf]
    requires: [web.options]
    jobs:
      - ` + note("before") + `
      - ADD: web.conf web.conf
      - RUN: '$HOLD'
      - ` + note("reload") + `
  - id: start
    driver: directord
    provides: [web.start]
    requires: [web.conf]
    jobs:
      - ` + note("restart") + `
  - id: check
    driver: directord
    requires: [web.start]
    jobs:
      - ` + note("check") + `
  - id: other
    driver: directord
    requires: [web.options]
    jobs:
      - ` + note("other") + `
  - id: listen
    driver: directord
    requires: [web.options]
    jobs:
      - ` + note("listen {{ port }} {{ list | join }}") + `
`,
		"services/front.yaml": `id: front
version: "1.0"
type: service
tasks:
  - id: probe
    driver: directord
    requires: [web.conf]
    jobs:
      - ` + note("probe") + `
`,
		"services/web.conf": "one\n", "services/options.yaml": "port: 80\nlist: [1, 2]\n",
		"inventory.yaml": "hosts:\n  host-1: {role: web}\n  host-2: {role: web}\n  edge-1: {role: front}\n",
		"roles.yaml":     "web:\n  services: [web]\nfront:\n  services: [front]\n",
	}
}

// A site is a cluster and the files of its deployment, which a test edits.
type site struct {
	*cluster
	input string
	files map[string]string
	seen  int // effects
}

// newSite starts a cluster for a deployment. Its jobs know the file of effects, and end
// at $HOLD where a test holds them.
func newSite(t *testing.T, log string, files map[string]string, hosts ...string) *site {
	t.Helper()
	s := &site{cluster: newCluster(t, log, hosts...), files: files}
	s.input = filepath.Join(s.dir, "input")
	s.edit()
	return s
}

// edit writes the files; edits are of a file, what to replace in it, and what by.
func (s *site) edit(edits ...string) {
	s.t.Helper()
	for i := 0; i < len(edits); i += 3 {
		before := s.files[edits[i]]
		s.files[edits[i]] = strings.ReplaceAll(before, edits[i+1], edits[i+2])
		if s.files[edits[i]] == before {
			s.t.Fatalf("%s does not hold %q", edits[i], edits[i+1])
		}
	}
	words := strings.NewReplacer("$EFFECTS", filepath.Join(s.dir, "effects"),
		"$HOLD", fmt.Sprintf("while test -e %s; do sleep 0.02; done", filepath.Join(s.dir, "hold")))
	out := map[string]string{}
	for name, text := range s.files {
		out[name] = words.Replace(text)
	}
	writeFiles(s.t, s.input, out)
}

// sources name the files on a command line.
func (s *site) sources(more ...string) []string {
	return append([]string{"-s", filepath.Join(s.input, "services"), "-i", filepath.Join(s.input, "inventory.yaml"), "-r", filepath.Join(s.input, "roles.yaml")}, more...)
}

// effects are those that came since the last call, sorted.
func (s *site) effects() string {
	s.t.Helper()
	text, err := os.ReadFile(filepath.Join(s.dir, "effects"))
	if err != nil && !os.IsNotExist(err) {
		s.t.Fatal(err)
	}
	lines := strings.Split(strings.TrimSuffix(string(text), "\n"), "\n")
	if len(text) == 0 {
		lines = nil
	}
	fresh := lines[s.seen:]
	s.seen = len(lines)
	slices.Sort(fresh)
	return strings.Join(fresh, "\n")
}

// wants fails where what was done since the last look is not this, in any order.
func (s *site) wants(what string, lines ...string) {
	s.t.Helper()
	slices.Sort(lines)
	if got := s.effects(); got != strings.Join(lines, "\n") {
		s.t.Errorf("%s: was done\n%s\nwant\n%s", what, got, strings.Join(lines, "\n"))
	}
}

// apply applies the files and wants an exit code.
func (s *site) apply(code int, flags ...string) *command {
	s.t.Helper()
	apply := s.command(append([]string{"apply"}, s.sources(flags...)...)...)
	if got := apply.code(); got != code {
		s.t.Fatalf("apply %v: want exit %d: %s", flags, code, apply)
	}
	return apply
}

// done writes effects of a job on hosts.
func done(what string, steps ...string) (lines []string) {
	for _, step := range steps {
		lines = append(lines, what+" "+step)
	}
	return lines
}

// everything is what the first run of dayTwoFiles does on web hosts.
func everything(hosts ...string) (lines []string) {
	for _, h := range hosts {
		lines = append(lines, "before web-conf@"+h, "reload web-conf@"+h, "restart web-start@"+h, "check web-check@"+h, "other web-other@"+h, "listen 80 12 web-listen@"+h)
	}
	return lines
}

// reloaded is what follows from another web.conf on web hosts.
func reloaded(hosts ...string) (lines []string) {
	for _, h := range hosts {
		lines = append(lines, "reload web-conf@"+h, "restart web-start@"+h)
	}
	return lines
}

const probed = "probe front-probe@edge-1"

// day applies the files as they are, and wants that and no more done. That is what plan
// says before, apart from web-options, whose jobs leave no line here.
func (s *site) day(what string, flags []string, lines ...string) {
	s.t.Helper()
	foretold := s.foretold(flags...)
	s.apply(0, flags...)
	var steps []string
	for _, line := range lines {
		steps = append(steps, line[strings.LastIndex(line, " ")+1:])
	}
	slices.Sort(steps)
	if want := slices.Compact(steps); !slices.Equal(foretold, want) {
		s.t.Errorf("%s: plan says that %v run, want %v", what, foretold, want)
	}
	s.wants(what, lines...)
}

// foretold are the steps that plan says would run.
func (s *site) foretold(flags ...string) (steps []string) {
	s.t.Helper()
	plan := s.command(append([]string{"plan", "-o", "json", "--detailed-exitcode"}, s.sources(flags...)...)...)
	code := plan.code()
	var view planner.PlanView
	if err := json.Unmarshal(plan.out.Bytes(), &view); err != nil {
		s.t.Fatalf("plan: %v: %s", err, plan)
	}
	runs := 0
	for _, task := range view.Tasks {
		if task.Action == planner.ActionRun {
			runs++
		}
		for _, host := range task.RunsOn {
			if task.ID != "web-options" {
				steps = append(steps, task.ID+"@"+host)
			}
		}
	}
	if want := map[bool]int{true: exitChanges}[runs > 0]; code != want {
		s.t.Errorf("plan of %d tasks that would run: want exit %d: %s", runs, want, plan)
	}
	slices.Sort(steps)
	return steps
}

// TestDayTwo tells the days of a deployment after its first: each apply does what follows
// from the edit before it, and nothing else.
func TestDayTwo(t *testing.T) {
	t.Parallel()
	s := newSite(t, logEmbedded, dayTwoFiles(), "host-1", "host-2", "host-3", "edge-1")
	s.day("the first run", nil, append(everything("host-1", "host-2"), probed)...)
	s.day("nothing was edited", nil)

	s.edit("services/web.conf", "one", "two")
	s.day("a file", nil, append(reloaded("host-1", "host-2"), probed)...)
	s.edit("services/web.conf", "two", "one")
	s.day("the file as it was", nil, append(reloaded("host-1", "host-2"), probed)...)
	s.edit("services/web.yaml", "echo \"check", "echo \"look")
	s.day("a command", nil, done("look", "web-check@host-1", "web-check@host-2")...)
	s.edit("services/web.yaml", "echo \"look", "echo \"check")
	s.day("the command as it was", nil, done("check", "web-check@host-1", "web-check@host-2")...)

	writeFiles(t, s.dir, map[string]string{"host-1/root/web.conf": "drifted\n"})
	s.apply(0)
	s.wants("a file that drifted", append(reloaded("host-1"), probed)...)
	if text, err := os.ReadFile(filepath.Join(s.dir, "host-1", "root", "web.conf")); string(text) != "one\n" {
		t.Errorf("the file that drifted is %q, %v", text, err)
	}

	s.edit("services/web.conf", "one", "three")
	s.day("one host", []string{"--limit", "host-1"}, reloaded("host-1")...)
	s.day("the other hosts", nil, append(reloaded("host-2"), probed)...)
	s.edit("services/web.conf", "three", "four")
	s.day("one task", []string{"--restrict", "web-conf"}, done("reload", "web-conf@host-1", "web-conf@host-2")...)
	s.day("the other tasks", nil, append(done("restart", "web-start@host-1", "web-start@host-2"), probed)...)
	s.day("with a task left out between two", []string{"--restrict", "web-conf,web-check"})
	s.day("with all left out that is required", []string{"--restrict", "web-check,front-probe"})
	s.day("after runs of some tasks", nil)

	s.edit("inventory.yaml", "host-2: {role: web}", "host-2: {role: web}\n  host-3: {role: web}")
	s.day("a host more", nil, append(everything("host-3"), probed)...)
	s.day("nothing was edited after all that", nil)
	s.apply(0, "--force", "--restrict", "web-other")
	s.wants("by force", done("other", "web-other@host-1", "web-other@host-2", "web-other@host-3")...)
}

// TestDayTwoOptions: a changed option reaches who uses it, and restarts nobody else.
func TestDayTwoOptions(t *testing.T) {
	conformance.Case(t, conformance.TaskCore, "22")
	t.Parallel()
	s := newSite(t, logEmbedded, dayTwoFiles(), "host-1", "host-2", "edge-1")
	s.apply(0)
	s.effects()
	s.edit("services/options.yaml", "port: 80", "port: 81")
	s.day("an option", nil, done("listen 81 12", "web-listen@host-1", "web-listen@host-2")...)
	s.edit("services/options.yaml", "[1, 2]", "[1, 2, 3]")
	s.day("a list", nil, done("listen 81 123", "web-listen@host-1", "web-listen@host-2")...)
	s.edit("services/options.yaml", "81", "80", "services/options.yaml", "[1, 2, 3]", "[1, 2]")
	s.day("options as they were", nil, done("listen 80 12", "web-listen@host-1", "web-listen@host-2")...)
}

// TestDayTwoInterrupted: what is due after a changed file is done once, whatever comes
// in between.
func TestDayTwoInterrupted(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		log     string
		victims []string
	}{{logEmbedded, []string{"host-1"}}, {logRaft, []string{"server"}}, {logRaft, []string{"server", "host-1"}}} {
		t.Run(tt.log+" "+strings.Join(tt.victims, " and "), func(t *testing.T) {
			t.Parallel()
			s := newSite(t, tt.log, dayTwoFiles(), "host-1", "host-2", "edge-1")
			s.apply(0)
			s.effects()
			s.edit("services/web.conf", "one", "two")
			apply := s.held(t)
			s.kill(tt.victims...)
			s.release(t)
			s.restart(tt.victims...)
			retryUnknown(t, s.cluster, apply)
			s.wants("killed between the file and the restart", append(reloaded("host-1", "host-2"), probed)...)
			s.apply(0)
			s.wants("afterwards")
		})
	}
}

// held applies, and returns when the file is there on both hosts and what follows from it
// is held.
func (s *site) held(t *testing.T) *command {
	t.Helper()
	writeFiles(t, s.dir, map[string]string{"hold": ""})
	apply := s.command(append([]string{"apply"}, s.sources()...)...)
	want := s.files["services/web.conf"]
	eventually(t, "the new file", func() bool {
		select {
		case <-apply.done:
			t.Fatalf("the run ended before the file: %s", apply)
		default:
		}
		for _, host := range []string{"host-1", "host-2"} {
			if text, _ := os.ReadFile(filepath.Join(s.dir, host, "root", "web.conf")); string(text) != want {
				return false
			}
		}
		return true
	})
	return apply
}

func (s *site) release(t *testing.T) {
	t.Helper()
	if err := os.Remove(filepath.Join(s.dir, "hold")); err != nil {
		t.Fatal(err)
	}
}

// TestDayTwoCancelled: a run that is cancelled between the file and the restart leaves
// the restart to the next.
func TestDayTwoCancelled(t *testing.T) {
	t.Parallel()
	s := newSite(t, logEmbedded, dayTwoFiles(), "host-1", "host-2", "edge-1")
	s.apply(0)
	s.effects()
	s.edit("services/web.conf", "one", "two")
	apply := s.held(t)
	if cancel := s.command("run", "cancel", "latest", "--yes"); cancel.code() != 0 {
		t.Fatalf("cancel: %s", cancel)
	}
	apply.code()
	s.release(t)
	s.wants("cancelled")
	s.kill("host-2") // what is due is not only in its memory
	s.restart("host-2")
	s.connected("host-2")
	s.apply(0)
	s.wants("the next run", append(reloaded("host-1", "host-2"), probed)...)
	s.apply(0)
	s.wants("the one after it")
}

// TestDayTwoFailure: a run goes on where the last one failed, and does not repeat what
// that had done.
func TestDayTwoFailure(t *testing.T) {
	t.Parallel()
	files := dayTwoFiles()
	files["services/web.yaml"] = strings.Replace(files["services/web.yaml"], "- RUN: '$HOLD'\n", "- "+note("first")+"\n      - RUN: '$HOLD; test ! -e $EFFECTS.fail'\n", 1)
	s := newSite(t, logEmbedded, files, "host-1", "host-2", "edge-1")
	s.apply(0)
	s.effects()
	s.edit("services/web.conf", "one", "two")
	writeFiles(t, s.dir, map[string]string{"effects.fail": ""})
	s.apply(exitRunFailed)
	s.wants("a failure", done("first", "web-conf@host-1", "web-conf@host-2")...)
	s.apply(exitRunFailed)
	s.wants("it fails again")
	if err := os.Remove(filepath.Join(s.dir, "effects.fail")); err != nil {
		t.Fatal(err)
	}
	s.apply(0)
	s.wants("it is mended", append(reloaded("host-1", "host-2"), probed)...)
	s.apply(0)
	s.wants("afterwards")
}

// TestDayTwoOrchestrate: orchestrations keep Directord's rule, by which what was done once
// is not done again.
func TestDayTwoOrchestrate(t *testing.T) {
	t.Parallel()
	s := newSite(t, logEmbedded, map[string]string{
		"play.yaml": "- targets: [host-1]\n  jobs:\n    - ADD: web.conf web.conf\n    - " + note("restart") + "\n    - " + note("one") + "\n",
		"web.conf":  "one\n",
	}, "host-1")
	orchestrate := func() {
		t.Helper()
		if o := s.command("orchestrate", filepath.Join(s.input, "play.yaml")); o.code() != 0 {
			t.Fatalf("orchestrate: %s", o)
		}
	}
	orchestrate()
	s.wants("the first run", "one play-1@host-1", "restart play-1@host-1")
	s.edit("web.conf", "one", "two")
	orchestrate()
	s.wants("a file")
	s.edit("play.yaml", "one $", "two $")
	orchestrate()
	s.wants("a command", "two play-1@host-1")
	s.edit("play.yaml", "two $", "one $")
	orchestrate()
	s.wants("the command as it was")
}
