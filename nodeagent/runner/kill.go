package runner

import (
	"time"

	"golang.org/x/sys/unix"
)

const (
	killPollMin  = 5 * time.Millisecond
	killPollMax  = 200 * time.Millisecond
	killLogEvery = 10 * time.Second
)

// kill ends everything that is alive of the job, first with SIGTERM and after the
// grace with SIGKILL, and returns when nothing is left. That may take for ever if
// the kernel holds a process: nobody could truthfully say then that it has ended.
func (r *Runner) kill(j Ref, leader Process) {
	begin := time.Now()
	nextLog := begin.Add(r.cfg.Grace + killLogEvery)
	termed := map[Process]bool{}
	for poll := killPollMin; ; poll = min(2*poll, killPollMax) {
		left, err := r.survivors(j, leader)
		if err == nil && len(left) == 0 {
			return
		}
		hard := time.Since(begin) >= r.cfg.Grace
		for _, p := range left {
			switch {
			case hard:
				p.send(unix.SIGKILL)
			case !termed[p.process()]:
				termed[p.process()] = true
				p.send(unix.SIGTERM)
				// A stopped process acts on nothing but SIGKILL until it continues.
				p.send(unix.SIGCONT)
			}
		}
		if time.Now().After(nextLog) {
			nextLog = time.Now().Add(killLogEvery)
			r.cfg.Logger.Warn("processes of a job do not end", "attempt", j.Attempt, "job", j.Job, "processes", len(left), "error", err)
		}
		time.Sleep(poll)
	}
}

// Kill ends what is left of a job that an earlier agent started, and returns when
// nothing is.
func (r *Runner) Kill(j Ref, leader Process) { r.kill(j, leader) }
