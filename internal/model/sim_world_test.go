package model

import (
	"crypto/sha256"
	"fmt"
	"hash"
	"math/rand/v2"

	"quorate/engine"
	"quorate/eventlog"
	"quorate/nodeagent/journal"
	"quorate/nodeagent/wire"
)

// A sim is a cluster in one thread: orchestrators, agents, what lies between them,
// and people. Everything that happens follows from its seed.
type sim struct {
	rng      *rand.Rand
	failure  error
	seen     map[string]int // what happened, how often
	trace    hash.Hash      // over everything that happened
	replicas []*replica
	agents   []*agent // by host of the plans; the last is the controller

	log       []eventlog.Record
	head      eventlog.Head
	truth     *engine.State
	hashes    []eventlog.Hash // of the truth, by index; zero where it was not taken
	hashEvery uint64
	voided    int
	epochs    int
	proposals []*proposal
	leader    *replica

	faults  bool
	failing float64 // chance that a job fails, always the same job
	// recovers: the cluster may be lost, and recovered.
	recovers bool
	// backups: disks are copied and put back so that they know less than they have to.
	backups bool
	nonces  int
	request int
	plans   int
	done    map[string]bool // requests that took effect
	// struck is called when an orchestrator has folded a record.
	struck  func(r *replica, index uint64)
	touched map[int]bool // hosts whose disk was wiped or put back

	effects   map[jobRef]int
	byAttempt map[[2]uint64]int // attempt and job
	words     map[stepRef]int   // operators' words that let a step go on

	ends   map[uint64]uint8 // of attempts, as their agents know them
	waited map[uint64]bool  // attempts that have waited for other hosts
	// placeless: agents are not told how much may be under way.
	placeless bool
	// untold: they are told of what any host may have, and not of what theirs was dealt.
	untold bool
	site   *site // nil where there is none

	founded    int // records before anything was asked for
	recoveries int
	lost       map[uint64]bool // attempts that only a lost log knew
	blurred    map[blur]bool
	repeated   map[uint64]bool // attempts under way that an agent alone on an old disk has repeated jobs of
	// deaf: gateways do not hear what agents know of attempts that are on record as not started.
	deaf bool
	// silenced are attempts that were given back and done, of which only a disk told that is gone.
	silenced map[uint64]bool
}

type stepRef struct {
	run        uint64
	task, host uint32
}

type jobRef struct {
	stepRef
	job uint32
}

// newSim makes the cluster, its log holding nothing but who is who.
func newSim(seed uint64, replicas, hosts int) *sim {
	w := &sim{
		rng: rand.New(rand.NewPCG(seed, 7)), trace: sha256.New(), truth: engine.NewState(), hashEvery: 8, faults: true,
		seen: map[string]int{}, done: map[string]bool{}, touched: map[int]bool{}, effects: map[jobRef]int{}, byAttempt: map[[2]uint64]int{}, words: map[stepRef]int{},
		ends: map[uint64]uint8{}, waited: map[uint64]bool{}, lost: map[uint64]bool{}, blurred: map[blur]bool{}, repeated: map[uint64]bool{}, silenced: map[uint64]bool{},
	}
	for i := range replicas {
		r := &replica{w: w, id: uint64(i) + 1, clock: 1_700_000_000_000_000_000}
		r.start()
		w.replicas = append(w.replicas, r)
	}
	w.must(&eventlog.ClusterCreated{ClusterID: clusterID})
	for h := range hosts + 1 {
		a := &agent{w: w, at: h, name: fmt.Sprintf("h%d", h), untold: map[uint64]bool{}}
		if h == hosts {
			a.name = "ctl"
		}
		w.agents = append(w.agents, a)
		w.enrol(a)
	}
	return w
}

func (w *sim) fail(format string, args ...any) {
	if w.failure == nil {
		w.failure = fmt.Errorf("at record %d: "+format, append([]any{w.head.Index}, args...)...)
	}
}

func (w *sim) note(format string, args ...any) { fmt.Fprintf(w.trace, format+"\n", args...) }

// must puts an event into the log at once.
func (w *sim) must(e eventlog.Event) {
	n := w.voided
	entry, err := eventlog.NewEntry(w.replicas[0].clock, e)
	if err != nil {
		w.fail("%T: %v", e, err)
		return
	}
	w.land(&proposal{by: w.replicas[0], entries: []eventlog.Entry{entry}, over: true})
	if w.voided > n {
		w.fail("%T is void", e)
	}
}

// enrol gives the host an identity and a journal.
func (w *sim) enrol(a *agent) {
	w.nonces++
	token := fmt.Sprint("token ", w.nonces)
	var labels []string
	if a.name == "ctl" {
		labels = []string{engine.ControllerLabel}
	}
	w.must(&eventlog.TokenCreated{TokenHash: token, Name: a.name, Role: "agent", Labels: labels})
	journalID := fmt.Sprint("journal ", w.nonces)
	w.must(&eventlog.AgentEnrolled{TokenHash: token, Name: a.name, KeyDigest: token, JournalID: journalID})
	a.id = w.truth.Serial(w.head.Index)
	a.format(journalID)
	w.touched[a.at] = false
}

// saw looks at an event that took effect.
func (w *sim) saw(e eventlog.Event) {
	switch e := e.(type) {
	case *eventlog.RunCreated:
		w.once(e.RequestID)
		if e.Check {
			w.seen["checks"]++
		}
	case *eventlog.ValuesPublished:
		w.sawPublished(e)
	case *eventlog.RunCancelled:
		w.once(e.RequestID)
	case *eventlog.LeaderEstablished:
		w.epochs++
		w.seen["leaders"]++
	case *eventlog.AgentQuarantined:
		w.seen["quarantines"]++
		w.seen["attempts disproved"] += len(e.Disproved)
		for _, a := range w.agents {
			if a.id == e.Agent && w.recoveries > 0 {
				w.blurHost(a) // what it did in the lost log is on no disk either
			}
			if a.id == e.Agent && !w.touched[a.at] {
				w.fail("%s is quarantined with a sound journal: %s", a.name, e.Reason)
			}
		}
	case *eventlog.AgentDrained:
		w.seen["agents drained"]++
	case *eventlog.StepScheduled:
		if w.truth.Agents[e.Agent].Drained() {
			w.fail("run %d: a step is scheduled on agent %d, which is drained", e.Run, e.Agent)
		}
		w.sawScheduled(e)
	case *eventlog.DampingSet, *eventlog.AgentCalmed:
		w.seen["words on flapping"]++
	case *eventlog.AgentConnected:
		if w.truth.Agents[e.Agent].Flapping {
			w.seen["flapping agents"]++
		}
		for _, a := range w.agents {
			switch rec := w.truth.Agents[e.Agent]; {
			case a.id != e.Agent:
			case rec.Quarantined != "":
				w.seen["quarantines of the lost"]++
				w.blurHost(a)
				if w.recoveries == 0 || rec.Connection >= w.truth.Serial(0) {
					w.fail("%s is quarantined, and nothing was lost: %s", a.name, rec.Quarantined)
				}
			case rec.Lapse == w.truth.RecoveredAt && rec.Lapse != 0 && rec.Connection == w.truth.Serial(w.head.Index):
				w.seen["agents resumed"]++
			}
		}
	case *eventlog.StepResolved:
		w.once(e.RequestID)
		if a := w.truth.Attempts[e.Attempt]; e.As != "failed" {
			w.words[stepRef{a.Run, a.Task, a.Host}]++
		}
	}
}

// once notes that a request took effect.
func (w *sim) once(request string) {
	if w.done[request] {
		w.fail("%s took effect twice", request)
	}
	w.done[request] = true
}

// effect is called at the moment when a job begins.
func (w *sim) effect(a *agent, attempt uint64, job uint32) {
	w.note("effect %d %d", attempt, job)
	at := w.truth.Attempts[attempt]
	if w.lost[attempt] {
		w.seen["effects of lost attempts"]++
		return
	}
	if at == nil {
		w.fail("G8: %s works on attempt %d, which is in no log", a.name, attempt)
		return
	}
	step := stepRef{at.Run, at.Task, at.Host}
	if a.alone && !a.state.Certain() {
		w.seen["jobs done alone"]++
		if w.touched[a.at] && w.byAttempt[[2]uint64{attempt, uint64(job)}] > 0 {
			w.seen["jobs repeated alone"]++
			w.repeated[attempt] = w.repeated[attempt] || at.Outcome == 0
			return
		}
		if w.touched[a.at] && at.Outcome == eventlog.NotStarted {
			// The disk is from before it was given back: the log has to say so when it hears of it.
			w.seen["jobs given back and done alone"]++
			w.byAttempt[[2]uint64{attempt, uint64(job)}]++
			a.untold[attempt] = true
			return
		}
	}
	w.effects[jobRef{step, job}]++
	w.byAttempt[[2]uint64{attempt, uint64(job)}]++
	if n := w.byAttempt[[2]uint64{attempt, uint64(job)}]; n > 1 {
		w.fail("G3: job %d of attempt %d took effect %d times", job, attempt, n)
	}
	r := w.truth.Run(at.Run)
	if !ready(r, at.Task, at.Host) && !w.ended(at) {
		w.fail("task %d of run %d starts on %s before what it requires", at.Task, at.Run, a.name)
	}
	w.checkPlaces(a, at)
	w.checkRoom(at)
	for _, other := range w.agents {
		for _, p := range other.procs {
			o := w.truth.Attempts[p.attempt]
			if p.state == alive && o != nil && o.ID != attempt && (stepRef{o.Run, o.Task, o.Host}) == step {
				w.fail("invariant 4: attempts %d and %d of a step overlap", o.ID, attempt)
			}
		}
	}
	t := &r.Graph.Tasks[at.Task]
	if n := w.effects[jobRef{step, job}]; !t.Idempotent && n > 1+w.words[step] && w.sharp(at.Run, at.Host) {
		w.fail("G4: job %d of %s took effect %d times, and operators spoke %d times", job, t.ID, n, w.words[step])
	}
}

// ended reports whether all that an attempt sent ahead waited for has ended as it
// has to, on its agent or, by an operator's word, on record.
func (w *sim) ended(at *engine.Attempt) bool {
	for _, p := range at.After {
		if s := stepOf(w.truth, w.truth.Attempts[p.Attempt]).Status; s == engine.Done || p.Any && s.Settled() {
			continue
		}
		o, ok := w.ends[p.Attempt]
		if !ok || o != journal.OutcomeSucceeded && !(p.Any && (o == journal.OutcomeFailed || o == journal.OutcomeCancelled)) {
			return false
		}
	}
	return len(at.After) > 0
}

// fails says how a job ends: the same job always in the same way.
func (w *sim) fails(step *wire.Step, job uint32) bool {
	sum := sha256.Sum256(fmt.Appendf(nil, "%d %s %s %d", step.Run, step.Task, step.Host, job))
	return float64(sum[0])/256 < w.failing
}

// act does one random thing.
func (w *sim) act() {
	a := w.agents[w.rng.IntN(len(w.agents))]
	r := w.replicas[w.rng.IntN(len(w.replicas))]
	switch n := w.rng.IntN(1000); {
	case n < 230:
		w.commit()
	case n < 400:
		r.follow(1 + w.rng.IntN(8))
	case n < 450:
		r.lead()
	case n < 600:
		if s := a.session; s != nil {
			s.serve()
		}
	case n < 700:
		a.take()
	case n < 850:
		a.work()
	case n < 900:
		a.report()
	case n < 920:
		if a.session == nil && r.up && !r.cut {
			w.dial(a, r)
		}
	case n < 935:
		a.sync()
	case (w.site != nil || w.backups) && w.rng.IntN(3) > 0: // there most goes well
	default:
		w.misfortune(n-935, a, r)
	}
	w.neighbourly(a)
	if w.backups && w.rng.IntN(20) == 0 {
		w.backup(a)
		w.startRun()
	}
}

// misfortune is all that does not have to happen.
func (w *sim) misfortune(n int, a *agent, r *replica) {
	switch {
	case n < 5:
		w.elect()
	case n < 8:
		w.giveUpWaiting()
	case n < 10:
		if r.cut || w.spare() {
			r.cut = !r.cut
			w.seen["partitions"]++
		}
	case n < 12:
		if r.paused || w.spare() {
			r.paused = !r.paused
			w.seen["pauses"]++
		}
	case n < 13:
		w.cutSite()
	case n < 14:
		if r.up && w.spare() {
			r.die()
			w.seen["deaths"]++
		}
	case n < 18:
		if !r.up {
			r.start()
		}
	case n < 20:
		w.jump(r)
		w.seen["clock jumps"]++
	case n < 24:
		if a.session != nil {
			a.session.end()
		}
	case n < 26:
		if a.session == nil || w.rng.IntN(2) == 0 {
			a.session = nil // it has gone elsewhere, and its gateway does not know
			a.greeted = false
		}
	case n < 29:
		a.rest()
		a.start() // after it died; its jobs ran on
		w.seen["agents' deaths"]++
	case n < 31:
		a.reboot()
		w.seen["reboots"]++
	case n < 32:
		for _, p := range a.procs {
			if p.state == alive {
				p.state = lost
			}
		}
	case n < 34:
		w.disks(a)
	case n < 35:
		if w.recovers && w.rng.IntN(4) == 0 {
			w.recover()
		}
	default:
		w.people(n-35, a)
	}
}

// spare reports whether one more orchestrator may fail: seldom where that costs the
// majority, since nothing happens without one.
func (w *sim) spare() bool {
	sound := 0
	for _, r := range w.replicas {
		if r.up && !r.paused && !r.cut {
			sound++
		}
	}
	return 2*(sound-1) > len(w.replicas) || w.rng.IntN(12) == 0
}

// jump sets a clock, by years perhaps, back or forth.
func (w *sim) jump(r *replica) {
	const hour = 3_600_000_000_000
	r.clock += (w.rng.Int64N(2*hour) - hour) * []int64{1, 24, 24 * 365}[w.rng.IntN(3)]
	r.clock = max(r.clock, 1)
}
