package nodeagent

import (
	"crypto/sha256"
	"os"
	"path/filepath"
	"syscall"
	"testing"

	"github.com/quic-go/quic-go"

	"quorate/internal/job"
	"quorate/nodeagent/journal"
	"quorate/nodeagent/verb"
	"quorate/nodeagent/wire"
)

// service is the message for an attempt of a service's task: each run is another one. A
// text of one word is the content of the file conf, others are commands.
func (o *orchestrator) service(attempt uint64, task string, requires []string, texts ...string) *wire.Dispatch {
	o.t.Helper()
	step := &wire.Step{Run: attempt, Task: task, Host: "host", Service: true, Requires: requires}
	for i, text := range texts {
		j := job.Job{Index: uint32(i), Verb: "RUN", Text: text}
		if filepath.Base(text) == text && len(text) == 1 {
			digest := digestOf(sha256.Sum256([]byte(text)))
			o.update(func() { o.blobs[digest] = []byte(text) })
			j.Verb, j.Text, j.Files = "ADD", "conf conf", []job.File{{Name: "conf", Digest: digest, Size: 1, Mode: 0o644}}
		}
		step.Jobs = append(step.Jobs, j)
	}
	spec, err := wire.EncodeStep(step)
	if err != nil {
		o.t.Fatal(err)
	}
	o.connected()
	o.mu.Lock()
	defer o.mu.Unlock()
	return &wire.Dispatch{Fence: o.fence(), Attempt: attempt, Spec: spec}
}

// runs sends the message, and returns which of the jobs were not left alone, and the
// output.
func (o *orchestrator) runs(m *wire.Dispatch) (ran string, output string) {
	o.t.Helper()
	o.send(m)
	end, jobs := o.ended(m.Attempt)
	if end.Outcome != journal.OutcomeSucceeded || len(end.Output) != wire.OutputBytes {
		o.t.Errorf("attempt %d: %+v", m.Attempt, end)
	}
	for _, j := range jobs {
		if j.Info != verb.InfoSkipped && (j.Changed || j.Outcome != journal.OutcomeSucceeded) {
			ran += string(rune('0' + j.Job))
		}
	}
	return ran, string(end.Output)
}

// TestServiceSteps: behind a file that has changed, and in a step that requires it, jobs
// run that have not changed, once.
func TestServiceSteps(t *testing.T) {
	o := newOrchestrator(t)
	startAgent(t, o, t.TempDir())
	first := []string{"a", "echo reload"}
	id := uint64(10)
	apply := func(content string) (ran, output string) {
		first[0] = content
		id += 2
		r, out := o.runs(o.service(id, "first", nil, first...))
		second, then := o.runs(o.service(id+1, "second", []string{"first"}, "echo restart"))
		return r + " " + second, out + then
	}
	_, installed := apply("a")
	if ran, output := apply("a"); ran != " " || output != installed {
		t.Errorf("nothing has changed, and %q runs", ran)
	}
	ran, changed := apply("b")
	if ran != "01 0" || changed[:wire.OutputBytes] == installed[:wire.OutputBytes] || changed[wire.OutputBytes:] != installed[wire.OutputBytes:] {
		t.Errorf("a file has changed, and %q runs", ran)
	}
	if ran, output := apply("b"); ran != " " || output != changed {
		t.Errorf("behind that %q runs", ran)
	}
	if ran, _ := o.runs(o.service(50, "second", nil, "echo restart")); ran != "" {
		t.Errorf("without what it requires %q runs", ran)
	}
	m := o.service(60, "second", []string{"first"}, "echo restart")
	m.Inputs = []wire.Input{{Task: "third", Output: wire.Sum{1}}}
	if ran, _ := o.runs(m); ran != "0" {
		t.Errorf("behind a step on other hosts %q runs", ran)
	}
}

// TestKilledBehindAFile kills the agent between a file that has changed and the restart
// that follows: that happens once, and nothing else happens again.
func TestKilledBehindAFile(t *testing.T) {
	t.Parallel()
	o := newOrchestrator(t)
	dir := t.TempDir()
	root := filepath.Join(dir, "root")
	jobs := []string{"echo migrate >>log", "a", "echo check >>log; until test -e gate; do sleep 0.02; done", "echo restart >>log"}
	log := func() string { b, _ := os.ReadFile(filepath.Join(root, "log")); return string(b) }
	agent := agentProcess(t, o, dir)
	restart := func(sig os.Signal) {
		_ = agent.Process.Signal(sig)
		_ = agent.Wait()
		var before *quic.Stream
		o.update(func() { before = o.control })
		agent = agentProcess(t, o, dir)
		o.until("another connection", func() bool { return o.control != nil && o.control != before })
	}
	o.connected()
	gate := filepath.Join(root, "gate")
	if err := os.WriteFile(gate, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	o.runs(o.service(10, "task", nil, jobs...))
	restart(syscall.SIGTERM) // by which its memory is written
	_ = os.Remove(gate)
	_ = os.Remove(filepath.Join(root, "log"))
	jobs[1] = "b"
	o.send(o.service(20, "task", nil, jobs...))
	eventually(t, "the job behind the file", func() bool { return log() == "check\n" })
	restart(syscall.SIGKILL)
	if err := os.WriteFile(gate, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if end, _ := o.ended(20); end.Outcome != journal.OutcomeSucceeded || log() != "check\nrestart\n" {
		t.Errorf("%+v, log %q", end, log())
	}
	// Killed before its memory is written it still knows that this has changed.
	restart(syscall.SIGKILL)
	if ran, _ := o.runs(o.service(30, "second", []string{"task"}, "echo second")); ran != "0" {
		t.Errorf("what requires it: %q runs", ran)
	}
	if o.runs(o.service(40, "task", nil, jobs...)); log() != "check\nrestart\n" {
		t.Errorf("log %q", log())
	}
}

// TestMachineDownBehindAFile: the machine goes down when a file was changed, which neither
// the journal nor the memory has on disk. The restart happens in the next run, which finds
// the file as it has to be, and so does what requires the step.
func TestMachineDownBehindAFile(t *testing.T) {
	b := newBootable(t, "")
	b.boot("first")
	b.o.runs(b.o.service(10, "task", nil, "echo migrate", "a", "echo restart"))
	b.o.runs(b.o.service(11, "second", []string{"task"}, "echo second"))
	b.stop()
	j, err := journal.Open(filepath.Join(b.dir, "journal"), "first")
	if err != nil {
		t.Fatal(err)
	}
	err = j.Commit(func(s *journal.State, add func(journal.Record)) error {
		add(&journal.Intended{Attempt: 20, Jobs: 3, Window: 3, Seq: s.Seq + 1, Step: journal.StepName(20, "task", "host")})
		add(&journal.JobStarted{Attempt: 20})
		return nil
	})
	if err == nil {
		err = j.Close()
	}
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(b.dir, "root", "conf"), []byte("b"), 0o644); err != nil {
		t.Fatal(err)
	}
	b.boot("second")
	if end, _ := b.o.ended(20); end.Outcome != journal.OutcomeUnknown {
		t.Errorf("%+v", end)
	}
	if ran, _ := b.o.runs(b.o.service(25, "second", []string{"task"}, "echo second")); ran != "0" {
		t.Errorf("what requires it: %q runs", ran)
	}
	if ran, _ := b.o.runs(b.o.service(30, "task", nil, "echo migrate", "b", "echo restart")); ran != "02" {
		t.Errorf("%q runs", ran) // nobody knows whether the first job has begun again
	}
	if ran, _ := b.o.runs(b.o.service(40, "task", nil, "echo migrate", "b", "echo restart")); ran != "" {
		t.Errorf("behind that %q runs", ran)
	}
}

// TestNotesAreForgotten: the journal forgets attempts that are settled once their records
// are written, while the agent goes on.
func TestNotesAreForgotten(t *testing.T) {
	o := newOrchestrator(t)
	startAgent(t, o, t.TempDir())
	for id := uint64(10); id < 13; id++ {
		o.runs(o.service(id, "task", nil, "a", "echo reload"))
	}
	o.update(func() { o.floor = 12 })
	eventually(t, "a journal without attempts", func() bool {
		sessions := 0
		o.update(func() { sessions = o.sessions })
		o.drop()
		o.until("another connection", func() bool { return o.sessions > sessions && o.control != nil })
		o.mu.Lock()
		defer o.mu.Unlock()
		return len(o.hellos[len(o.hellos)-1].Attempts) == 0
	})
}
