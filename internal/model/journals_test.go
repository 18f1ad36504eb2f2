package model

import (
	"fmt"
	"slices"

	"quorate/nodeagent/journal"
	"quorate/nodeagent/wire"
)

// journals holds every state that the agent's journal was seen in. A state is
// known by the file that holds nothing else, and copied by reading that file.
type journals struct {
	ids  map[string]uint16
	all  []kept
	next map[uint64]move // by state and what happened

	reports  []wire.Report
	reportID map[string]uint16

	lists  map[string]uint32 // disks and sets of reports, as sequences of numbers
	listed [][]uint16
}

// kept is one state, with what the exploration asks about it again and again.
type kept struct {
	state   *journal.State
	image   []byte
	reports []uint16 // those that may be sent
	tries   [attemptsMax]try
}

type try struct {
	phase                   journal.Phase
	ended                   uint8
	running                 bool
	failed, cancelled, lost bool
}

// A move is what the journal made of something that happened: the states after
// each of its records, and the effects that may follow.
type move struct {
	to               []uint16
	durable          bool
	start, kill      bool
	busy, gone, over bool // over: the agent gives up the connection
}

func newJournals() *journals {
	return &journals{ids: map[string]uint16{}, next: map[uint64]move{}, reportID: map[string]uint16{}, lists: map[string]uint32{}}
}

func (js *journals) intern(s *journal.State) uint16 {
	image := imageOf(s.Records())
	if id, ok := js.ids[string(image)]; ok {
		return id
	}
	id := uint16(len(js.all))
	k := kept{state: s, image: image}
	for _, r := range s.ReportsAfter(0, 1<<20) {
		k.reports = append(k.reports, js.report(r))
	}
	for i := range k.tries {
		if a, ok := s.Attempt(firstAttempt + uint64(i)); ok {
			k.tries[i] = try{phase: a.Phase, ended: uint8(a.Ended), running: a.Running, failed: a.Failed, cancelled: a.Cancelled, lost: a.Lost}
		}
	}
	js.ids[string(image)] = id
	js.all = append(js.all, k)
	return id
}

func imageOf(records []journal.Record) (image []byte) {
	for _, r := range records {
		var err error
		if image, err = journal.AppendFrame(image, r, 0); err != nil {
			panic(err)
		}
	}
	return image
}

func (js *journals) copyOf(id uint16) *journal.State {
	s, n, err := journal.Replay(js.all[id].image)
	if err != nil || n != int64(len(js.all[id].image)) {
		panic(fmt.Sprint("a journal's own file does not fold to it: ", err))
	}
	return s
}

func (js *journals) report(r wire.Report) uint16 {
	b, err := wire.Marshal(&r)
	if err != nil {
		panic(err)
	}
	id, ok := js.reportID[string(b)]
	if !ok {
		id = uint16(len(js.reports))
		js.reportID[string(b)] = id
		js.reports = append(js.reports, r)
	}
	return id
}

// list numbers a sequence of numbers.
func (js *journals) list(seq []uint16) uint32 {
	b := make([]byte, 0, 16)
	for _, v := range seq {
		b = append(b, byte(v>>8), byte(v))
	}
	id, ok := js.lists[string(b)]
	if !ok {
		id = uint32(len(js.listed))
		js.lists[string(b)] = id
		js.listed = append(js.listed, slices.Clone(seq))
	}
	return id
}

// Happenings to a journal, above the orders, which are numbered from 0.
const (
	happens    = 1 << 20
	bootsHere  = happens * 1 // + boot
	startsJob  = happens * 2 // + attempt
	endsJob    = happens * 3 // + attempt, outcome
	endsTry    = happens * 4 // + attempt, outcome
	welcomed   = happens * 5 // + order of an ack
	outcomeBit = 4
)

// step finds out what the journal makes of a happening.
func (js *journals) step(at uint16, what uint32, decide func(*journal.State) (journal.Decision, error)) move {
	key := uint64(at)<<32 | uint64(what)
	if m, ok := js.next[key]; ok {
		return m
	}
	d, err := decide(js.all[at].state)
	m := move{durable: d.Durable(), over: err != nil}
	for _, r := range d.Records {
		last := at
		if n := len(m.to); n > 0 {
			last = m.to[n-1]
		}
		s := js.copyOf(last)
		if err := s.Apply(r); err != nil {
			panic(fmt.Sprintf("%T: %v", r, err))
		}
		m.to = append(m.to, js.intern(s))
	}
	for _, e := range d.Effects {
		switch e.Action {
		case journal.Start:
			m.start = true
		case journal.Kill:
			m.kill = true
		case journal.Reply:
			m.busy = m.busy || e.Reply.Status == wire.StatusBusy
			m.gone = m.gone || e.Reply.Status == wire.StatusGone
		}
	}
	js.next[key] = m
	return m
}

const sessionName = "s"

var here = journal.Here{ClusterID: clusterID, Session: sessionName}

// order is what the agent does with a message; nodeagent's session does the same.
func (js *journals) order(at uint16, id uint16, o *order, c *config) move {
	return js.step(at, uint32(id), func(s *journal.State) (journal.Decision, error) {
		fence := wire.Fence{ClusterID: clusterID, Session: sessionName, JournalID: journalID, Epoch: o.epoch}
		if c.mutant == noJournalID {
			fence.JournalID = s.JournalID
		}
		switch o.kind {
		case dispatch:
			w := journal.Work{Step: "the step", Jobs: c.jobs - o.fromJob}
			m := &wire.Dispatch{Fence: fence, Attempt: o.attempt, Supersedes: o.supersedes, Spec: []byte{byte(o.fromJob)}}
			if c.mutant == noSuperseding {
				w.Step, m.Supersedes = "", 0
			}
			return s.Dispatch(here, m, w), nil
		case cancel:
			return s.Cancel(here, &wire.Cancel{Fence: fence, Attempt: o.attempt}), nil
		}
		return s.Ack(&wire.Ack{Seq: o.seq, Floor: o.floor})
	})
}

func (js *journals) boot(at uint16, boot int) move {
	return js.step(at, bootsHere+uint32(boot), func(s *journal.State) (journal.Decision, error) {
		return s.Boot(fmt.Sprint("boot", boot)), nil
	})
}

func (js *journals) welcome(at uint16, id uint16, o *order) move {
	return js.step(at, welcomed+uint32(id), func(s *journal.State) (journal.Decision, error) {
		return s.Welcome(&wire.Welcome{Acked: o.seq, Floor: o.floor})
	})
}

func (js *journals) startJob(at uint16, i int) move {
	return js.step(at, startsJob+uint32(i), func(s *journal.State) (journal.Decision, error) {
		a, _ := s.Attempt(firstAttempt + uint64(i))
		return just(s.StartJob(a.ID, a.Ended, 0))
	})
}

func (js *journals) endJob(at uint16, i int, job uint32, outcome uint8) move {
	return js.step(at, endsJob+uint32(i)<<outcomeBit+uint32(outcome), func(s *journal.State) (journal.Decision, error) {
		return just(s.EndJob(wire.Report{Attempt: firstAttempt + uint64(i), Job: job, Outcome: outcome}))
	})
}

func (js *journals) endTry(at uint16, i int, outcome uint8) move {
	return js.step(at, endsTry+uint32(i)<<outcomeBit+uint32(outcome), func(s *journal.State) (journal.Decision, error) {
		return just(s.End(firstAttempt+uint64(i), outcome, "", nil))
	})
}

func just(r journal.Record, err error) (journal.Decision, error) {
	if err != nil {
		panic(fmt.Sprint("the agent's own loop is refused: ", err))
	}
	return journal.Decision{Records: []journal.Record{r}}, nil
}
