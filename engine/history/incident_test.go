package history_test

import (
	"io"
	"path/filepath"
	"strings"
	"testing"

	"quorate/engine/history"
	"quorate/engine/replay"
	"quorate/eventlog"
	"quorate/planner"
)

// TestIncident tells the run that a soak recorded, with three orchestrators whose leader
// was killed in the middle of it, an outcome that nobody knew, an operator's word on it,
// and what was skipped for that.
func TestIncident(t *testing.T) {
	t.Parallel()
	files, err := replay.OpenBundle(filepath.Join("..", "..", "testdata", "incident", "run-74.tar"))
	if err != nil {
		t.Fatal(err)
	}
	defer files.Close()
	past, err := replay.New(t.Context(), files)
	if err != nil {
		t.Fatal(err)
	}
	s, err := past.StateAt(t.Context(), past.First()-1)
	if err != nil {
		t.Fatal(err)
	}
	recs := make([]eventlog.Record, past.Last())
	rec := history.NewRecorder(s, files.Run())
	for !rec.Done() && s.Index < past.Last() {
		page, err := files.Records(t.Context(), s.Index+1, 1)
		if err != nil {
			t.Fatal(err)
		}
		recs[s.Index] = page[0]
		if err := past.Fold(t.Context(), s, s.Index+1, rec.Seen); err != nil {
			t.Fatal(err)
		}
	}
	h := rec.Run()
	checkTimeline(t, h, s)
	blob, err := files.Blob(h.Graph.PlanID)
	if err != nil {
		t.Fatal(err)
	}
	data, err := io.ReadAll(blob)
	if err != nil {
		t.Fatal(err)
	}
	plan, err := planner.Decode(data)
	if err != nil || !h.PlanFits(plan) {
		t.Fatal("the bundle's plan is not the run's", err)
	}
	x := &history.Explainer{Run: h, State: s, Plan: plan}
	checkExplanations(t, &history.Explainer{Run: h, State: s}, recs)

	tl := h.Timeline()
	if len(tl.Leaders) != 1 || tl.Leaders[0].Replica != 3 || tl.Elapsed == 0 || len(tl.Critical) == 0 {
		t.Errorf("leaders %v, elapsed %d, path %v", tl.Leaders, tl.Elapsed, tl.Critical)
	}
	for name, want := range map[string][]string{
		"chain-first@a5":  {"failed by the word of local:root", "began to lead", "the machine went down", "resolved as failed"},
		"chain-second@a5": {"was skipped, since chain-first@a5 failed", "chain-second@a5 skipped"},
		"chain-first@a1":  {"chain-first@a1 succeeded on a1", "it waits for nothing"},
	} {
		e := x.Step(name)
		all, cited := e.Answer, false
		for _, ev := range e.Evidence {
			all += "\n" + ev.Text
			cited = cited || strings.HasPrefix(ev.Source, "service.yaml:")
		}
		for _, words := range want {
			if !strings.Contains(all, words) {
				t.Errorf("%s: %q is not said:\n%s", name, words, all)
			}
		}
		if !cited {
			t.Errorf("%s: no line of a file is named", name)
		}
	}
}
