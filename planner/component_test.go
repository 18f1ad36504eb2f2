package planner_test

import (
	"crypto/sha256"
	"encoding/hex"
	"slices"
	"testing"

	"quorate/internal/job"
	"quorate/planner"
)

// TestComponentTravelsWithItsJobs: what a verb brings is in each of its jobs, and
// once among the inputs and the blobs. Where nothing uses the verb it stays at home.
func TestComponentTravelsWithItsJobs(t *testing.T) {
	description := []byte("{}")
	sum := sha256.Sum256(description)
	digest := hex.EncodeToString(sum[:])
	brings := []job.Content{
		{Input: "components/mine", Path: "elsewhere/mine.sh", File: job.File{Name: job.ComponentFile, Digest: digestOfSame, Size: 7, Mode: 0o700}},
		{Input: "components/mine.json", Bytes: description, File: job.File{Name: job.DescriptionFile, Digest: digest, Size: 2, Mode: 0o600}},
	}
	lookup := func(name string) (*job.Declaration, bool) {
		switch name {
		case "MINE":
			return &job.Declaration{Verb: name, Positional: job.FreeText, Executable: true, Brings: brings, TimeoutSeconds: 9}, true
		case "BROKEN":
			return &job.Declaration{Verb: name, Problem: "the component x cannot be used: it says nothing"}, true
		}
		return verbs(name)
	}
	o := compileGroups(t, "- targets: [a, b]\n  jobs:\n    - mine: x\n    - MINE: --timeout 3 y\n    - ECHO: z\n", planner.Options{Verbs: lookup})
	o.wantPlan(t, "play-1")
	jobs := o.task(t, "play-1").Jobs
	for i, timeout := range []uint32{9, 3} {
		spec := &jobs[i].Spec
		executable, described, ok := spec.Component()
		if spec.Verb != "MINE" || !ok || executable != brings[0].File || described != brings[1].File || spec.TimeoutSeconds != timeout {
			t.Errorf("job %d is %+v", i+1, spec)
		}
	}
	if _, _, ok := jobs[2].Spec.Component(); ok {
		t.Error("ECHO brings a component")
	}
	var names []string
	for _, in := range o.Plan.Inputs {
		names = append(names, in.Name)
	}
	if want := []string{"components/mine", "components/mine.json", "o.yaml"}; !slices.Equal(names, want) {
		t.Errorf("inputs %q, want %q", names, want)
	}
	found := 0
	for _, b := range o.inputs.Blobs() {
		if b.Digest == digest && string(b.Content) == "{}" || b.Digest == digestOfSame && b.Path == "elsewhere/mine.sh" && b.Size == 7 {
			found++
		}
	}
	if found != 2 {
		t.Errorf("%d of two blobs are there", found)
	}
	unused := compileGroups(t, "- targets: [a]\n  jobs: [ECHO: z]\n", planner.Options{Verbs: lookup})
	if len(unused.Plan.Inputs) != 1 {
		t.Errorf("inputs %v", unused.Plan.Inputs)
	}
	broken := compileGroups(t, "- targets: [a]\n  jobs: [BROKEN: z]\n", planner.Options{Verbs: lookup})
	broken.wantLines(t, planner.Error, "component: orchestration 1, job 1: the component x cannot be used: it says nothing")
}

const digestOfSame = "a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5"
