package runner

import (
	"context"
	"errors"
	"time"

	"golang.org/x/sys/unix"
)

// A Finding is what is left of a job that an earlier agent started.
type Finding uint8

// The findings.
const (
	// NotSpawned: the files are whole and hold no start of the job, so no process of
	// it was ever started.
	NotSpawned Finding = iota + 1
	// Alive: its process runs; [Runner.Adopt] waits for it.
	Alive
	// Ended: its process ended and left its status; Adopt returns it.
	Ended
	// Lost: it was started, and nobody can say how it ended.
	Lost
)

const adoptPoll = 100 * time.Millisecond

// Find looks for what is left of a job. The process is what was recorded of it, or
// zero. It also returns the process that was found alive.
func (r *Runner) Find(j Ref, recorded Process) (Finding, Process) {
	slot, ok := r.slotOf(j)
	switch {
	case !ok && recorded.Pid != 0:
		return Lost, recorded // somebody took its files away
	case !ok:
		return NotSpawned, Process{}
	}
	// The status counts before what is alive: a script may leave processes of its
	// own behind that bear its marks and lead a session.
	if _, ok := slot.exitCode(); ok {
		return Ended, recorded
	}
	if s, ok := readStat(recorded.Pid); ok && s.live() && s.startTicks == recorded.StartTicks {
		return Alive, recorded
	}
	// Of a job that tries again the process on record may be one of an earlier try.
	if p, ok := r.findLeader(j); ok {
		return Alive, p
	}
	return Lost, recorded
}

// findLeader finds the process that leads the job's session by its marks.
func (r *Runner) findLeader(j Ref) (Process, bool) {
	all, err := processes()
	if err != nil {
		return Process{}, false
	}
	for _, p := range all {
		if p.pid == p.session && r.marked(j, p.pid) {
			return p.process(), true
		}
	}
	return Process{}, false
}

// Adopt waits for the process of a job that an earlier agent started and returns
// its status, like [Runner.Run]. lost is true where it ended without leaving one;
// what was left of its group is then ended.
func (r *Runner) Adopt(ctx context.Context, j Ref, p Process) (e Exited, lost bool, err error) {
	slot, ok := r.slotOf(j)
	if !ok {
		r.kill(j, p)
		return Exited{}, true, nil
	}
	slot.dirty = true
	out := &outputs{stdout: slot.stdout, stderr: slot.stderr}
	ctx, w := r.watch(ctx, out, func() {})
	defer w.stop()
	if p.Pid != 0 && !wait(ctx, p) {
		if errors.Is(context.Cause(ctx), ErrLeave) {
			return Exited{}, false, ErrLeave
		}
		r.kill(j, p)
		e.Stdout, e.Stderr = out.read()
		e.Code = -1
		return e, false, causeOf(ctx)
	}
	code, ok := slot.exitCode()
	if !ok {
		r.kill(j, p)
	}
	e.Stdout, e.Stderr = out.read()
	e.Code = code
	return e, !ok, nil
}

// wait waits until the process has ended and returns true, or until ctx ends.
func wait(ctx context.Context, p Process) bool {
	fd, err := unix.PidfdOpen(int(p.Pid), 0)
	if err == nil {
		defer unix.Close(fd)
	}
	for {
		// Checked after the descriptor was opened, so that it is this process's.
		s, ok := readStat(p.Pid)
		if !ok || !s.live() || s.startTicks != p.StartTicks {
			return true
		}
		if ctx.Err() != nil {
			return false
		}
		if err != nil {
			time.Sleep(adoptPoll)
			continue
		}
		_, _ = unix.Poll([]unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}, int(adoptPoll.Milliseconds()))
	}
}
