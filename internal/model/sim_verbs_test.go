package model

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"fmt"

	"quorate/engine"
	"quorate/eventlog"
	"quorate/nodeagent/journal"
	"quorate/nodeagent/wire"
)

// What jobs of the simulation are, beside commands.
const (
	verbRun     = "RUN"
	verbPublish = "PUBLISH" // a command that leaves an argument which others ask for
	verbQuery   = "QUERY"   // tells the argument, and waits for the other hosts
	verbReboot  = "REBOOT"
)

// publishedKey is the argument that all of them are about.
const publishedKey = "key"

// plainPlan is the id of a plan that consists of commands.
const plainPlan = "plain"

// verbOf says what the job of a plan's task is, the same on every host.
func verbOf(planID string, task, job uint32) string {
	if planID == plainPlan {
		return verbRun
	}
	sum := sha256.Sum256(fmt.Appendf(nil, "%s %d %d", planID, task, job))
	switch n := sum[0]; {
	case n < 12:
		return verbReboot
	case n < 52:
		return verbPublish
	case n < 76:
		return verbQuery
	}
	return verbRun
}

// valueOf is what a job leaves.
func valueOf(attempt uint64, job uint32) []byte {
	return binary.BigEndian.AppendUint32(binary.BigEndian.AppendUint64(nil, attempt), job)
}

// publish journals a value and syncs it, as it has to be before the job's end.
func (a *agent) publish(attempt uint64, job uint32, waits bool) {
	v := wire.Value{Key: publishedKey, Value: valueOf(attempt, job)}
	a.append(a.state.Publish(wire.Report{Attempt: attempt, Job: job, Values: []wire.Value{v}, Waits: waits}))
	a.sync()
	a.published = v.Value
	a.w.waited[attempt] = a.w.waited[attempt] || waits
	a.w.seen["publications"]++
}

// restart gets on with a job that has the machine restarted. It asks in the journal
// first, and only another boot is success.
func (a *agent) restart(at *journal.Attempt, job uint32, p *proc) {
	switch {
	case at.RestartUnder != "" && at.RestartUnder != a.state.BootID:
		a.w.seen["restarts"]++
		a.remove(p)
		a.ended(at.ID, job, journal.OutcomeSucceeded)
		a.sync() // or a machine that goes down would find the restart to be still due, and what came behind it not done
	case a.killing[at.ID]:
		a.takeBack(at, job, p, journal.OutcomeCancelled)
	case at.RestartUnder == "":
		a.append(a.state.AskRestart(at.ID, false))
		a.sync()
		a.procs = append(a.procs, &proc{attempt: at.ID, job: job, state: alive, own: true})
		a.w.effect(a, at.ID, job)
	case a.w.faults && a.w.rng.IntN(6) == 0:
		a.takeBack(at, job, p, journal.OutcomeFailed) // its time was over, and the machine still up
	default:
		a.reboot()
	}
}

// takeBack ends the wait for a restart that did not come: one that comes from here on
// is none of the job's doing.
func (a *agent) takeBack(at *journal.Attempt, job uint32, p *proc, outcome uint8) {
	a.remove(p)
	if at.RestartUnder != "" {
		a.append(a.state.AskRestart(at.ID, true))
		a.sync()
	}
	a.ended(at.ID, job, outcome)
}

// checkOn gets on with a job of a run that only checks: nothing takes effect.
func (a *agent) checkOn(at *journal.Attempt, step *wire.Step, job uint32) {
	a.w.seen["checked jobs"]++
	switch {
	case a.killing[at.ID]:
		a.ended(at.ID, job, journal.OutcomeCancelled)
	case a.w.fails(step, job):
		a.ended(at.ID, job, journal.OutcomeFailed)
	default:
		a.ended(at.ID, job, journal.OutcomeSucceeded)
	}
}

// publishedEvent is what a gateway makes of a report of values.
func publishedEvent(r *wire.Report, connection uint64) *eventlog.ValuesPublished {
	e := &eventlog.ValuesPublished{Attempt: r.Attempt, Job: r.Job, Waits: r.Waits, Seq: r.Seq, Connection: connection}
	for i := range r.Values {
		e.Values = append(e.Values, eventlog.PublishedValue{Key: r.Values[i].Key, Value: r.Values[i].Value, Absent: r.Values[i].Absent})
	}
	return e
}

// sawPublished: what took effect is the host's value from there on.
func (w *sim) sawPublished(e *eventlog.ValuesPublished) {
	at := w.truth.Attempts[e.Attempt]
	for _, v := range e.Values {
		if now := w.truth.Agents[at.Agent].Value(v.Key); now == nil || !bytes.Equal(now.Value, v.Value) {
			w.fail("agent %d published %x, and its value is %+v", at.Agent, v.Value, now)
		}
	}
}

// checkPublished: the last value that a sound host has published is the one on record.
func (w *sim) checkPublished() {
	if w.recoveries > 0 {
		return
	}
	for _, a := range w.agents {
		rec := w.truth.Agents[a.id]
		if a.published == nil || w.touched[a.at] || rec.Quarantined != "" {
			continue
		}
		v := rec.Value(publishedKey)
		if v == nil || !bytes.Equal(v.Value, a.published) {
			w.fail("%s has published %x last, and on record is %+v", a.name, a.published, v)
		}
	}
}

// checkNoEffects: a run that only checks has none, and asks nobody to decide.
func (w *sim) checkNoEffects(r *engine.Run) {
	for job, n := range w.effects {
		if job.run == r.ID && n > 0 {
			w.fail("job %d of task %d, in a run that only checks, took effect on host %d", job.job, job.task, job.host)
		}
	}
}
