package engine

import (
	"flag"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"quorate/eventlog"
)

var deepFlag = flag.Bool("deep", false, "explore the model up to larger bounds, for minutes")

// TestModel visits every state that one step can get into, up to small bounds:
// a crash and one word of an operator, with -deep also two epochs and one attempt
// given up, and a network in which every message stays for ever, so that it may be lost,
// repeated and overtaken. The invariants are those of the simulation.
func TestModel(t *testing.T) {
	t.Parallel()
	for _, idempotent := range []bool{false, true} {
		t.Run(fmt.Sprintf("idempotent %v", idempotent), func(t *testing.T) {
			t.Parallel()
			bounds := map[string]int{"crash": 1, "resolve": 1}
			if *deepFlag {
				bounds["epoch"], bounds["give up"] = 1, 1
			}
			visited := explore(t, idempotent, bounds)
			t.Logf("%d states", visited)
			if visited < 100 {
				t.Errorf("only %d states were visited", visited)
			}
		})
	}
}

const modelStatesMax = 1_000_000

func explore(t *testing.T, idempotent bool, bounds map[string]int) int {
	seen := map[string]bool{}
	queue := [][]string{nil}
	for i := 0; i < len(queue); i++ {
		path := queue[i]
		m := replayModel(t, idempotent, path)
		if t.Failed() {
			t.Logf("path: %s", strings.Join(path, ", "))
			return len(queue)
		}
		for _, action := range m.actions(path, bounds) {
			next := replayModel(t, idempotent, path)
			next.do(action)
			key := next.key(path, action)
			if seen[key] {
				continue
			}
			seen[key] = true
			if queue = append(queue, append(slices.Clone(path), action)); len(queue) > modelStatesMax {
				t.Errorf("more than %d states", modelStatesMax)
				return len(queue)
			}
		}
		if i%16 != 0 {
			continue // each end is near to one that is looked at
		}
		if m.calm(); len(m.s.active) > 0 {
			t.Logf("path: %s", strings.Join(path, ", "))
			return len(queue)
		}
		m.final()
	}
	return len(queue)
}

// A model is the simulation's world with its chances made choices.
type model struct {
	*simWorld
	reports []eventlog.Event // every report ever made
	sent    map[string]simMessage
}

func replayModel(t *testing.T, idempotent bool, path []string) *model {
	m := &model{sent: map[string]simMessage{}, simWorld: &simWorld{
		lab: newLab(t), rng: rand.New(rand.NewPCG(0, 0)), seen: map[simMove]bool{}, faults: true,
		effects: map[simJob]int{}, byAttempt: map[[2]uint64]int{}, retried: map[simStep]int{},
	}}
	m.enrol(&simAgent{name: "h0"})
	m.run(plan(1, eventlog.PlanTask{Idempotent: idempotent}))
	m.gateway(m.agents[0])
	m.net = nil
	for _, action := range path {
		m.do(action)
	}
	return m
}

// actions lists what can happen next. The names of messages and reports say what
// is in them, so that they mean the same when the path is walked again.
func (m *model) actions(path []string, bounds map[string]int) (out []string) {
	count := func(kind string) (n int) {
		for _, p := range path {
			if p == kind || strings.HasPrefix(p, kind+" as") {
				n++
			}
		}
		return n
	}
	if len(m.s.active) == 0 {
		return nil
	}
	a := m.agents[0]
	if len(m.s.Decide()) > 0 {
		out = append(out, "decide")
	}
	for _, kind := range []string{"epoch", "give up", "cancel"} {
		if count(kind) < bounds[kind] {
			out = append(out, kind)
		}
	}
	if count("crash") < bounds["crash"] {
		out = append(out, "crash as 0", "crash as 1", "crash as 2", "crash as 3")
	}
	st := m.s.Runs[0].Step(0, 0)
	if count("resolve") < bounds["resolve"] && st.Status == Waiting {
		out = append(out, "resolve as retry", "resolve as succeeded")
	}
	for _, e := range a.entries {
		if e.state == simIntent {
			out = append(out, "work")
			break
		}
	}
	out = append(out, "send")
	for i, e := range m.reports {
		if reportSeq(e) != 0 {
			out = append(out, fmt.Sprintf("report %d", i))
		}
	}
	for name := range m.sent {
		out = append(out, name)
	}
	slices.Sort(out)
	return out
}

func (m *model) do(action string) {
	a := m.agents[0]
	var n int
	switch {
	case action == "decide":
		m.propose(m.s.Decide()[0])
	case action == "epoch":
		m.propose(&eventlog.LeaderEstablished{Replica: 2})
	case action == "give up":
		m.giveUp(a)
	case action == "cancel":
		m.propose(&eventlog.RunCancelled{Run: 1})
	case strings.HasPrefix(action, "crash"):
		bits := int(action[len(action)-1] - '0')
		a.crash(func(int) int { bit := bits & 1; bits >>= 1; return bit })
		a.session = "h0" // the messages of the session before may still come
	case strings.HasPrefix(action, "resolve"):
		as := strings.TrimPrefix(action, "resolve as ")
		at := m.s.Runs[0].Step(0, 0).Attempt
		if m.propose(&eventlog.StepResolved{Attempt: at, As: as}) == "" {
			m.retried[simStep{1, 0, 0}]++
		}
	case action == "work":
		a.work(m.rng)
	case action == "send":
		a.session = "h0"
		m.net = nil
		m.gateway(a)
		for _, msg := range m.net {
			m.sent[messageName(msg)] = msg
		}
		m.net = nil
	default:
		if _, err := fmt.Sscanf(action, "report %d", &n); err == nil {
			m.propose(m.reports[n])
		} else {
			a.handle(m.sent[action])
		}
	}
	for _, e := range a.unacked {
		if reportSeq(e) > uint64(len(m.reports)) {
			m.reports = append(m.reports, e)
		}
	}
}

func messageName(m simMessage) string {
	switch {
	case m.dispatch != nil:
		return fmt.Sprintf("dispatch %d epoch %d", m.dispatch.attempt, m.epoch)
	case m.cancel != 0:
		return fmt.Sprintf("cancel %d epoch %d", m.cancel, m.epoch)
	}
	return fmt.Sprintf("ack %d %d epoch %d", m.ack[0], m.ack[1], m.epoch)
}

// key names the state without the indexes that void events shift: attempts and
// epochs by their order. The way there does not matter, except for what is left
// of the bounds.
func (m *model) key(path []string, action string) string {
	a, st := m.agents[0], m.s.Runs[0].Step(0, 0)
	r := m.s.Runs[0]
	var ids, epochs []uint64
	for _, rec := range m.recs {
		if m.s.Attempts[rec.Index] != nil {
			ids = append(ids, rec.Index)
		}
		if rec.Kind == eventlog.KindLeaderEstablished {
			epochs = append(epochs, rec.Index)
		}
	}
	rank := func(list []uint64, id uint64) int {
		n, _ := slices.BinarySearch(list, id+1) // how many are not above it
		return n
	}
	var b strings.Builder
	fmt.Fprint(&b, r.Status(), r.stopped(), st.Status, st.retries, st.unstarted, len(epochs), m.s.Agents[a.id].JournalSeq, ";")
	for _, id := range ids {
		at := m.s.Attempts[id]
		fmt.Fprint(&b, at.Outcome, at.Late, at.Cancel, at.FromJob, at.NextJob, at.Resolved, rank(ids, at.Supersedes), rank(epochs, at.Epoch), len(at.Jobs))
		if e := a.entries[id]; e != nil {
			fmt.Fprint(&b, " is ", e.state, e.next, e.running)
		}
		b.WriteByte(';')
	}
	fmt.Fprint(&b, rank(epochs, a.epochMax), rank(ids, a.floor), a.seq, len(a.unacked), ";")
	var messages []string
	for _, x := range m.sent {
		switch {
		case x.dispatch != nil:
			messages = append(messages, fmt.Sprint("d", rank(ids, x.dispatch.attempt), rank(epochs, x.epoch)))
		case x.cancel != 0:
			messages = append(messages, fmt.Sprint("c", rank(ids, x.cancel), rank(epochs, x.epoch)))
		default:
			messages = append(messages, fmt.Sprint("a", x.ack[0], rank(ids, x.ack[1]), rank(epochs, x.epoch)))
		}
	}
	slices.Sort(messages)
	fmt.Fprint(&b, slices.Compact(messages), m.effects[simJob{simStep{1, 0, 0}, 0}])
	for _, e := range m.reports {
		switch e := e.(type) {
		case *eventlog.JobEnded:
			fmt.Fprint(&b, "j", rank(ids, e.Attempt), e.Outcome)
		case *eventlog.AttemptEnded:
			fmt.Fprint(&b, "e", rank(ids, e.Attempt), e.Outcome)
		}
	}
	spent := []byte{}
	for _, p := range append(slices.Clone(path), action) {
		if p == "give up" || p == "cancel" || p == "epoch" || strings.Contains(p, " as ") {
			spent = append(spent, p[0], p[1])
		}
	}
	slices.Sort(spent)
	b.Write(spent)
	return b.String()
}
