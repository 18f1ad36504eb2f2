package gateway

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"quorate/engine"
	"quorate/eventlog"
	"quorate/nodeagent/wire"
)

// A command is an attempt to send, copied out of the state.
type command struct {
	engine.Command
	attempt engine.Attempt
	graph   *engine.Graph // never changes
	run     *eventlog.RunCreated
}

// send writes what the log has committed for the agent, as it is committed.
func (s *session) send(ctx context.Context) error {
	out := s.conn.protocol().NewWriter(s.control)
	s.note(func(n *notes) { n.cancels = true }) // look at what was open before
	retry := time.NewTimer(time.Hour)
	defer retry.Stop()
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-s.wake:
		case <-retry.C:
		}
		again, err := s.turn(out)
		if errors.Is(err, errReplaced) && s.goneElsewhere() {
			s.handOver(ctx)
		}
		if err != nil {
			return err
		}
		retry.Reset(again)
	}
}

// turn sends what there is to send now, and says how long to wait for the next
// turn when nothing happens before.
func (s *session) turn(out *wire.Writer) (again time.Duration, err error) {
	again = time.Hour
	s.notes.mu.Lock()
	noted := s.notes.left
	s.notes.left = left{}
	s.notes.mu.Unlock()

	seen, err := s.look(&noted)
	if err != nil {
		return 0, err
	}
	switch {
	case seen.more:
		again = 0
	case len(s.withheld) > 0:
		again = withheldLook
	}
	commands, ack := seen.commands, seen.ack
	for i := range commands {
		if err := s.put(out, &commands[i]); err != nil {
			s.g.logger.Error("an attempt cannot be sent", "agent", s.name, "attempt", commands[i].attempt.ID, "error", err)
			s.sent = min(s.sent, commands[i].attempt.ID-1)
			again = retryDelay
			if len(seen.ended) > 0 { // what comes with an end may be of the same plan: all is sent again
				seen.ended, s.sent = nil, 0
			}
			break
		}
	}
	if err := s.putEnded(out, seen.ended, seen.epoch); err != nil {
		return 0, err
	}
	if err := s.takeAsks(noted.asks, out); err != nil {
		return 0, err
	}
	look, err := s.answer(out)
	if err != nil {
		return 0, err
	}
	again = min(again, look)
	for _, id := range noted.facts {
		if err := out.Add(&wire.FactsAsk{ID: id}); err != nil {
			return 0, err
		}
	}
	// The floor moves with reports too, or it can wait for the next.
	if ack.Seq > s.acked {
		if err := out.Add(&ack); err != nil {
			return 0, err
		}
		s.acked = ack.Seq
	}
	if err := s.putNoted(out, &noted); err != nil {
		return 0, err
	}
	out.Pack(0)
	if s.conn.rtt() >= packFrom {
		out.Pack(wire.Orchestrator)
	}
	if err := out.Flush(); err != nil {
		return 0, fmt.Errorf("send: %w", err)
	}
	return again, nil
}

// putNoted frames what was noted, but for commands.
func (s *session) putNoted(out *wire.Writer, noted *left) error {
	if noted.pong {
		if err := out.Add(&wire.Pong{}); err != nil {
			return err
		}
	}
	if noted.members { // before a Move: the agent keeps the addresses wherever it goes
		var servers []string
		s.g.o.View(func(state *engine.State) { servers = serversOf(state, s.agent) })
		if !slices.Equal(servers, s.known) {
			if err := out.Add(&wire.Servers{Servers: servers}); err != nil {
				return err
			}
			s.known = servers
		}
	}
	if noted.signed {
		if err := s.tellGrowth(out); err != nil {
			return err
		}
	}
	if noted.move != nil {
		return out.Add(noted.move)
	}
	return nil
}

// seen is what a look at the state brings.
type seen struct {
	commands []command
	more     bool // there is more of these
	ack      wire.Ack
	ended    []wire.Ended // without their fences, which are of the epoch
	epoch    uint64
}

// look copies what is to be sent out of the state: attempts not sent in this
// session in the order of their numbers, then cancels, then repeats, and ends of what
// they wait for elsewhere. A session that is not the agent's on record has nothing to
// say any more, and what it reports does not count: the agent is served elsewhere, and
// this process may have slept through that.
func (s *session) look(noted *left) (l seen, err error) {
	s.g.o.View(func(state *engine.State) {
		a := state.Agent(s.agent)
		if refused := barred(a); refused != nil {
			err = refused
			return
		}
		// The record of a connection may land twice, with another one between.
		if a.Session != s.nonce || a.Connection != s.connection {
			err = errReplaced
			return
		}
		first, _ := slices.BinarySearch(a.Open, s.sent+1)
		fresh := a.Open[first:]
		if l.more = len(fresh) > dispatchesMax; l.more {
			fresh = fresh[:dispatchesMax]
		}
		if noted.cancels {
			s.forget(a.Open)
			for _, id := range a.Open[:first] {
				at := state.Attempts[id]
				if hard, told := s.told[id]; at.Cancel && !hard || at.Recall && !told {
					l.commands = append(l.commands, commandFor(state, id))
				}
			}
		}
		for _, id := range noted.again {
			if _, open := slices.BinarySearch(a.Open[:first], id); open {
				l.commands = append(l.commands, commandFor(state, id))
			}
		}
		s.tidyAwaited(a.Open)
		for _, id := range slices.Concat(noted.ended, noted.again) {
			l.ended = s.released(state, id, l.ended)
		}
		for _, id := range s.due(state, a.Open, fresh) {
			l.commands = append(l.commands, commandFor(state, id))
			l.ended = s.await(state, id, l.ended)
		}
		if len(fresh) > 0 {
			s.sent = fresh[len(fresh)-1]
		}
		l.ack, l.epoch = wire.Ack{Seq: a.JournalSeq, Floor: a.Floor()}, state.Epoch
	})
	return l, err
}

// errReplaced says that another session is the agent's on record.
var errReplaced = errors.New("the agent is connected elsewhere")

// forget drops the notes about attempts that are settled.
func (s *session) forget(open []uint64) {
	for id := range s.told {
		if _, still := slices.BinarySearch(open, id); !still {
			delete(s.told, id)
		}
	}
}

func commandFor(state *engine.State, id uint64) command {
	at := state.Attempts[id]
	run := state.Run(at.Run)
	c := command{Command: state.Command(id), attempt: *at, graph: run.Graph, run: &run.RunCreated}
	c.attempt.Jobs = engine.JobResults{}
	return c
}

// put frames one command.
func (s *session) put(out *wire.Writer, c *command) error {
	fence := s.fence
	fence.Epoch = c.Epoch
	if c.Cancel {
		s.told[c.attempt.ID] = !c.Unstarted
		return out.Add(&wire.Cancel{Fence: fence, Attempt: c.attempt.ID, Reason: clip(c.Reason, textBytesMax), Unstarted: c.Unstarted})
	}
	whole, err := s.g.step(c)
	if err != nil {
		return err
	}
	step := s.conn.protocol().Step(whole)
	if len(step.Publish) > 0 {
		if err := s.learn(out, step.Publish); err != nil {
			return err
		}
	}
	spec, err := wire.EncodeStep(step)
	if err != nil {
		return err
	}
	dispatch := &wire.Dispatch{Fence: fence, Attempt: c.attempt.ID, Supersedes: c.Supersedes, Spec: spec, After: predecessors(&c.Command, step), Places: c.Places}
	if step.Service {
		if dispatch.Inputs, err = s.g.inputs(c); err != nil {
			return err
		}
	}
	err = out.Add(dispatch)
	if errors.Is(err, wire.ErrTooLarge) {
		// Plans are checked for this before they are recorded.
		return fmt.Errorf("step %s of run %d: %w", step.Task, step.Run, err)
	}
	return err
}
