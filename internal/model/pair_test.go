package model

import (
	"bytes"
	"fmt"
	"slices"
	"strings"
	"testing"

	"quorate/engine"
	"quorate/eventlog"
	"quorate/nodeagent/journal"
	"quorate/nodeagent/wire"
)

func clone(s *engine.State) *engine.State {
	var b bytes.Buffer
	if err := s.Encode(&b); err != nil {
		panic(err)
	}
	c, err := engine.DecodeState(&b)
	if err != nil {
		panic(err)
	}
	return c
}

type pairEmit func(to pairState, what string, fault bool)

// next lists everything that can happen; it returns what must not.
func (p *pair) next(st pairState, out pairEmit) (wrong string) {
	s := p.logs.all[st.log]
	for _, e := range p.decisions(st.log) {
		t := st
		t.log = p.fold(st.log, e)
		out(t, fmt.Sprintf("%T", e), false)
	}
	for i := range 2 {
		p.nextLink(s, st, i, out)
		if why := p.nextWork(st, i, out); why != "" {
			wrong = why
		}
	}
	p.nextSite(st, out)
	p.nextPeople(s, st, out)
	return wrong
}

// nextLink is what passes between an agent and the cluster.
func (p *pair) nextLink(s *engine.State, st pairState, i int, out pairEmit) {
	t := st
	if !st.linked[i] {
		t.linked[i] = true
		out(t, fmt.Sprint("agent ", i, " is back"), false)
		return
	}
	if st.used.cuts < p.faults.cuts {
		t.linked[i] = false
		t.used.cuts++
		out(t, fmt.Sprint("agent ", i, " is cut off"), true)
	}
	k := p.disks.all[st.disk[i]]
	for _, m := range p.orders(st.log, i) {
		t = st
		if t.disk[i], _ = p.write(st.disk[i], decide(k, i, m).Records); t != st {
			out(t, fmt.Sprintf("agent %d takes %T", i, m), false)
		}
	}
	t = st
	if p.report(&t, i); t != st {
		out(t, fmt.Sprintf("what agent %d says is committed", i), false)
	}
}

// nextWork is what an agent does by itself.
func (p *pair) nextWork(st pairState, i int, out pairEmit) (wrong string) {
	k := p.disks.all[st.disk[i]]
	do := func(what string, fault bool, r journal.Record, err error, with func(t *pairState)) {
		if err != nil {
			panic(err)
		}
		t := st
		t.disk[i], _ = p.write(st.disk[i], []journal.Record{r})
		if fault {
			t.used.fails++
		}
		with(&t)
		out(t, fmt.Sprint("agent ", i, ": ", what), fault)
	}
	ended := func(attempt uint64, outcome uint8) func(t *pairState) {
		return func(t *pairState) {
			if i == 0 {
				t.ends[tryOf(attempt)] = outcome
			}
		}
	}
	for _, id := range k.Stranded() {
		do("gives back", false, k.GiveBack(id), nil, ended(id, journal.OutcomeNotStarted))
	}
	for _, id := range k.Open() {
		a, _ := k.Attempt(id)
		switch {
		case k.Waits(id):
		case a.Running:
			for _, outcome := range []uint8{journal.OutcomeSucceeded, journal.OutcomeFailed} {
				if failed := outcome == journal.OutcomeFailed; !failed || st.used.fails < p.faults.fails {
					r, err := k.EndJob(wire.Report{Attempt: id, Outcome: outcome})
					do(fmt.Sprint("the attempt ends with ", outcome), failed, r, err, func(t *pairState) {
						r, err := p.disks.all[t.disk[i]].End(id, outcome, "", nil)
						if err != nil {
							panic(err)
						}
						t.disk[i], _ = p.write(t.disk[i], []journal.Record{r})
						ended(id, outcome)(t)
					})
				}
			}
		default:
			if i == 1 {
				wrong = p.mayStart(&st, id)
			}
			r, err := k.StartJob(id, 0, 0)
			do("a job starts", false, r, err, func(t *pairState) { t.started[i][tryOf(id)]++ })
		}
	}
	return wrong
}

// nextSite is what the site hears of the first agent's ends, and the second of the site.
func (p *pair) nextSite(st pairState, out pairEmit) {
	for try, outcome := range st.ends {
		t := st
		switch {
		case outcome == 0:
		case !st.heard[try]:
			t.heard[try] = true
			out(t, "the site hears of an end", false)
		default:
			k := p.disks.all[st.disk[1]]
			for _, q := range k.Elsewhere() {
				if q.Attempt != attemptOf(0, try) && p.mutant != anyNotice {
					continue
				}
				if r, ok := k.EndElsewhere(q.Attempt, outcome, nil); ok {
					t.disk[1], _ = p.write(st.disk[1], []journal.Record{r})
					out(t, "a notice arrives", true) // the cluster tells as well
				}
			}
		}
	}
}

// nextPeople is what operators say.
func (p *pair) nextPeople(s *engine.State, st pairState, out pairEmit) {
	for i := range uint32(2) {
		step := s.Runs[0].Step(i, 0)
		switch {
		case step.Status == engine.Running && st.used.giveUps < p.faults.giveUps:
			t := st
			t.used.giveUps++
			t.log = p.fold(st.log, &eventlog.AttemptEnded{Attempt: step.Attempt, Outcome: eventlog.Unknown, By: "op"})
			out(t, fmt.Sprint("step ", i, " is given up"), true)
		case step.Status == engine.Waiting && st.used.words < p.faults.words:
			for _, as := range []string{"retry", "failed", "succeeded"} {
				t := st
				t.used.words++
				t.log = p.fold(st.log, &eventlog.StepResolved{Attempt: step.Attempt, As: as, By: "op"})
				out(t, fmt.Sprint("step ", i, " is resolved: ", as), true)
			}
		}
	}
}

// explorePair visits every state, nearest first, and returns the first that must not be,
// and how it came about.
func explorePair(p *pair, start pairState, most int) (states int, found string) {
	ids := map[pairState]int{start: 0}
	all, parent, what := []pairState{start}, []int{-1}, []string{""}
	var back [][]int // by state, from where a move without a fault leads there
	back = append(back, nil)
	path := func(i int, why string) string {
		var steps []string
		for ; parent[i] >= 0; i = parent[i] {
			steps = append(steps, what[i])
		}
		slices.Reverse(steps)
		return why + " after\n  " + strings.Join(steps, "\n  ")
	}
	for i := 0; i < len(all); i++ {
		wrong := p.check(&all[i])
		if why := p.next(all[i], func(to pairState, move string, fault bool) {
			id, ok := ids[to]
			if !ok {
				id = len(all)
				ids[to] = id
				all, parent, what, back = append(all, to), append(parent, i), append(what, move), append(back, nil)
			}
			if !fault && id != i {
				back[id] = append(back[id], i)
			}
		}); why != "" {
			wrong = why
		}
		if wrong != "" || len(all) > most {
			return len(all), path(i, wrong)
		}
	}
	good := make([]bool, len(all))
	var work []int
	for i := range all {
		if good[i] = p.over(&all[i]); good[i] {
			work = append(work, i)
		}
	}
	for ; len(work) > 0; work = work[1:] {
		for _, from := range back[work[0]] {
			if !good[from] {
				good[from] = true
				work = append(work, from)
			}
		}
	}
	if i := slices.Index(good, false); i >= 0 {
		return len(all), path(i, "no way to an end without another fault")
	}
	return len(all), ""
}

// TestPair explores two agents of a site, of which one waits for the other.
func TestPair(t *testing.T) {
	worlds := []pairFaults{{cuts: 2, fails: 1}, {cuts: 1, giveUps: 1}, {giveUps: 1, words: 1}}
	if *seedsFlag > 500 {
		worlds = append(worlds, pairFaults{cuts: 1, giveUps: 1, words: 1}, pairFaults{fails: 1, giveUps: 1, words: 1}, pairFaults{giveUps: 2, words: 1})
	}
	for _, f := range worlds {
		p, start := newPair("", f)
		states, found := explorePair(p, start, 500_000)
		t.Logf("%+v: %d states, %d of the log", f, states, len(p.logs.all))
		if found != "" || states < 2000 {
			t.Errorf("%+v: %d states: %s", f, states, found)
		}
	}
}

// TestPairMutants puts bugs into what releases a step: each has to be found.
func TestPairMutants(t *testing.T) {
	for _, m := range []pairMutant{heedless, anyNotice, noEarlyWord} {
		p, start := newPair(m, pairFaults{giveUps: 1, words: 1})
		states, found := explorePair(p, start, 500_000)
		if found == "" {
			t.Errorf("%d states, and nothing is wrong where %s", states, m)
		}
		t.Logf("%s: %s (%d states)", m, found, states)
	}
}
