package nodeagent

import (
	"cmp"
	"context"
	"crypto/sha256"
	"errors"
	"sync"
	"time"

	"quorate/internal/pyvalue"
	"quorate/nodeagent/facts"
	"quorate/nodeagent/journal"
	"quorate/nodeagent/runner"
	"quorate/nodeagent/verb"
	"quorate/nodeagent/wire"
)

// reasonTimeout is what an orchestrator gets to say what a job waited for in vain.
const reasonTimeout = 2 * time.Second

// absentMark stands for the digest of an argument that the host does not have.
const absentMark = "absent"

// A values knows what the host has published since the agent started, and what its
// jobs wait for.
type values struct {
	mu        sync.Mutex
	published map[string]string // key -> digest of the value, or absentMark
	asked     uint64
	questions map[uint64]*question
}

// A question is one that a job waits for.
type question struct {
	ask    wire.Ask
	answer chan *wire.Answer // takes one
}

func markOf(v *wire.Value) string {
	if v.Absent {
		return absentMark
	}
	sum := sha256.Sum256(v.Value)
	return string(sum[:])
}

// note takes down what was published.
func (v *values) note(all []wire.Value) {
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.published == nil {
		v.published = map[string]string{}
	}
	for i := range all {
		v.published[all[i].Key] = markOf(&all[i])
	}
}

// isNew reports whether the value is another one than was published last.
func (v *values) isNew(value *wire.Value) bool {
	v.mu.Lock()
	defer v.mu.Unlock()
	return v.published[value.Key] != markOf(value)
}

// open gives a question its number.
func (v *values) open(ask wire.Ask) *question {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.asked++
	ask.ID = v.asked
	q := &question{ask: ask, answer: make(chan *wire.Answer, 1)}
	if v.questions == nil {
		v.questions = map[uint64]*question{}
	}
	v.questions[ask.ID] = q
	return q
}

func (v *values) close(id uint64) {
	v.mu.Lock()
	defer v.mu.Unlock()
	delete(v.questions, id)
}

// answered brings an answer to who waits for it; a second one is dropped.
func (v *values) answered(m *wire.Answer) {
	v.mu.Lock()
	defer v.mu.Unlock()
	if q := v.questions[m.ID]; q != nil {
		delete(v.questions, m.ID)
		q.answer <- m
	}
}

// all returns the open questions, for another connection.
func (v *values) all() []wire.Message {
	v.mu.Lock()
	defer v.mu.Unlock()
	out := make([]wire.Message, 0, len(v.questions))
	for _, q := range v.questions {
		ask := q.ask
		out = append(out, &ask)
	}
	return out
}

// A fleet is what a job can do beyond its host: a [verb.Fleet].
type fleet struct{ run *jobRun }

// Publish implements verb.Fleet.
func (f *fleet) Publish(all []wire.Value, waits bool) error { return f.run.publish(all, waits) }

// publish journals values and syncs them. What does not fit into one report goes in
// several.
func (run *jobRun) publish(all []wire.Value, waits bool) error {
	a := run.agent
	rest := all
	err := a.journal.Commit(func(s *journal.State, add func(journal.Record)) error {
		for first := true; first || len(rest) > 0; first = false {
			n, bytes := 0, 0
			for n < len(rest) && n < wire.ValuesMax && bytes < wire.ValuesBytesTarget {
				bytes += rest[n].Bytes()
				n++
			}
			rec, err := s.Publish(wire.Report{Attempt: run.ref.Attempt, Job: run.ref.Job, Values: rest[:n:n], Waits: waits && n == len(rest)})
			if err != nil {
				return err
			}
			add(rec)
			rest = rest[n:]
		}
		return nil
	})
	if err != nil {
		return err
	}
	a.values.note(all)
	a.notify(true) // others wait for it
	if waits {
		a.startAll(a.onward()) // its place is free
	}
	return nil
}

// changed returns the arguments that the plan asks for and that are others now than
// were published, whatever changed them.
func (run *jobRun) changed(step *wire.Step) ([]wire.Value, error) {
	var out []wire.Value
	for _, key := range step.Publish {
		encoded, ok, err := run.agent.facts.Arg(key)
		if err != nil {
			return nil, err
		}
		v := wire.Value{Key: key, Value: encoded, Absent: !ok}
		if !run.agent.values.isNew(&v) {
			continue
		}
		if secret, err := run.agent.facts.IsSecret(key); err != nil || secret {
			return nil, cmp.Or[error](err, &verb.SecretError{Key: key})
		}
		if len(encoded) > wire.ValueBytesMax {
			return nil, &verb.TooLargeError{Key: key, Bytes: len(encoded)}
		}
		out = append(out, v)
	}
	return out, nil
}

// publishChanges tells of what the job has changed, before its end is reported: what
// comes after the job anywhere finds it. A value that cannot be told makes the job
// a failure, since others would go on without it.
func (run *jobRun) publishChanges(step *wire.Step, res *verb.Result) error {
	changed, err := run.changed(step)
	if err == nil && len(changed) > 0 {
		return run.publish(changed, false)
	}
	if err != nil && (res.Outcome == verb.Succeeded || res.Outcome == verb.Skipped) {
		res.Outcome, res.Info = verb.Failed, err.Error()
	}
	return nil
}

// Await implements verb.Fleet. While it waits, another job of the host has its slot.
func (f *fleet) Await(ctx context.Context, ask wire.Ask) (note string, err error) {
	a := f.run.agent
	q := a.values.open(ask)
	defer a.values.close(q.ask.ID)
	a.send(&q.ask)
	<-a.slots
	defer func() { a.slots <- struct{}{} }()
	select {
	case m := <-q.answer:
		return answerOf(m)
	case <-ctx.Done():
	}
	if errors.Is(context.Cause(ctx), runner.ErrLeave) {
		return "", ctx.Err()
	}
	a.send(wire.Unask(q.ask.ID))
	reason := time.NewTimer(reasonTimeout)
	defer reason.Stop()
	select {
	case m := <-q.answer:
		if m.Error == "" {
			return m.Note, nil
		}
		return "", errors.New(m.Error)
	case <-reason.C:
		return "", errors.New("no orchestrator has answered in time")
	case <-a.jobsCtx.Done():
		return "", ctx.Err()
	}
}

func answerOf(m *wire.Answer) (note string, err error) {
	if m.Error != "" {
		return "", errors.New(m.Error)
	}
	return m.Note, nil
}

// Omit implements verb.Fleet. What was sent ahead and waits for this very step comes
// after it, as it would have if it had been sent then.
func (f *fleet) Omit() (int, error) {
	a := f.run.agent
	var others []uint64
	a.journal.View(func(s *journal.State) {
		after := s.Behind(f.run.ref.Attempt)
		for _, id := range s.Open() {
			if id != f.run.ref.Attempt && !after[id] {
				others = append(others, id)
			}
		}
	})
	return len(others), a.facts.Omit(others, f.run.ref.Attempt)
}

// Restart implements verb.Fleet.
func (f *fleet) Restart() error { return f.run.askRestart(false) }

func (run *jobRun) askRestart(take bool) error {
	return run.agent.journal.Commit(func(s *journal.State, add func(journal.Record)) error {
		rec, err := s.AskRestart(run.ref.Attempt, take)
		if err == nil {
			add(rec)
		}
		return err
	})
}

// Restarting implements verb.Fleet.
func (f *fleet) Restarting() bool { return f.run.restartUnder() != "" }

// restartUnder is the boot of the host that the job wants to end, or empty.
func (run *jobRun) restartUnder() (boot string) {
	run.agent.journal.View(func(s *journal.State) {
		if at, ok := s.Attempt(run.ref.Attempt); ok {
			boot = at.RestartUnder
		}
	})
	return boot
}

// keep stores what hosts have published.
func (a *agent) keep(values []wire.Learned) error {
	heard := make([]facts.Heard, 0, len(values))
	for i := range values {
		l := &values[i]
		var v pyvalue.Value = pyvalue.None
		if !l.Value.Absent {
			var err error
			if v, err = pyvalue.Decode(l.Value.Value); err != nil {
				a.log.Warn("a host's value cannot be read", "host", l.Host, "key", l.Value.Key, "error", err)
				continue
			}
		}
		heard = append(heard, facts.Heard{Host: l.Host, Key: l.Value.Key, Value: v,
			Origin: facts.Origin{Run: l.Run, Task: l.Task, Attempt: l.Attempt, Job: l.Job, Time: l.Time}})
	}
	return a.facts.Learn(heard)
}

// send hands a message to the connection that is there. Where there is none it is
// dropped: questions are put again on the next one.
func (a *agent) send(m wire.Message) {
	if s := a.current(); s != nil {
		s.tell(m)
	}
}

// known answers what the agent remembers of its host.
func (a *agent) known(id uint64) *wire.FactsReply {
	reply := &wire.FactsReply{ID: id}
	size := 0
	add := func(env bool, all []facts.Fact, err error) {
		if err != nil {
			a.log.Warn("the facts cannot be read", "error", err)
			reply.Truncated = true
		}
		for _, f := range all {
			if hides, err := a.facts.Hides(f); hides || err != nil {
				f.Value = pyvalue.Str(verb.Hidden)
			}
			data := pyvalue.Encode(f.Value)
			if size += len(f.Name) + len(data) + 64; size > wire.FactsBytesMax || len(reply.Facts) >= wire.FactsMax {
				reply.Truncated = true
				return
			}
			o := &f.Origin
			reply.Facts = append(reply.Facts, wire.Fact{Env: env, Name: f.Name, Value: data,
				Run: o.Run, Task: o.Task, Attempt: o.Attempt, Job: o.Job, Time: o.Time})
		}
	}
	args, err := a.facts.Args()
	add(false, args, err)
	envs, err := a.facts.Envs()
	add(true, envs, err)
	return reply
}

// hear takes what is no command out of a batch: values are stored before anything
// that came with them has an effect.
func (s *session) hear(batch []wire.Message) (commands []wire.Message, answers []*wire.Answer, err error) {
	commands = batch[:0]
	var values []wire.Learned
	for _, m := range batch {
		switch m := m.(type) {
		case *wire.Learn:
			values = append(values, m.Values...)
		case *wire.Answer:
			answers = append(answers, m)
		case *wire.FactsAsk:
			s.tell(s.agent.known(m.ID))
		default:
			commands = append(commands, m)
		}
	}
	if len(values) > 0 {
		err = s.agent.keep(values)
	}
	return commands, answers, err
}
