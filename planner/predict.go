package planner

import (
	"slices"

	"quorate/internal/job"
)

// Succeeded is the status of a [Past] that counts as a success. Others are the
// engine's words for what became of a step.
const Succeeded = "succeeded"

// A Past is what is on record of a task on some hosts: the newest run that touched
// it there.
type Past struct {
	// Hosts are positions in the hosts of the plan that is predicted, ascending; nil
	// stands for all hosts of the task, and for a task that has none.
	Hosts []uint32
	Run   uint64
	// Status is how the steps ended.
	Status string
	// Changed is true where a job of the steps changed something.
	Changed bool
	// Plan is that of the run; nil where it is not known.
	Plan *Plan
}

// A History is what a prediction rests on.
type History struct {
	// Tasks are parallel to the plan's.
	Tasks [][]Past
	// Verbs are the declarations of all verbs.
	Verbs job.Lookup
	// Content returns a file that this plan or an earlier one ships, by its digest.
	Content func(digest string) ([]byte, error)
}

// Predict says what a run of the plan would do, by what is on record: a step runs
// where its jobs, or what comes of the tasks that it requires, are not those of when
// it last succeeded there. Agents judge by what they remember of their hosts, and by
// the hosts themselves, so that the last word is theirs.
func (p *Plan) Predict(h *History) []Verdict {
	x := newPredictor(p, h)
	out := make([]Verdict, len(p.Tasks))
	for i := range p.Tasks {
		x.predict(i)
		out[i] = x.verdict(i)
	}
	return out
}

// nowhere stands for the host of a task without one.
const nowhere = ^uint32(0)

// A slot is what is predicted of a task on one host.
type slot struct {
	why uint32 // position in whys; 0 is that it is left alone
	// unless is 1 + a task that runs and may, but need not, end otherwise than before.
	unless uint32
	past   *Past
	evicts bool // agents forget what they remember
}

// A predictor goes through a plan in the order of its tasks.
type predictor struct {
	plan  *Plan
	past  *History
	hosts [][]uint32 // of each task, ascending
	slots [][]slot   // parallel
	pairs map[*Plan]*pair
	whys  []why
	known map[why]uint32
	// seen are the hosts of which anything is on record.
	seen map[uint32]bool
	// elsewhere is what was judged for the steps of the task that is at hand.
	elsewhere map[elsewhere]judgement
}

func newPredictor(p *Plan, h *History) *predictor {
	x := &predictor{plan: p, past: h, pairs: map[*Plan]*pair{}, whys: []why{{}}, known: map[why]uint32{{}: 0}, seen: map[uint32]bool{}, elsewhere: map[elsewhere]judgement{}}
	for i := range p.Tasks {
		hosts := p.stepHosts(i)
		slots := make([]slot, len(hosts))
		if i < len(h.Tasks) {
			for k := range h.Tasks[i] {
				x.place(hosts, slots, &h.Tasks[i][k])
			}
		}
		x.hosts, x.slots = append(x.hosts, hosts), append(x.slots, slots)
	}
	return x
}

// place gives the slots of a task their past.
func (x *predictor) place(hosts []uint32, slots []slot, past *Past) {
	for k, h := range hosts {
		if past.Hosts != nil {
			if _, there := slices.BinarySearch(past.Hosts, h); !there {
				continue
			}
		}
		slots[k].past = past
		if h != nowhere {
			x.seen[h] = true
		}
	}
}

// stepHosts are the hosts that the task has steps on, ascending: its own and those
// that a job is assigned to. A task that no host does has one step, nowhere.
func (p *Plan) stepHosts(i int) []uint32 {
	t := &p.Tasks[i]
	if t.Driver != DriverDirectord {
		return []uint32{nowhere}
	}
	hosts := p.HostSets[t.HostSet]
	for k := range t.Jobs {
		if set := t.Jobs[k].HostSet; set != t.HostSet {
			hosts = slices.Concat(hosts, p.HostSets[set])
		}
	}
	if len(hosts) != len(p.HostSets[t.HostSet]) {
		slices.Sort(hosts)
		hosts = slices.Compact(hosts)
	}
	return hosts
}

// jobsOn are the jobs that the task has for a host, in their order.
func (p *Plan) jobsOn(i int, host uint32) []*job.Job {
	t := &p.Tasks[i]
	jobs := make([]*job.Job, 0, len(t.Jobs))
	for k := range t.Jobs {
		j := &t.Jobs[k]
		if host != nowhere && j.HostSet != t.HostSet {
			if _, member := slices.BinarySearch(p.HostSets[j.HostSet], host); !member {
				continue
			}
		}
		jobs = append(jobs, &j.Spec)
	}
	return jobs
}

// on returns what is predicted of a task on a host, or nil where it has no step.
func (x *predictor) on(task int, host uint32) *slot {
	if k, there := slices.BinarySearch(x.hosts[task], host); there {
		return &x.slots[task][k]
	}
	return nil
}

// predict fills in the slots of a task. Those of tasks before it are there.
func (x *predictor) predict(i int) {
	clear(x.elsewhere)
	for k, host := range x.hosts[i] {
		s := &x.slots[i][k]
		w := x.judge(i, host, s)
		id, known := x.known[w]
		if !known {
			id = uint32(len(x.whys))
			x.whys = append(x.whys, w)
			x.known[w] = id
		}
		s.why = id
	}
}

// judge says why a step would run, or that it would be left alone.
func (x *predictor) judge(i int, host uint32, s *slot) why {
	t := &x.plan.Tasks[i]
	if recordedOnly(t.Driver) {
		return x.judgeRecorded(i, s)
	}
	evicting := x.evicted(i, host, s)
	switch {
	case t.Always:
		return why{cause: causeAlways}
	case s.past == nil && host != nowhere && len(x.seen) > 0 && !x.seen[host]:
		return why{cause: causeHost}
	case s.past == nil:
		return why{cause: causeNew}
	case s.past.Status != Succeeded:
		return why{cause: causeEnded, run: s.past.Run, name: s.past.Status}
	case s.past.Plan == nil:
		return why{cause: causeUnread, run: s.past.Run}
	case evicting != 0:
		return why{cause: causeEvicted, task: evicting - 1}
	}
	pair := x.pairWith(s.past.Plan)
	if w := pair.changed(i, host); w.cause != causeNone {
		return w
	}
	if w := x.required(i, host, s, pair); w.cause != causeNone {
		return w
	}
	for _, j := range x.plan.jobsOn(i, host) {
		if j.SkipCache {
			return why{cause: causeAlways, job: j.Index + 1}
		}
	}
	return why{}
}

// recordedOnly reports whether a driver does nothing on any host.
func recordedOnly(d Driver) bool {
	return d == DriverPrint || d == DriverService || d == DriverNoop || d == DriverMissing || d == DriverAnsible
}

// judgeRecorded judges a task of the engine's own: it counts what it says.
func (x *predictor) judgeRecorded(i int, s *slot) why {
	t := &x.plan.Tasks[i]
	switch {
	case t.Driver == DriverMissing || t.Driver == DriverAnsible || s.past == nil:
		return why{cause: causeNew}
	case s.past.Plan == nil:
		return why{cause: causeUnread, run: s.past.Run}
	}
	old := x.pairWith(s.past.Plan)
	if k, there := old.tasks[t.ID]; !there || !slices.Equal(old.old.Tasks[k].Messages, t.Messages) {
		return why{cause: causeMessage}
	}
	return why{}
}

// evicted returns 1 + the task for which the host's agent forgets what it remembers
// before this one, or 0.
func (x *predictor) evicted(i int, host uint32, s *slot) uint32 {
	by := uint32(0)
	for _, d := range x.plan.Tasks[i].Requires {
		if a := x.on(int(d.Task), host); a != nil && a.evicts && d.Scope != ScopeAfterSameHost {
			s.evicts, by = true, d.Task+1
		}
	}
	for _, j := range x.plan.jobsOn(i, host) {
		if j.Verb == "CACHEEVICT" && (j.Text == "all" || j.Text == "jobs") {
			s.evicts = true
		}
	}
	return by
}
