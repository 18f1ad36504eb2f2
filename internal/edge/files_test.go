package edge

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"
)

// TestFilesComeAhead cuts the link of an agent that was sent two steps, of which the second
// puts a file there, when the agent has all of the file: both are done while the link is
// away. Those of another run wait for their file behind such a cut, and are not failed.
func TestFilesComeAhead(t *testing.T) {
	beside(t)
	const bytes = 5_000_000
	s := newSite(t, 1, 1, Conditions{Delay: size(roundTrip, 60*time.Millisecond) / 2, BytesPerSecond: 4_000_000})
	a, link := s.Agents()[0], s.links[0]
	here := func(digest string) bool {
		info, err := os.Stat(filepath.Join(a.Dir, "blobs", digest[:2], digest))
		return err == nil && info.Size() == bytes
	}
	first, run := s.chainOf("first", bytes)
	s.until("the file is at the agent", func() bool { return here(first) })
	link.Cut()
	s.write("first-gate", "")
	s.until("both steps are done without a link", func() bool { return len(s.effects().lines()) == 2 })
	if r := s.show(run); r.Status != "running" {
		t.Errorf("behind the cut the run is %s", r.Status)
	}
	link.Mend()
	s.ended(run)
	if got := digestOf(t, filepath.Join(a.Dir, "root", "first")); got != first {
		t.Errorf("the file has SHA-256 %s, want %s", got, first)
	}

	second, run := s.chainOf("second", bytes)
	s.until("some of the file is at the agent", func() bool {
		_, err := os.Stat(filepath.Join(a.Dir, "blobs", second[:2], second+".part"))
		return err == nil
	})
	link.Cut()
	s.write("second-gate", "")
	s.until("the first of the steps is done without a link", func() bool { return len(s.effects().lines()) == 3 })
	link.Mend()
	s.ended(run)
	if n := len(s.effects().lines()); n != 4 || !here(second) {
		t.Errorf("%d effects, want 4", n)
	}
}

// chainOf begins a run of two tasks: one waits for a gate, the next puts a file of so many
// bytes on the agent. Each leaves a line.
func (s *site) chainOf(name string, bytes int64) (digest, run string) {
	digest, _ = s.shipment(name, bytes)
	effect := "echo " + name + " >> " + string(s.effects())
	text := fmt.Sprintf("- name: gate\n  jobs:\n    - RUN: until test -e %s/%s-gate; do sleep 0.02; done; %s\n", s.Dir, name, effect) +
		fmt.Sprintf("- name: file\n  jobs:\n    - ADD: %s %s\n    - RUN: %s\n", name, name, effect)
	return digest, s.begin("orchestrate", "--ignore-cache", s.write(name+".yaml", text))
}

// ended waits for the end of a run, which has to be a success by first attempts.
func (s *site) ended(run string) {
	s.t.Helper()
	s.until("run "+run+" ends", func() bool { return settled(s.show(run)) })
	r := s.show(run)
	if r.Status != "succeeded" {
		s.t.Errorf("run %s: %s, %+v", run, r.Status, r.Summary)
	}
	for _, task := range r.Tasks {
		for _, step := range task.Steps {
			if step.Attempts != 1 {
				s.t.Errorf("step %s took %d attempts, want 1", step.ID, step.Attempts)
			}
		}
	}
}
