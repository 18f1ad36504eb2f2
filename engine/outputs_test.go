package engine

import (
	"slices"
	"testing"

	"quorate/eventlog"
	"quorate/nodeagent/wire"
	"quorate/planner"
)

// untold is no output.
const untold = -1

// endWith has the newest attempt of a step succeed with an output.
func (l *lab) endWith(r *Run, task uint32, pos, output int) {
	l.t.Helper()
	e := &eventlog.AttemptEnded{Attempt: l.attempt(r, task, pos).ID, Outcome: eventlog.Succeeded}
	if output != untold {
		e.Output = step(output)
	}
	l.ok(e)
}

// step is a step's output.
func step(output int) []byte { return append(make([]byte, wire.OutputBytes-1), byte(output)) }

// sumOf is the sum over hosts and what the steps on them led to, in turn.
func sumOf(pairs ...any) (sum wire.Sum) {
	for i := 0; i < len(pairs); i += 2 {
		sum.Add(pairs[i].(string), step(pairs[i+1].(int)))
	}
	return sum
}

// pairPlan has t0 on h0 and h1 and t1, which requires it, on h2, and t2, which does so,
// on h1 and h2.
func pairPlan(with ...func(tasks []eventlog.PlanTask)) *eventlog.PlanRecorded {
	p := plan(3, eventlog.PlanTask{HostSet: 5}, eventlog.PlanTask{HostSet: 4, Requires: all(0)}, eventlog.PlanTask{HostSet: 6, Requires: all(0)})
	p.HostSets = append(p.HostSets, []uint32{0, 1}, []uint32{1, 2})
	for _, f := range with {
		f(p.Tasks)
	}
	return p
}

func outputLab(t *testing.T, p *eventlog.PlanRecorded, with ...func(*eventlog.RunCreated)) (*lab, *Run) {
	l := newLab(t)
	for _, host := range p.Hosts {
		l.agent(host)
	}
	l.agent("ctl", ControllerLabel)
	r := l.run(p, with...)
	l.decide()
	return l, r
}

// inputs are what the command for the newest attempt of a step tells of tasks elsewhere.
func (l *lab) inputs(r *Run, task uint32, pos int) []Input {
	l.t.Helper()
	return l.s.Command(l.attempt(r, task, pos).ID).Inputs
}

// TestInputs: a step is told what the tasks that it requires have led to where they have
// no step on its own host, in whatever order they ended, and only where all of it is known.
func TestInputs(t *testing.T) {
	t.Parallel()
	want := sumOf("h0", 7, "h1", 8)
	for name, c := range map[string]struct {
		first, second int
		narrowed      bool
		last          int // the step of t0 that ends last
		want          []Input
	}{
		"in order":       {first: 7, second: 8, last: 1, want: []Input{{Output: want}}},
		"in reverse":     {first: 7, second: 8, last: 0, want: []Input{{Output: want}}},
		"one says none":  {first: 7, second: untold, last: 1},
		"all of nothing": {last: 1, want: []Input{{Output: sumOf("h0", 0, "h1", 0)}}},
		"narrowed":       {first: 7, second: 8, last: 1, narrowed: true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			l, r := outputLab(t, pairPlan(func(tasks []eventlog.PlanTask) { tasks[0].Narrowed = c.narrowed }))
			outputs := []int{c.first, c.second}
			l.endWith(r, 0, 1-c.last, outputs[1-c.last])
			l.endWith(r, 0, c.last, outputs[c.last])
			l.decide()
			if got := l.inputs(r, 1, 0); !sameInputs(got, c.want) {
				t.Errorf("h2 is told %v, want %v", got, c.want)
			}
			if got := l.inputs(r, 2, 0); len(got) != 0 {
				t.Errorf("h1, which has a step of the task, is told %v", got)
			}
			if got := l.inputs(r, 2, 1); !sameInputs(got, c.want) {
				t.Errorf("h2 is told %v, want %v", got, c.want)
			}
			if again := recoded(t, l.s); !sameInputs(again.Command(l.attempt(r, 1, 0).ID).Inputs, c.want) {
				t.Error("a state that was read tells something else")
			}
		})
	}
}

func sameInputs(a, b []Input) bool {
	return slices.EqualFunc(a, b, func(a, b Input) bool {
		return a.Task == b.Task && a.Output == b.Output && slices.Equal(a.Open, b.Open)
	})
}

// TestInputsOfWhatIsSentAhead: where steps elsewhere are still under way the attempt is
// told whose ends are to be added, and with these what they led to.
func TestInputsOfWhatIsSentAhead(t *testing.T) {
	t.Parallel()
	l, r := siteLab(t, 3, pairPlan())
	l.decide()
	first, second := l.attempt(r, 0, 0).ID, l.attempt(r, 0, 1).ID
	if got := l.inputs(r, 1, 0); !sameInputs(got, []Input{{Open: []uint64{first, second}}}) {
		t.Fatalf("with both under way it is told %v", got)
	}
	l.endWith(r, 0, 1, 8)
	if got := l.inputs(r, 1, 0); !sameInputs(got, []Input{{Output: sumOf("h1", 8), Open: []uint64{first}}}) {
		t.Errorf("with one under way it is told %v", got)
	}
	if e := l.s.ElsewhereOf(l.attempt(r, 1, 0)); len(e) != 2 || len(e[0].Output) > 0 || !slices.Equal(e[1].Output, step(8)) {
		t.Errorf("of the ends it is told %+v", e)
	}
	l.endWith(r, 0, 0, untold)
	if got := l.inputs(r, 1, 0); len(got) != 0 {
		t.Errorf("with one unknown it is told %v", got)
	}
}

// TestInputsBehindTheEngine: what follows from a task of the engine, or of the controller,
// follows from what that follows from.
func TestInputsBehindTheEngine(t *testing.T) {
	t.Parallel()
	told := func(output int, narrowed bool) []Input {
		p := plan(2, on(0), eventlog.PlanTask{Driver: string(planner.DriverPrint)},
			eventlog.PlanTask{Driver: string(planner.DriverPrint), Requires: all(0, 1), Narrowed: narrowed}, on(1, all(1, 2)...),
			eventlog.PlanTask{Driver: string(planner.DriverLocal)}, on(0, all(4)...))
		l, r := outputLab(t, p)
		l.endWith(r, 0, 0, output)
		l.endWith(r, 4, 0, 5)
		l.decide()
		if got := l.inputs(r, 5, 0); !sameInputs(got, []Input{{Task: 4, Output: sumOf(ControllerLabel, 5)}}) {
			t.Errorf("of the controller's task h0 is told %v", got)
		}
		return l.inputs(r, 3, 0)
	}
	one, other := told(7, false), told(8, false)
	if len(one) != 1 || one[0].Task != 2 || sameInputs(one, other) || !sameInputs(one, told(7, false)) {
		t.Errorf("behind the engine's task h1 is told %v, and %v of another output", one, other)
	}
	if got := told(untold, false); len(got) != 0 {
		t.Errorf("h1 is told %v although the task before is not known", got)
	}
	if got := told(7, true); len(got) != 0 {
		t.Errorf("h1 is told %v although something is left out", got)
	}
}

// TestOutputsAreKeptForARetry: a run that retries another one goes on from what had
// succeeded there; once nothing can follow from it, it is forgotten.
func TestOutputsAreKeptForARetry(t *testing.T) {
	t.Parallel()
	l, r := outputLab(t, pairPlan())
	l.endWith(r, 0, 0, 7)
	l.end(r, 0, 1, eventlog.Failed)
	l.decide()
	if r.Outcome != eventlog.Failed {
		t.Fatalf("the run is %s", r.Status())
	}
	again := l.run(pairPlan(), func(e *eventlog.RunCreated) { e.RetryOf = r.ID })
	l.decide()
	l.endWith(again, 0, 1, 8)
	l.decide()
	if got := l.inputs(again, 1, 0); !sameInputs(got, []Input{{Output: sumOf("h0", 7, "h1", 8)}}) {
		t.Errorf("in the retry h2 is told %v", got)
	}
	l.endWith(again, 1, 0, 1)
	l.endWith(again, 2, 0, 1)
	l.endWith(again, 2, 1, 1)
	l.decide()
	for _, run := range []*Run{r, again} {
		if run.Outcome == 0 || run.Tasks[0].outputs != nil {
			t.Errorf("run %d, %s, remembers what its steps led to", run.ID, run.Status())
		}
	}
}

// TestOutputOfAnEarlierAttempt: what one attempt led to is not taken for what the next one
// did, which has not said it.
func TestOutputOfAnEarlierAttempt(t *testing.T) {
	t.Parallel()
	l, r := outputLab(t, pairPlan())
	first := l.attempt(r, 0, 0).ID
	l.end(r, 0, 0, eventlog.Unknown)
	l.ok(&eventlog.StepResolved{Attempt: first, As: "retry", By: "ann"})
	l.decide()
	l.endWith(r, 0, 0, untold)
	l.endWith(r, 0, 1, 8)
	l.decide()
	l.ok(&eventlog.AttemptEnded{Attempt: first, Outcome: eventlog.Succeeded, Output: step(7)})
	if got := l.inputs(r, 1, 0); len(got) != 0 {
		t.Errorf("h2 is told %v", got)
	}
}

// TestOutputsThatNobodyIsTold: what only steps on the same hosts require takes no memory,
// and what is no output is none.
func TestOutputsThatNobodyIsTold(t *testing.T) {
	t.Parallel()
	l, r := outputLab(t, plan(2, eventlog.PlanTask{}, eventlog.PlanTask{Requires: all(0)}, on(0, all(1)...), on(1, after(1)...)))
	for task := range uint32(2) {
		l.endWith(r, task, 0, 7)
		l.endWith(r, task, 1, 7)
		l.decide()
		if r.Tasks[task].outputs != nil {
			t.Errorf("what task %d led to is kept", task)
		}
	}
	l, r = outputLab(t, pairPlan())
	l.ok(&eventlog.AttemptEnded{Attempt: l.attempt(r, 0, 0).ID, Outcome: eventlog.Succeeded, Output: []byte("short")})
	l.ok(&eventlog.AttemptEnded{Attempt: l.attempt(r, 0, 1).ID, Outcome: eventlog.Failed, Output: step(1)})
	if r.Tasks[0].outputs != nil {
		t.Error("an output of five bytes, or of a failure, counts")
	}
}
