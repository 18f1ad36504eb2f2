package acceptance

import (
	"bufio"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// A call is one line that testdata/stand-in has recorded.
type call struct {
	number  int // counts the calls of all hosts
	host    string
	task    string
	job     int // position in the task, from 0
	attempt string
	stdin   string // SHA-256, or - where nothing could come in
	argv    string // as bash quotes it
}

// readCalls reads a record, which has to be whole.
func readCalls(path string) ([]call, error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	var all []call
	for scan := bufio.NewScanner(file); scan.Scan(); {
		fields := strings.SplitN(scan.Text(), "\t", 7)
		if len(fields) != 7 {
			return nil, fmt.Errorf("line %d of the record has %d fields: %s", len(all)+1, len(fields), scan.Text())
		}
		c := call{host: fields[1], task: fields[2], attempt: fields[4], stdin: fields[5], argv: fields[6]}
		if c.number, err = strconv.Atoi(fields[0]); err != nil || c.number != len(all)+1 {
			return nil, fmt.Errorf("line %d of the record is number %s: calls are lost, or out of order", len(all)+1, fields[0])
		}
		if c.job, err = strconv.Atoi(fields[3]); err != nil {
			return nil, fmt.Errorf("call %d is by no job: %s", c.number, c.argv)
		}
		all = append(all, c)
	}
	return all, nil
}

// A planView is what "quorate plan -o json" says of a plan, as far as it is judged by.
type planView struct {
	Hosts []string   `json:"hosts"`
	Tasks []taskView `json:"tasks"`
}

// A taskView is one task of it.
type taskView struct {
	ID       string   `json:"id"`
	Hosts    []string `json:"hosts"`
	Requires []string `json:"requires"`
	Provides []string `json:"provides"`
	Jobs     int      `json:"jobs"`
	File     string   `json:"file"`
}

// before returns the tasks that each task has to come after, by the symbols that it
// requires, the symbols that these require, and so on.
func (p *planView) before() map[string]map[string]bool {
	provider := map[string]string{}
	byID := map[string]*taskView{}
	for i := range p.Tasks {
		byID[p.Tasks[i].ID] = &p.Tasks[i]
		for _, symbol := range p.Tasks[i].Provides {
			provider[symbol] = p.Tasks[i].ID
		}
	}
	all := map[string]map[string]bool{}
	var collect func(id string) map[string]bool
	collect = func(id string) map[string]bool {
		if known, ok := all[id]; ok {
			return known
		}
		found := map[string]bool{}
		all[id] = found
		for _, symbol := range byID[id].Requires {
			found[provider[symbol]] = true
			for further := range collect(provider[symbol]) {
				found[further] = true
			}
		}
		return found
	}
	for id := range byID {
		collect(id)
	}
	return all
}

// judge returns what is wrong with a record of a run of the plan: calls of tasks before
// what they require is done on every host, calls by nobody, jobs out of their order.
func judge(plan *planView, calls []call) []string {
	type span struct{ first, last call }
	spans := map[string]*span{}
	latest := map[string]call{} // by task and host
	known := map[string]*taskView{}
	for i := range plan.Tasks {
		known[plan.Tasks[i].ID] = &plan.Tasks[i]
	}
	var wrong []string
	for _, c := range calls {
		task := known[c.task]
		if task == nil || !slices.Contains(task.Hosts, c.host) || c.job < 0 || c.job >= task.Jobs {
			wrong = append(wrong, fmt.Sprintf("call %d, %s, is by job %d of %s on %s, which the plan does not have", c.number, c.argv, c.job, c.task, c.host))
			continue
		}
		if s := spans[c.task]; s == nil {
			spans[c.task] = &span{c, c}
		} else {
			s.last = c
		}
		key := c.task + " on " + c.host
		if earlier, ok := latest[key]; ok && (earlier.job > c.job || earlier.attempt != c.attempt) {
			wrong = append(wrong, fmt.Sprintf("%s: call %d is by job %d of attempt %s, after call %d by job %d of attempt %s",
				key, c.number, c.job, c.attempt, earlier.number, earlier.job, earlier.attempt))
		}
		latest[key] = c
	}
	before := plan.before()
	for id, s := range spans {
		for required := range before[id] {
			if r := spans[required]; r != nil && r.last.number > s.first.number {
				wrong = append(wrong, fmt.Sprintf("%s requires %s, but its call %d, %s, on %s comes before call %d, %s, on %s",
					id, required, s.first.number, s.first.argv, s.first.host, r.last.number, r.last.argv, r.last.host))
			}
		}
	}
	slices.Sort(wrong)
	return wrong
}

// The judge sees each kind of fault, also through a task that calls nothing.
func TestJudge(t *testing.T) {
	plan := &planView{Tasks: []taskView{
		{ID: "a", Hosts: []string{"h1", "h2"}, Provides: []string{"sa"}, Jobs: 2},
		{ID: "b", Hosts: []string{"h1"}, Requires: []string{"sa"}, Provides: []string{"sb"}, Jobs: 1},
		{ID: "c", Hosts: []string{"h2"}, Requires: []string{"sb"}, Jobs: 1},
	}}
	made := func(calls ...call) []call {
		for i := range calls {
			calls[i].number = i + 1
		}
		return calls
	}
	a1, a2, c := call{host: "h1", task: "a"}, call{host: "h2", task: "a", job: 1}, call{host: "h2", task: "c"}
	for name, tt := range map[string]struct {
		calls []call
		want  string
	}{
		"in order":             {made(a1, a2, c), ""},
		"too early":            {made(a1, c, a2), "c requires a"},
		"no such host":         {made(call{host: "h3", task: "a"}), "does not have"},
		"no such task":         {made(call{host: "h1", task: "x"}), "does not have"},
		"no such job":          {made(call{host: "h1", task: "b", job: 1}), "does not have"},
		"jobs in wrong order":  {made(a2, call{host: "h2", task: "a"}), "after call 1 by job 1"},
		"in two attempts":      {made(a1, call{host: "h1", task: "a", attempt: "7"}), "of attempt 7"},
		"required on one host": {made(a1, call{host: "h1", task: "b"}, a2), "b requires a"},
	} {
		t.Run(name, func(t *testing.T) {
			got := strings.Join(judge(plan, tt.calls), "\n")
			if (tt.want == "") != (got == "") || !strings.Contains(got, tt.want) {
				t.Errorf("%q, want %q", got, tt.want)
			}
		})
	}
}
