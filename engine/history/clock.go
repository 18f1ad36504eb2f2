package history

import "quorate/eventlog"

// An agent's clock may be off by any amount, and may jump. What is certain is by the
// log's clock: no job of an attempt starts before the record that scheduled it, and each
// has ended when the record of its result was made. An agent's times are taken as they
// are where they fit in there; otherwise all of the attempt's are moved so that they do.

// agentTimeMax bounds what is taken from an agent, so that sums stay within 64 bits.
const agentTimeMax = 1 << 62

// A placed is a job by the log's clock, unix nanoseconds.
type placed struct {
	*jobEnd
	from, to int64
}

// A Clock is what was found out about an agent's clock.
type Clock uint8

// The verdicts on a clock.
const (
	ClockFits   Clock = iota // the agent's times were taken as they are
	ClockMoved               // all of an attempt's times were moved
	ClockJumped              // the clock jumped in the middle: only durations were taken
)

// place puts the attempt's jobs on the log's clock, in their order, all within the
// attempt's time. offset is how far the agent's clock was ahead.
func (a *attempt) place(end int64) (jobs []placed, clock Clock, offset int64) {
	for i := range a.jobs {
		if j := &a.jobs[i]; j.Time <= end && (a.ended.Index == 0 || j.Index <= a.ended.Index) {
			jobs = append(jobs, placed{jobEnd: j})
		}
	}
	if len(jobs) == 0 {
		return nil, ClockFits, 0
	}
	start := a.Time
	lasted := func(j *placed) int64 { return min(max(j.duration, 0), end-start) }
	began := func(j *placed) int64 { return min(max(j.started, 0), agentTimeMax) }
	low, high := int64(-agentTimeMax)*2, int64(agentTimeMax)
	for i := range jobs {
		j := &jobs[i]
		low = max(low, began(j)+lasted(j)-j.Time)
		high = min(high, began(j)-start)
	}
	switch {
	case low > high:
		placeBackward(jobs, start, end, lasted)
		return jobs, ClockJumped, 0
	case low > 0 || high < 0:
		clock, offset = ClockMoved, low+(high-low)/2
	}
	for i, free := 0, start; i < len(jobs); i++ {
		j := &jobs[i]
		// The end first: its record bounds it.
		j.to = max(min(began(j)+lasted(j)-offset, j.Time), free)
		j.from = max(j.to-lasted(j), free)
		free = j.to
	}
	return jobs, clock, offset
}

// placeBackward lets each job end when its result was on record, or when the next one
// started.
func placeBackward(jobs []placed, start, end int64, lasted func(*placed) int64) {
	for i := len(jobs) - 1; i >= 0; i-- {
		j := &jobs[i]
		j.to = max(min(end, j.Time), start)
		j.from = max(j.to-lasted(j), start)
		end = j.from
	}
}

// divide divides the attempt's time, up to its end or to a later look at it.
func (a *attempt) divide(end int64) (segments []Segment, jobs []placed, clock Clock, offset int64) {
	if a.ended.Index != 0 {
		end = a.ended.Time
	}
	at := a.Time
	to := func(c Class, t int64) {
		if t > at {
			segments = append(segments, Segment{Class: c, From: timeOf(at), To: timeOf(t), Attempt: a.id, from: at, to: t})
			at = t
		}
	}
	jobs, clock, offset = a.place(end)
	if a.ahead {
		// The agent starts it by its own word, before the end that it waits for is on
		// record.
		turn := end
		if a.turn.Index != 0 {
			turn = min(turn, a.turn.Time)
		}
		if len(jobs) > 0 {
			turn = min(turn, jobs[0].from)
		}
		to(Dependencies, turn)
	}
	if a.queued {
		place := end
		if a.seated.Index != 0 {
			place = min(place, a.seated.Time)
		}
		if len(jobs) > 0 {
			place = min(place, jobs[0].from)
		}
		to(Slot, place)
	}
	for i := range jobs {
		class := Between
		if i == 0 {
			class = Dispatch
		}
		to(class, jobs[i].from)
		to(Execution, jobs[i].to)
	}
	if len(jobs) == 0 && a.began.Index != 0 {
		to(Dispatch, min(a.began.Time, end))
	}
	to(a.rest(len(jobs) > 0), end)
	return segments, jobs, clock, offset
}

// rest is what the time behind the last job's result was spent with.
func (a *attempt) rest(some bool) Class {
	begun := some || a.began.Index != 0
	switch a.outcome {
	case eventlog.Succeeded, eventlog.Failed, eventlog.Skipped:
		if some {
			return Report
		}
		return Execution
	case eventlog.Unknown, eventlog.NotStarted:
		if begun {
			return Report
		}
		return Dispatch
	}
	if begun {
		return Execution // a job is under way, or was cancelled
	}
	return Dispatch
}
