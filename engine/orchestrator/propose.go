package orchestrator

import (
	"context"
	"errors"
	"fmt"
	"time"

	"quorate/eventlog"
)

// Propose appends events next to each other and returns when they are folded
// here: their indexes, and for each why it changed nothing, or "".
//
// An error of code [Unavailable] leaves open whether the events are in the log
// or will be; one that wraps [eventlog.ErrRefused] says that they never will.
//
// Where the cluster was recovered nothing is proposed before that is on record.
func (o *Orchestrator) Propose(ctx context.Context, events ...eventlog.Event) (indexes []uint64, reasons []string, err error) {
	if err := o.awaitRecovery(ctx); err != nil {
		return nil, nil, proposeError(err)
	}
	return o.append(ctx, events...)
}

// append is Propose at once.
func (o *Orchestrator) append(ctx context.Context, events ...eventlog.Event) (indexes []uint64, reasons []string, err error) {
	if len(events) == 0 {
		return nil, nil, nil
	}
	now := o.cfg.Now().UnixNano()
	entries := make([]eventlog.Entry, len(events))
	for i, event := range events {
		if entries[i], err = eventlog.NewEntry(now, event); err != nil {
			return nil, nil, &Error{Code: Invalid, Message: fmt.Sprintf("event %s: %v", event.Kind(), err), Err: err}
		}
	}
	start := time.Now()
	first, err := o.cfg.Log.Append(ctx, entries)
	if err != nil {
		return nil, nil, proposeError(err)
	}
	o.appends.Observe(time.Since(start).Seconds())
	last := first + uint64(len(entries)) - 1
	if err := o.folded.wait(ctx, last); err != nil {
		return nil, nil, proposeError(err)
	}
	indexes = make([]uint64, len(entries))
	reasons = make([]string, len(entries))
	o.mu.RLock()
	defer o.mu.RUnlock()
	for i := range entries {
		indexes[i] = first + uint64(i)
		reasons[i] = o.voids.Reason(indexes[i])
	}
	return indexes, reasons, nil
}

// ambiguous reports whether it is open what became of a proposal, and asking the
// log again may tell.
func ambiguous(err error) bool {
	var failed *Error
	return errors.As(err, &failed) && failed.Code == Unavailable &&
		!errors.Is(err, eventlog.ErrRefused) && !errors.Is(err, eventlog.ErrFull) && !errors.Is(err, eventlog.ErrClosed)
}

// fresh checks a command against the state, and where that refuses it, against
// one that is not older than anything a client was told: another orchestrator may
// have taken what this command builds upon.
func (o *Orchestrator) fresh(ctx context.Context, check func() error) error {
	err := check()
	if err == nil {
		return nil
	}
	if err := o.Barrier(ctx); err != nil {
		return err
	}
	return check()
}

// proposeError says what is known after a failed proposal.
func proposeError(err error) error {
	if errors.Is(err, eventlog.ErrRefused) {
		return &Error{Code: Unavailable, Message: fmt.Sprintf("the log refused the event: %v", err), Err: err}
	}
	return &Error{
		Code: Unavailable, Err: err,
		Message: fmt.Sprintf("not known whether the event was recorded: %v", err),
		Hint:    "send the same request again, with the same request id: a repeat is harmless",
	}
}

// propose appends one event of a command and returns the serial of its record; a
// void event comes back as a conflict.
// It waits through an election, for [electionWait] at most: an event whose append
// is ambiguous is proposed again, so it has to be one that does nothing more when
// it is there twice, and its caller has to look whether a conflict is one with
// the event itself.
func (o *Orchestrator) propose(ctx context.Context, event eventlog.Event) (serial uint64, err error) {
	ctx, cancel := context.WithTimeout(ctx, electionWait)
	defer cancel()
	indexes, reasons, err := o.Propose(ctx, event)
	for ambiguous(err) && wait(ctx, retryPause, nil) {
		var again error
		if indexes, reasons, again = o.Propose(ctx, event); again == nil || ctx.Err() == nil {
			err = again
		}
	}
	if err != nil {
		return 0, err
	}
	if reasons[0] != "" {
		return 0, &Error{Code: Conflict, Message: reasons[0], Err: errVoid}
	}
	return o.Serial(indexes[0]), nil
}

// errVoid is behind the conflict of an event that changed nothing.
var errVoid = errors.New("void event")
