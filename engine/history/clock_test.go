package history

import (
	"math"
	"slices"
	"testing"

	"quorate/eventlog"
)

// TestClock puts jobs of agents whose clocks are wrong on the log's: scheduled at 1000,
// with results on record at 1300 and 1500, and the end at 1600.
func TestClock(t *testing.T) {
	t.Parallel()
	type span struct{ from, to int64 }
	for name, c := range map[string]struct {
		jobs   []span // started and how long, by the agent
		want   []span
		clock  Clock
		offset int64
	}{
		"right":              {jobs: []span{{1100, 150}, {1260, 200}}, want: []span{{1100, 1250}, {1260, 1460}}},
		"within what may be": {jobs: []span{{1001, 150}, {1160, 200}}, want: []span{{1001, 1151}, {1160, 1360}}},
		// It is ahead by between 99990 (the first job may end at 1300) and 100100.
		"ahead":        {jobs: []span{{101100, 150}, {101260, 200}}, want: []span{{1070, 1220}, {1230, 1430}}, clock: ClockMoved, offset: 100030},
		"behind":       {jobs: []span{{100, 150}, {260, 200}}, want: []span{{1070, 1220}, {1230, 1430}}, clock: ClockMoved, offset: -970},
		"jumps ahead":  {jobs: []span{{1100, 150}, {91260, 200}}, want: []span{{1150, 1300}, {1300, 1500}}, clock: ClockJumped},
		"jumps back":   {jobs: []span{{1100, 150}, {-50, 200}}, want: []span{{1150, 1300}, {1300, 1500}}, clock: ClockJumped},
		"never ending": {jobs: []span{{1100, math.MaxInt64}, {1260, 200}}, want: []span{{1000, 1300}, {1300, 1500}}, clock: ClockJumped},
		"negative":     {jobs: []span{{1100, math.MinInt64}, {1260, 200}}, want: []span{{1100, 1100}, {1260, 1460}}},
		"the end of time": {
			jobs: []span{{math.MaxInt64, 150}, {math.MaxInt64, 200}}, want: []span{{1075, 1225}, {1225, 1425}}, clock: ClockMoved, offset: agentTimeMax - 1225,
		},
	} {
		t.Run(name, func(t *testing.T) {
			a := &attempt{Mark: Mark{1, 1000}, ended: Mark{9, 1600}, outcome: eventlog.Succeeded}
			for i, j := range c.jobs {
				a.jobs = append(a.jobs, jobEnd{Mark: Mark{uint64(2 + i), []int64{1300, 1500}[i]}, job: uint32(i), started: j.from, duration: j.to})
			}
			jobs, clock, offset := a.place(1600)
			var got []span
			for _, j := range jobs {
				got = append(got, span{j.from, j.to})
			}
			if clock != c.clock {
				t.Errorf("the clock is judged %d, want %d", clock, c.clock)
			}
			if name != "the end of time" && (!slices.Equal(got, c.want) || offset != c.offset) {
				t.Errorf("jobs at %v, offset %d, want %v, %d", got, offset, c.want, c.offset)
			}
			at := int64(1000)
			for i, j := range got {
				if j.from < at || j.to < j.from || j.to > []int64{1300, 1500}[i] {
					t.Errorf("job %d is at %v", i, j)
				}
				at = j.to
			}
		})
	}
}

// TestParts: what an attempt's time is divided into.
func TestParts(t *testing.T) {
	t.Parallel()
	job := func(index uint64, from, lasted int64) jobEnd {
		return jobEnd{Mark: Mark{index, from + lasted + 5}, started: from, duration: lasted}
	}
	for name, c := range map[string]struct {
		a    attempt
		want Parts
	}{
		"jobs": {
			attempt{ended: Mark{9, 1600}, outcome: eventlog.Succeeded, jobs: []jobEnd{job(2, 1100, 200), job(3, 1310, 200)}},
			Parts{Dispatch: 100, Execution: 400, Between: 10, Report: 90, Network: 190},
		},
		"no job, begun":         {attempt{began: Mark{2, 1200}, ended: Mark{9, 1600}, outcome: eventlog.Cancelled}, Parts{Dispatch: 200, Execution: 400, Network: 200}},
		"lost":                  {attempt{began: Mark{2, 1200}, ended: Mark{9, 1600}, outcome: eventlog.Unknown}, Parts{Dispatch: 200, Report: 400, Network: 600}},
		"never begun":           {attempt{ended: Mark{9, 1600}, outcome: eventlog.NotStarted}, Parts{Dispatch: 600, Network: 600}},
		"under way":             {attempt{jobs: []jobEnd{job(2, 1100, 200)}}, Parts{Dispatch: 100, Execution: 800, Network: 100}},
		"ahead, and its turn":   {attempt{ahead: true, turn: Mark{4, 1300}, jobs: []jobEnd{job(5, 1350, 250)}}, Parts{Dependencies: 300, Dispatch: 50, Execution: 550, Network: 50}},
		"ahead, and waits":      {attempt{ahead: true}, Parts{Dependencies: 900}},
		"ahead, before it told": {attempt{ahead: true, turn: Mark{4, 1300}, jobs: []jobEnd{job(5, 1250, 100)}}, Parts{Dependencies: 250, Execution: 650}},
	} {
		a := c.a
		a.Mark = Mark{1, 1000}
		segments, _, _, _ := a.divide(1900)
		var got Parts
		got.addAll(segments)
		if got != c.want {
			t.Errorf("%s: %+v, want %+v", name, got, c.want)
		}
	}
}

// TestNames: which variables a text speaks of.
func TestNames(t *testing.T) {
	t.Parallel()
	for text, want := range map[string][]string{
		"no template, a.b $HOME":                          nil,
		"{{ a }} and {{b.c['d'] | default(e)}}":           {"a", "b", "e"},
		"{% for x in list if not y %}{{ x }}{% endfor %}": {"list", "x", "y"},
		`{{ "a quoted {{ name" }}{{ v }}`:                 {"v"},
		"{{ a":                                            nil,
	} {
		if got := names(text); !slices.Equal(got, want) {
			t.Errorf("%q speaks of %q, want %q", text, got, want)
		}
	}
	for _, c := range []struct {
		text string
		want bool
	}{
		{"echo $port", true}, {"echo ${port}", true}, {"echo $port_2", false}, {"echo port", false}, {"{{ port }}", true}, {"{{ x.port }}", false},
	} {
		if got := speaksOf(c.text, "port"); got != c.want {
			t.Errorf("%q uses port: %v", c.text, got)
		}
	}
}
