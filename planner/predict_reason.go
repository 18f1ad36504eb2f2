package planner

import (
	"fmt"
	"strings"
)

// A motive is why a step would run.
type motive uint8

const (
	causeNone motive = iota
	causeAlways
	causeHost
	causeNew
	causeMessage
	causeEnded    // the last run did not end well
	causeUnread   // what the last run did is not known
	causeEvicted  // the agent forgets
	causeChanged  // a job
	causeUses     // an argument that changed
	causeRequires // a task that runs, and comes to something else
	causeRequired // a task that came to something else since
	causeAdded    // a task that it did not require
)

// open reports whether what comes of the step may, but need not, be what it was.
func (c motive) open() bool {
	return c == causeEnded || c == causeUnread || c == causeEvicted || c >= causeRequires
}

// A why is a motive with what it is about. Job is counted from 1.
type why struct {
	cause motive
	job   uint32
	task  uint32
	run   uint64
	name  string
}

// reasonsShownMax is how many reasons a verdict gives before it counts the rest.
const reasonsShownMax = 2

// verdict puts the slots of a task into words.
func (x *predictor) verdict(i int) Verdict {
	v := Verdict{Action: ActionUnchanged}
	var order []uint32
	groups := map[uint32][]string{}
	newest, unless := uint64(0), uint32(0)
	for k := range x.slots[i] {
		s := &x.slots[i][k]
		if s.past != nil {
			newest = max(newest, s.past.Run)
		}
		if s.why == 0 {
			unless = max(unless, s.unless)
			continue
		}
		host := ""
		if h := x.hosts[i][k]; h != nowhere {
			host = x.plan.Hosts[h]
			v.Hosts = append(v.Hosts, host)
		}
		if _, again := groups[s.why]; !again {
			order = append(order, s.why)
		}
		groups[s.why] = append(groups[s.why], host)
	}
	if len(order) == 0 {
		v.Reason = x.untouched(i, newest, unless)
		return v
	}
	v.Action = ActionRun
	var reasons []string
	for _, id := range order[:min(len(order), reasonsShownMax)] {
		reasons = append(reasons, x.words(i, x.whys[id], groups[id], len(groups[id]) == len(x.slots[i])))
	}
	v.Reason = strings.Join(reasons, "; ")
	if more := len(order) - reasonsShownMax; more > 0 {
		v.Reason += fmt.Sprintf("; and %s", plural(more, "other reason"))
	}
	return v
}

// untouched says what a task that is left alone rests on.
func (x *predictor) untouched(i int, run uint64, unless uint32) string {
	switch {
	case len(x.slots[i]) == 0:
		return "it has no hosts"
	case unless != 0:
		return fmt.Sprintf("as run %d left it, unless %s ends otherwise than before", run, x.plan.Tasks[unless-1].ID)
	}
	return fmt.Sprintf("as run %d left it", run)
}

// words says why a task would run on some of its hosts, or on all.
func (x *predictor) words(i int, w why, hosts []string, all bool) string {
	text, task := "", x.plan.Tasks[w.task].ID
	switch w.cause {
	case causeAlways:
		text = "always"
		if w.job != 0 {
			text = fmt.Sprintf("always: job %d %s", w.job, x.verb(i, w.job))
		}
	case causeHost:
		if len(hosts) == 1 {
			return fmt.Sprintf("host %s is new", hosts[0])
		}
		return fmt.Sprintf("hosts %s are new", shortened(hosts))
	case causeNew:
		text = "new"
	case causeMessage:
		text = "changed: its message"
	case causeEnded:
		text = fmt.Sprintf("%s in run %d", w.name, w.run)
	case causeUnread:
		text = fmt.Sprintf("the plan of run %d cannot be read", w.run)
	case causeEvicted:
		text = fmt.Sprintf("behind %s, which makes agents forget", task)
	case causeChanged:
		text = fmt.Sprintf("changed: job %d %s", w.job, w.name)
	case causeUses:
		text = fmt.Sprintf("job %d %s uses %s, which changed", w.job, x.verb(i, w.job), w.name)
	case causeRequires:
		text = fmt.Sprintf("requires %s, which runs", task)
	case causeRequired:
		text = fmt.Sprintf("requires %s, which changed in run %d", task, w.run)
	case causeAdded:
		text = fmt.Sprintf("now requires %s", task)
	}
	if !all {
		text += " on " + shortened(hosts)
	}
	return text
}

// verb is that of a job by its number, from 1.
func (x *predictor) verb(i int, number uint32) string {
	for k := range x.plan.Tasks[i].Jobs {
		if j := &x.plan.Tasks[i].Jobs[k].Spec; j.Index+1 == number {
			return j.Verb
		}
	}
	return ""
}

// shortened names the first few of a list and counts the others.
func shortened(names []string) string {
	const most = 4
	if len(names) <= most {
		return strings.Join(names, ",")
	}
	return fmt.Sprintf("%s,+%d", strings.Join(names[:most], ","), len(names)-most)
}
