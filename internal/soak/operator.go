package soak

import (
	"context"
	"fmt"
	"math/rand/v2"
	"strconv"
	"strings"
	"time"

	"quorate/engine/api"
	"quorate/internal/soak/lab"
)

// operatorPause is the time between two rounds of an operator.
const operatorPause = 300 * time.Millisecond

// An operator decides on steps whose outcome is unknown, after looking at the
// host, as a person would. It is the only one who does.
type operator struct {
	lab     *lab.Lab
	effects Effects
	acked   *Acknowledged
	counts  *counts
	rand    *rand.Rand
	decided []string // what it decided, for the report
}

// work goes round until ctx ends.
func (o *operator) work(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-time.After(operatorPause):
		}
		servers := o.lab.Servers()
		s := servers[o.rand.IntN(len(servers))]
		if s.Running() {
			o.round(ctx, s)
		}
	}
}

// round looks at the runs that are under way. Whatever fails is done next time.
func (o *operator) round(ctx context.Context, s *lab.Server) {
	client, err := s.Local()
	if err != nil {
		return
	}
	defer client.Close()
	ctx, cancel := context.WithTimeout(ctx, 2*answerTimeout)
	defer cancel()
	runs, err := client.Runs(ctx, 4*openMax)
	if err != nil {
		return
	}
	open := 0
	for _, r := range runs {
		if r.Done() {
			continue
		}
		open++
		if r.Status == "waiting" || len(r.WaitingFor) > 0 {
			o.decide(ctx, client, r.ID)
		}
	}
	o.counts.open.Store(int64(open))
}

// decide settles the steps of a run that wait.
func (o *operator) decide(ctx context.Context, client *api.Client, id uint64) {
	run, err := client.Run(ctx, strconv.FormatUint(id, 10))
	if err != nil {
		return
	}
	for _, t := range run.Tasks {
		for _, st := range t.Steps {
			if st.Status == "waiting" {
				o.settle(ctx, client, id, st)
			}
		}
	}
}

// settle decides on one step. Where no job of it is the one in question, only a
// step without any effect may be repeated.
func (o *operator) settle(ctx context.Context, client *api.Client, run uint64, st api.Step) {
	counts, err := o.effects.Count()
	if err != nil {
		return
	}
	as, job := "retry", unknownJob(st)
	for at, n := range counts {
		if at.Attempt != st.Attempt || n == 0 {
			continue
		}
		switch {
		case job < 0:
			as = "failed"
		case int64(at.Job) == job:
			as = "succeeded"
		}
	}
	// One id per attempt: a decision that was not answered is made again as it was.
	in := api.Resolve{RequestID: fmt.Sprintf("soak-operator-%d-%s", st.Attempt, as), Step: st.ID, As: as, Reason: "looked at the effects on the host"}
	if _, err := client.Resolve(ctx, strconv.FormatUint(run, 10), in); err != nil {
		return
	}
	o.acked.note(o.acked.Resolves, in.RequestID, run)
	o.counts.resolved.Add(1)
	o.decided = append(o.decided, fmt.Sprintf("run %d %s attempt %d job %d: %s", run, st.ID, st.Attempt, job, as))
}

// unknownJob is the number of the job whose outcome is in question, or -1.
func unknownJob(st api.Step) int64 {
	for _, j := range st.Jobs {
		if j.Outcome == "unknown" {
			return int64(j.Job)
		}
	}
	return -1
}

// report is what the operator did, a line for each decision.
func (o *operator) report() string { return strings.Join(o.decided, "\n") }
