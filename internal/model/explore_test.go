package model

import (
	"fmt"
	"slices"
	"strings"
)

// A finding is the shortest way to what must not be.
type finding struct {
	invariant int
	why       string
	path      []string
}

func (f *finding) String() string {
	return fmt.Sprintf("invariant %d: %s, after %d moves:\n  %s", f.invariant, f.why, len(f.path), strings.Join(f.path, "\n  "))
}

// An explorer visits every state, nearest first.
type explorer struct {
	m      *machine
	id     map[state]int32
	states []state
	parent []int32
	what   []string

	// Moves without a fault, by the state that they start from.
	first []int32
	to    []int32
}

// explore returns how many states there are, or the first that breaks an
// invariant. More than statesMax is an error: the bounds are to be chosen.
func explore(c config, statesMax int) (states int, found *finding) {
	m, start := newMachine(c)
	x := &explorer{m: m, id: map[state]int32{}}
	m.settle(&start)
	x.visit(start, -1, "")
	for i := 0; i < len(x.states); i++ {
		s := x.states[i]
		if n, why := m.check(&s); n != 0 {
			return len(x.states), &finding{n, why, x.path(int32(i))}
		}
		if len(x.states) > statesMax {
			return len(x.states), &finding{0, fmt.Sprintf("more than %d states", statesMax), nil}
		}
		x.first = append(x.first, int32(len(x.to)))
		m.next(s, func(to state, what string, fault bool) {
			if to == s {
				return
			}
			id := x.visit(to, int32(i), what)
			if !fault {
				x.to = append(x.to, id)
			}
		})
	}
	x.first = append(x.first, int32(len(x.to)))
	if i, ok := x.stuck(); ok {
		return len(x.states), &finding{6, "no way to an end without another fault", x.path(i)}
	}
	if why := m.cl.staleDecision(m.attempts); why != "" {
		return len(x.states), &finding{0, why, nil}
	}
	return len(x.states), nil
}

func (x *explorer) visit(s state, from int32, what string) int32 {
	if id, ok := x.id[s]; ok {
		return id
	}
	id := int32(len(x.states))
	x.id[s] = id
	x.states = append(x.states, s)
	x.parent = append(x.parent, from)
	x.what = append(x.what, what)
	return id
}

func (x *explorer) path(i int32) (path []string) {
	for ; x.parent[i] >= 0; i = x.parent[i] {
		path = append(path, x.what[i]+"   "+x.m.describe(&x.states[i]))
	}
	slices.Reverse(path)
	return path
}

// stuck returns the nearest state from which no end is reached without a fault.
// Where one always is, chance alone leads there.
func (x *explorer) stuck() (int32, bool) {
	n := len(x.states)
	count := make([]int32, n+1)
	for _, t := range x.to {
		count[t+1]++
	}
	for i := range n {
		count[i+1] += count[i]
	}
	back := make([]int32, len(x.to))
	fill := slices.Clone(count)
	for i := range n {
		for _, t := range x.to[x.first[i]:x.first[i+1]] {
			back[fill[t]] = int32(i)
			fill[t]++
		}
	}
	good := make([]bool, n)
	var work []int32
	for i := range n {
		if x.m.over(&x.states[i]) {
			good[i] = true
			work = append(work, int32(i))
		}
	}
	for len(work) > 0 {
		i := work[len(work)-1]
		work = work[:len(work)-1]
		for _, p := range back[count[i]:count[i+1]] {
			if !good[p] {
				good[p] = true
				work = append(work, p)
			}
		}
	}
	i := slices.Index(good, false)
	return int32(i), i >= 0
}

// describe is a state in a few words.
func (m *machine) describe(s *state) string {
	f := &m.cl.folded[s.orch]
	k := m.js.all[m.journal(s)].state
	var tries []string
	for i, t := range m.js.all[m.journal(s)].tries {
		if f.attempts > i {
			tries = append(tries, fmt.Sprintf("outcome %d, journal %d/%d/%v, process %d, effects %b", f.outcome[i], t.phase, t.ended, t.running, s.procs[i], s.effects[i]))
		}
	}
	return fmt.Sprintf("[log seq %d; journal seq %d acked %d floor %d; %s; pending %d, net %d, flags %b]", f.seq, k.Seq, k.Acked, k.Floor,
		strings.Join(tries, "; "), len(m.js.listed[s.pending]), len(m.js.listed[s.net]), s.flags)
}

// staleDecision looks for a decision of any leader in any state that would take
// effect in another one without being due there: a proposal that comes late, or
// twice, or of a leader that was deposed.
func (cl *cluster) staleDecision(attempts int) string {
	for at := range cl.folded {
		if cl.folded[at].attempts >= attempts {
			continue
		}
		for e := range cl.decided {
			due := slices.Contains(cl.folded[at].decisions, e)
			s := cl.replay(cl.folded[at].log)
			index := entry{otherIndex, cl.events[e]}
			if void := foldAt(s, index); void == "" && !due {
				return fmt.Sprintf("%T %+v takes effect where it is not due", cl.events[e], cl.events[e])
			}
		}
	}
	return ""
}
