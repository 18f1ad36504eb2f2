package cli

import (
	"bytes"
	"encoding/json"
	"encoding/xml"
	"errors"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"quorate/engine/history"
	"quorate/engine/replay"
)

// incident is the timeline of the run that a soak recorded.
func incident(t *testing.T) *history.Timeline {
	t.Helper()
	log, err := replay.OpenBundle(filepath.Join(repositoryRoot(t), "testdata", "incident", "run-74.tar"))
	if err != nil {
		t.Fatal(err)
	}
	v, err := lookInto(t.Context(), log, theEnd())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = v.close() })
	id, err := v.runNamed("")
	if err != nil || id != 74 {
		t.Fatal(id, err)
	}
	run, err := v.run(t.Context(), id)
	if err != nil {
		t.Fatal(err)
	}
	return run.Timeline()
}

// TestTimelineLooks compares the drawings with what they were, by -update.
func TestTimelineLooks(t *testing.T) {
	t.Parallel()
	tl := incident(t)
	for name, draw := range map[string]func(w io.Writer) error{
		"timeline.svg":  func(w io.Writer) error { return timelineSVG(w, tl) },
		"timeline.json": func(w io.Writer) error { return timelineTrace(w, tl) },
		"timeline.txt": func(w io.Writer) error {
			p := &program{con: &console{out: w, err: w}}
			return errors.Join(p.printTimeline(tl, foldAuto), p.printGantt(tl, foldTask), p.printGantt(tl, foldHost))
		},
	} {
		var got bytes.Buffer
		if err := draw(&got); err != nil {
			t.Fatal(err)
		}
		path := filepath.Join("testdata", "timeline", name)
		if *update {
			if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o755), os.WriteFile(path, got.Bytes(), 0o644)); err != nil {
				t.Fatal(err)
			}
		}
		want, err := os.ReadFile(path)
		if err != nil || !bytes.Equal(want, got.Bytes()) {
			t.Errorf("%s is another one (%v): look at what -update makes of it\n%.4000s", path, err, got.String())
		}
		for line := range strings.Lines(got.String()) {
			if name == "timeline.txt" && len([]rune(line)) > columnsDefault+8 {
				t.Errorf("%q is too wide", line)
			}
		}
	}
}

// TestTimelineSVG: the drawing is well-formed, whatever steps are called.
func TestTimelineSVG(t *testing.T) {
	t.Parallel()
	tl := incident(t)
	for i := range tl.Steps {
		tl.Steps[i].Step += `<&">]]>` + "\x00"
		tl.Steps[i].Reason = tl.Steps[i].Step
	}
	tl.By = "<nobody>"
	var b bytes.Buffer
	if err := timelineSVG(&b, tl); err != nil {
		t.Fatal(err)
	}
	for d := xml.NewDecoder(&b); ; {
		if _, err := d.Token(); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			t.Fatal(err)
		}
	}
}

// TestTimelineTrace holds the trace against what the Trace Event Format asks for: known
// phases, a duration for each complete event, and those of a thread within each other.
func TestTimelineTrace(t *testing.T) {
	t.Parallel()
	var b bytes.Buffer
	if err := timelineTrace(&b, incident(t)); err != nil {
		t.Fatal(err)
	}
	var file struct {
		TraceEvents []struct {
			Name string   `json:"name"`
			Ph   string   `json:"ph"`
			S    string   `json:"s"`
			TS   *float64 `json:"ts"`
			Dur  *float64 `json:"dur"`
			PID  *int     `json:"pid"`
			TID  *int     `json:"tid"`
			Args map[string]any
		} `json:"traceEvents"`
		DisplayTimeUnit string `json:"displayTimeUnit"`
	}
	if err := json.Unmarshal(b.Bytes(), &file); err != nil {
		t.Fatal(err)
	}
	if file.DisplayTimeUnit != "ms" || len(file.TraceEvents) < 50 {
		t.Errorf("unit %q, %d events", file.DisplayTimeUnit, len(file.TraceEvents))
	}
	type span struct{ from, to float64 }
	threads, named := map[[2]int][]span{}, map[int]bool{}
	for _, e := range file.TraceEvents {
		if e.Name == "" || e.TS == nil || e.PID == nil || e.TID == nil {
			t.Fatalf("an event lacks what each has: %+v", e)
		}
		switch e.Ph {
		case "M":
			named[*e.PID] = named[*e.PID] || e.Name == "process_name" && e.Args["name"] != ""
		case "X":
			if e.Dur == nil || *e.Dur < 0 || *e.TS < 0 {
				t.Errorf("%s: from %v for %v", e.Name, e.TS, e.Dur)
				continue
			}
			thread := [2]int{*e.PID, *e.TID}
			threads[thread] = append(threads[thread], span{*e.TS, *e.TS + *e.Dur})
		case "i":
			if !slices.Contains([]string{"g", "p", "t"}, e.S) {
				t.Errorf("%s has the scope %q", e.Name, e.S)
			}
		case "s", "t", "f":
		default:
			t.Errorf("%s has the phase %q", e.Name, e.Ph)
		}
	}
	const rounding = 0.002 // microseconds
	for thread, spans := range threads {
		if !named[thread[0]] {
			t.Errorf("process %d has no name", thread[0])
		}
		for i, a := range spans {
			for _, b := range spans[i+1:] {
				apart := a.to <= b.from+rounding || b.to <= a.from+rounding
				within := a.from <= b.from+rounding && b.to <= a.to+rounding || b.from <= a.from+rounding && a.to <= b.to+rounding
				if !apart && !within {
					t.Errorf("thread %v: %v and %v overlap", thread, a, b)
				}
			}
		}
	}
}
