package engine

import (
	"flag"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"testing"

	"quorate/eventlog"
)

var (
	seedFlag  = flag.Int64("seed", -1, "run the simulation of this seed only")
	seedsFlag = flag.Int("seeds", 200, "how many seeds to simulate")
)

// TestSim runs random plans against model agents through a network that loses,
// repeats and reorders, with crashes of agents and of orchestrators, stale
// proposals, cancels and operators, and holds every step of it against the
// invariants of the dispatch protocol.
func TestSim(t *testing.T) {
	if *seedFlag >= 0 {
		simulate(t, uint64(*seedFlag), map[simMove]bool{})
		return
	}
	seen := map[simMove]bool{}
	var all simTally
	for seed := range *seedsFlag {
		one := simulate(t, uint64(seed), seen)
		all.early += one.early
		all.inputs += one.inputs
		all.open += one.open
		if t.Failed() {
			return
		}
	}
	if all.early == 0 && *seedsFlag >= 200 {
		t.Error("no seed saw a step succeed on record before one elsewhere that it waited for")
	}
	if *seedsFlag >= 200 && (all.inputs == 0 || all.open == 0) {
		t.Errorf("the steps of all seeds followed from %d outputs of tasks elsewhere, %d of which were not whole when they were sent", all.inputs, all.open)
	}
	if *seedsFlag < 5000 {
		return
	}
	for _, m := range stepMoves {
		if !seen[simMove{m.from, m.to, m.by}] {
			t.Errorf("no seed saw a step move from %s to %s by %s", m.from, m.to, m.by)
		}
	}
}

// A simTally counts what is rare, so that a test can tell that it was seen.
type simTally struct {
	early        int // steps that succeeded on record before one elsewhere that they waited for
	inputs, open int // outputs of tasks elsewhere that steps started with, and those with open ones
}

// A simMove is a change of a step's status that was seen.
type simMove struct {
	from, to TaskStatus
	by       eventlog.Kind
}

type simWorld struct {
	*lab
	rng     *rand.Rand
	agents  []*simAgent // by host; the last is the controller
	net     []simMessage
	pending []eventlog.Event // proposals on their way
	stale   []eventlog.Event // decisions to be proposed again
	relays  []uint64         // of sites
	notices []simNotice      // on their way at a site
	cut     map[uint64]bool  // relays whose link is down

	site    bool    // the agents are of one, mostly
	quiet   bool    // most goes well
	failing float64 // chance that a job fails
	faults  bool
	seen    map[simMove]bool
	effects map[simJob]int
	// byAttempt counts the effects of each attempt's jobs.
	byAttempt map[[2]uint64]int
	retried   map[simStep]int
	ends      map[uint64]eventlog.Outcome // of attempts, as their agents know them
	tally     simTally
	request   int
}

type simStep struct {
	run        uint64
	task, host uint32
}

type simJob struct {
	simStep
	job uint32
}

func simulate(t *testing.T, seed uint64, seen map[simMove]bool) simTally {
	w := &simWorld{
		lab: newLab(t), rng: rand.New(rand.NewPCG(seed, 0)), seen: seen, faults: true,
		effects: map[simJob]int{}, byAttempt: map[[2]uint64]int{}, retried: map[simStep]int{}, ends: map[uint64]eventlog.Outcome{},
		cut: map[uint64]bool{},
	}
	defer func() {
		if t.Failed() {
			t.Logf("go test ./engine -run TestSim -seed %d", seed)
		}
	}()
	w.failing = []float64{0, 0.05, 0.3}[w.rng.IntN(3)]
	hosts := 1 + w.rng.IntN(4)
	for h := range hosts {
		w.enrol(&simAgent{name: fmt.Sprintf("h%d", h)})
	}
	w.enrol(&simAgent{name: "ctl"}, ControllerLabel)
	w.site = seed%2 == 1 && hosts > 1
	w.quiet = w.site && seed%4 == 1
	for i := range 3 {
		p := randomPlan(w.rng, fmt.Sprintf("plan-%d", i), hosts)
		if w.site {
			across(w.rng, p)
		}
		if i == 1 {
			enlarge(p)
		}
		w.ok(p)
	}
	if w.site {
		w.relays = append(w.relays, w.relay("near"), w.relay("far"))[:1+w.rng.IntN(2)]
	}
	for range 2000 + w.rng.IntN(3000) {
		w.act()
		if w.t.Failed() {
			return w.tally
		}
	}
	w.calm()
	w.final()
	w.tally.early = w.early()
	return w.tally
}

func (w *simWorld) enrol(a *simAgent, labels ...string) {
	a.w = w
	a.id = w.agent(a.name, labels...)
	a.journal = w.s.Agents[a.id].JournalID
	a.entries = map[uint64]*simEntry{}
	w.agents = append(w.agents, a)
}

// propose appends the event and notes the moves of steps that it made.
func (w *simWorld) propose(e eventlog.Event) string {
	before := w.snapshot()
	void := w.add(e)
	if e, ok := e.(*eventlog.StepScheduled); ok && void == "" && w.s.Agents[e.Agent].Drained() {
		w.t.Errorf("a step is scheduled on agent %d, which is drained", e.Agent)
	}
	i := 0
	for _, r := range w.s.Runs {
		for task := range r.Tasks {
			for pos := range r.Graph.StepCount(uint32(task)) {
				if i == len(before) {
					return void // a new run
				}
				w.moved(e, before[i], r.Step(uint32(task), pos).Status)
				i++
			}
		}
	}
	return void
}

func (w *simWorld) snapshot() (out []TaskStatus) {
	for _, r := range w.s.Runs {
		for task := range r.Tasks {
			for pos := range r.Graph.StepCount(uint32(task)) {
				out = append(out, r.Step(uint32(task), pos).Status)
			}
		}
	}
	return out
}

func (w *simWorld) moved(e eventlog.Event, from, to TaskStatus) {
	if from == to || from == Pending && to == Ready {
		return
	}
	m := simMove{from, to, e.Kind()}
	if from == Running && (m.by == eventlog.KindAgentQuarantined || m.by == eventlog.KindAgentRevoked) {
		m.by = eventlog.KindAttemptEnded // they end what is under way as unknown
	}
	w.seen[m] = true
	if !slices.ContainsFunc(stepMoves, func(x move) bool { return x.from == m.from && x.to == m.to && x.by == m.by }) {
		w.t.Errorf("a step moved from %s to %s by %T", from, to, e)
	}
}

// act does one random thing.
func (w *simWorld) act() {
	a := w.agents[w.rng.IntN(len(w.agents))]
	switch n := w.rng.IntN(1000); {
	case w.quiet && n >= 860 && n < 955 && w.rng.IntN(8) > 0:
	case n < 70:
		w.lead()
	case n < 350:
		a.work(w.rng)
	case n < 450:
		w.gateway(a)
	case n < 600:
		w.deliver()
	case n < 700:
		w.send(a)
	case n < 850:
		w.commit()
	case n < 860:
		a.session = ""
	case n < 885:
		a.crash(w.rng.IntN)
	case n < 910:
		w.operator(w.rng.IntN(3) == 0)
	case n < 935:
		w.giveUp(a)
	case n < 955:
		w.another()
	case n < 965:
		w.ok(&eventlog.LeaderEstablished{Replica: 1 + w.rng.Uint64N(3)})
	case n < 980 && len(w.stale) > 0:
		w.propose(w.stale[w.rng.IntN(len(w.stale))])
	case n < 990:
		w.propose(&eventlog.RunCancelled{Run: 1 + w.rng.Uint64N(8)})
		for range w.rng.IntN(8) { // before anybody decides
			w.commit()
		}
	case n < 991:
		a.wipe()
	case n < 993:
		w.restart()
	case n < 995:
		w.check()
	case n < 996:
		w.drain(a)
	case len(w.relays) > 0:
		relay := w.relays[w.rng.IntN(len(w.relays))]
		w.cut[relay] = !w.cut[relay]
	}
	if w.rng.IntN(5) == 0 {
		w.hear()
	}
}

// another starts one more run where few are under way.
func (w *simWorld) another() {
	if len(w.s.active) > 1 || len(w.s.Runs) > 8 {
		return
	}
	ahead := uint32(w.rng.IntN(2) * w.rng.IntN(20))
	if w.site {
		ahead = 20
	}
	if n := len(w.s.Runs); n > 0 && w.rng.IntN(2) == 0 {
		w.retry(w.s.Runs[w.rng.IntN(n)])
		return
	}
	w.propose(&eventlog.RunCreated{
		PlanID:          fmt.Sprintf("plan-%d", w.rng.IntN(3)),
		RequestID:       fmt.Sprintf("run-%d", w.rng.IntN(30)),
		StepsMax:        uint32(w.rng.IntN(6)),
		StepsPerHostMax: uint32(w.rng.IntN(3)),
		FailFast:        w.rng.IntN(3) == 0,
		AheadMax:        ahead,
		Lines:           w.rng.IntN(4) > 0,
	})
}

// lead decides, and may lose the proposals, make them twice, or be overtaken.
func (w *simWorld) lead() {
	events := w.s.Decide()
	w.stale = append(w.stale, events...)
	overtaken := false
	for _, e := range events {
		if w.faults && w.rng.IntN(30) == 0 {
			w.commit()
			overtaken = true
		}
		if w.faults && w.rng.IntN(20) == 0 {
			return
		}
		if void := w.propose(e); void != "" && !overtaken {
			w.t.Errorf("decided %T %+v is void: %s", e, e, void)
		}
	}
}

// gateway connects the agent, or sends it what the log has for it.
func (w *simWorld) gateway(a *simAgent) {
	rec := w.s.Agents[a.id]
	if rec.JournalFault(a.journal, a.seq) != "" {
		w.replace(a)
		return
	}
	if w.cut[a.relay] {
		a.session = "" // the site goes on
		return
	}
	if a.session == "" {
		switch n := w.rng.IntN(20); {
		case w.site && (a.n == 0 || n == 0):
			a.relay = w.relays[0]
		case w.site && n == 1:
			a.relay = append(w.relays, 0)[w.rng.IntN(len(w.relays)+1)]
		}
		a.n++
		a.session = fmt.Sprintf("%s-%d", a.name, a.n)
		w.propose(&eventlog.AgentConnected{Agent: a.id, Session: a.session, JournalID: a.journal, JournalSeq: a.seq, Came: eventlog.Arrival(1 + w.rng.IntN(3)), Relay: a.relay})
	}
	msg := simMessage{to: a, session: a.session, epoch: w.s.Epoch}
	for _, id := range rec.Open {
		m, at := msg, w.s.Attempts[id]
		r := w.s.Run(at.Run)
		c := w.s.Command(id)
		m.recall = c.Unstarted
		if m.cancel = at.ID; !c.Cancel {
			m.cancel = 0
			m.dispatch = &simSpec{
				attempt: id, supersedes: at.Supersedes, run: at.Run, task: at.Task, host: at.Host,
				jobs: jobsFor(r.Graph, at.Task, at.Host, at.FromJob), keepGoing: r.Graph.Tasks[at.Task].KeepGoing, after: c.After, places: c.Places, inputs: c.Inputs, failFast: r.FailFast && r.Lines,
			}
		}
		w.net = append(w.net, m)
		for _, e := range w.s.ElsewhereOf(at) {
			if m := msg; e.Released {
				m.ended, m.output = e.Attempt, e.Output
				w.net = append(w.net, m)
			}
		}
	}
	msg.ack = &[2]uint64{rec.JournalSeq, rec.Floor()}
	w.net = append(w.net, msg)
}

// replace quarantines an agent whose journal is at fault, and enrols its host anew.
func (w *simWorld) replace(a *simAgent) {
	var disproved []uint64
	for _, id := range slices.Sorted(maps.Keys(w.s.Attempts)) {
		if w.s.disprovable(w.s.Agents[a.id], id) && w.rng.IntN(2) == 0 {
			disproved = append(disproved, id)
		}
	}
	w.propose(&eventlog.AgentQuarantined{Agent: a.id, Reason: "journal", JournalID: a.journal, JournalSeq: a.seq, Disproved: disproved})
	if w.rng.IntN(2) == 0 {
		w.lead() // with nobody to give the work to
	}
	w.propose(&eventlog.AgentRevoked{Agent: a.id, By: "operator"})
	fresh := *a
	if err := w.s.AgentByName(a.name); err != nil {
		w.t.Fatalf("%s is in use after its agent was revoked", a.name)
	}
	a.id = w.agent(a.name, w.s.Agents[a.id].Labels...)
	a.journal, a.session = w.s.Agents[a.id].JournalID, ""
	a.entries, a.unacked, a.seq, a.floor = map[uint64]*simEntry{}, nil, 0, 0
	if fresh.id == a.id {
		w.t.Fatal("an agent's id was given twice")
	}
}

// deliver hands over one message, perhaps not the oldest, perhaps not once.
func (w *simWorld) deliver() {
	if len(w.net) == 0 {
		return
	}
	i := 0
	if w.faults {
		i = w.rng.IntN(len(w.net))
	}
	m := w.net[i]
	if !w.faults || w.rng.IntN(4) > 0 {
		w.net = slices.Delete(w.net, i, i+1)
	}
	if w.faults && w.rng.IntN(5) == 0 {
		return
	}
	m.to.handle(m)
}

// send brings the agent's reports to a gateway, which proposes them.
func (w *simWorld) send(a *simAgent) {
	if a.session == "" || w.cut[a.relay] {
		return
	}
	w.pending = append(w.pending, a.unacked...)
}

// commit appends one proposal, perhaps not the oldest, perhaps not once.
func (w *simWorld) commit() {
	if len(w.pending) == 0 {
		return
	}
	i := 0
	if w.faults && w.rng.IntN(3) == 0 {
		i = w.rng.IntN(len(w.pending))
	}
	e := w.pending[i]
	if !w.faults || w.rng.IntN(5) > 0 {
		w.pending = slices.Delete(w.pending, i, i+1)
	}
	if !w.faults || w.rng.IntN(8) > 0 {
		w.propose(e)
	}
}

// restart folds the log from nothing and goes on with the result.
func (w *simWorld) restart() {
	s := NewState()
	for _, rec := range w.recs {
		if _, err := s.Fold(rec); err != nil {
			w.t.Fatal(err)
		}
	}
	if s.Hash() != w.s.Hash() {
		w.t.Error("the log folds to another state")
	}
	w.s = s
}
