package acceptance

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"quorate/internal/soak/lab"
	"quorate/internal/yaml11"
)

// A writtenJob is a job as the file of its service has it. It is read here without the
// planner, so that what came of it is judged by what was written.
type writtenJob struct {
	task     *taskView
	number   int // position in the task, from 0
	verb     string
	words    []string // without options that all verbs have
	once     bool
	template bool
}

// jobsOf reads the jobs of the plan's tasks from their files.
func jobsOf(t *testing.T, plan *planView, dir string) (all []writtenJob) {
	t.Helper()
	for i := range plan.Tasks {
		task := &plan.Tasks[i]
		text, err := os.ReadFile(filepath.Join(dir, task.File))
		if err != nil {
			t.Fatal(err)
		}
		docs, err := yaml11.Parse(task.File, text)
		if err != nil {
			t.Fatal(err)
		}
		service := entry(docs[0], "id").Text
		before := len(all)
		for _, written := range entry(docs[0], "tasks").Items {
			if service+"-"+entry(written, "id").Text != task.ID {
				continue
			}
			for n, job := range entry(written, "jobs").Items {
				all = append(all, readJob(task, n, job.Pairs[0]))
			}
		}
		if len(all)-before != task.Jobs {
			t.Fatalf("%s: %d jobs of %s are found, the plan has %d", task.File, len(all)-before, task.ID, task.Jobs)
		}
	}
	return all
}

func entry(n *yaml11.Node, key string) *yaml11.Node {
	for _, p := range n.Pairs {
		if p.Key.Text == key {
			return p.Value
		}
	}
	return &yaml11.Node{}
}

func readJob(task *taskView, number int, pair yaml11.Pair) writtenJob {
	j := writtenJob{task: task, number: number, verb: pair.Key.Text}
	words := strings.Fields(pair.Value.Text)
	for len(words) > 0 {
		word := words[0]
		words = words[1:]
		switch word {
		case "--run-once":
			j.once = true
		case "--blueprint":
			j.template = true
		case "--skip-cache", "--restarted", "--enable":
		case "--stdout-arg", "--chown", "--chmod":
			words = words[1:]
		default:
			if j.words = append(j.words, word); j.verb == "RUN" {
				j.words, words = append(j.words, words...), nil
			}
		}
	}
	return j
}

// program is the stand-in that the job calls whatever else happens, or nothing.
func (j *writtenJob) program() string {
	switch {
	case j.verb == "DNF":
		return "dnf"
	case j.verb == "SERVICE":
		return "systemctl"
	case j.verb == "RUN" && slices.Contains(standIns, j.words[0]):
		return j.words[0]
	}
	return ""
}

// missed returns what jobs have not called on each of their hosts, and what they have
// called more often than once where that is plain to see.
func missed(jobs []writtenJob, calls []call) (wrong []string) {
	type key struct {
		task string
		job  int
		host string
	}
	made := map[key][]string{}
	for _, c := range calls {
		k := key{c.task, c.job, c.host}
		made[k] = append(made[k], c.argv)
	}
	for i := range jobs {
		j := &jobs[i]
		program := j.program()
		if program == "" {
			continue
		}
		want, on := len(j.task.Hosts), 0
		if j.once {
			want = 1
		}
		for _, host := range j.task.Hosts {
			argv := made[key{j.task.ID, j.number, host}]
			if slices.ContainsFunc(argv, func(text string) bool { return strings.HasPrefix(text, program) }) {
				on++
			}
			if j.verb == "DNF" && len(argv) > 1 || program == "crudini" && len(argv) > 1 {
				wrong = append(wrong, fmt.Sprintf("job %d of %s has called %d times on %s: %q", j.number, j.task.ID, len(argv), host, argv))
			}
		}
		if on != want {
			wrong = append(wrong, fmt.Sprintf("job %d of %s, %s %s, has called %s on %d hosts, want %d", j.number, j.task.ID, j.verb, strings.Join(j.words, " "), program, on, want))
		}
	}
	return wrong
}

// checkRendered looks at the file that a template became on each host, and returns how
// many those are.
func (j *writtenJob) checkRendered(t *testing.T, l *lab.Lab) (files int) {
	t.Helper()
	if !j.template {
		return 0
	}
	for _, a := range l.Agents() {
		if !slices.Contains(j.task.Hosts, a.Name()) {
			continue
		}
		text, err := os.ReadFile(filepath.Join("/proc", fmt.Sprint(a.Pid()), "root", j.words[1]))
		if err != nil {
			t.Errorf("%s on %s: %v", j.words[0], a.Name(), err)
		}
		if found := string(text); strings.Contains(found, "{{") || strings.Contains(found, "{%") {
			t.Errorf("%s on %s is not rendered:\n%s", j.words[1], a.Name(), found)
		}
		files++
	}
	return files
}

// What was never called, called on too few hosts or too often is found.
func TestMissed(t *testing.T) {
	task := &taskView{ID: "a", Hosts: []string{"h1", "h2"}}
	everywhere, once := writtenJob{task: task, verb: "DNF", words: []string{"x"}}, writtenJob{task: task, number: 1, verb: "RUN", words: []string{"mysql"}, once: true}
	dnf := func(host string) call { return call{host: host, task: "a", argv: "dnf install x"} }
	mysql := call{host: "h1", task: "a", job: 1, argv: "mysql -e"}
	for name, tt := range map[string]struct {
		calls []call
		want  string
	}{
		"all":      {[]call{dnf("h1"), dnf("h2"), mysql}, ""},
		"one host": {[]call{dnf("h1"), mysql}, "on 1 hosts, want 2"},
		"never":    {[]call{dnf("h1"), dnf("h2")}, "on 0 hosts, want 1"},
		"twice":    {[]call{dnf("h1"), dnf("h2"), dnf("h2"), mysql}, "called 2 times on h2"},
		"not once": {[]call{dnf("h1"), dnf("h2"), mysql, {host: "h2", task: "a", job: 1, argv: "mysql"}}, "on 2 hosts, want 1"},
	} {
		t.Run(name, func(t *testing.T) {
			got := strings.Join(missed([]writtenJob{everywhere, once}, tt.calls), "\n")
			if (tt.want == "") != (got == "") || !strings.Contains(got, tt.want) {
				t.Errorf("%q, want %q", got, tt.want)
			}
		})
	}
}
