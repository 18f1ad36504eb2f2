package planner

import (
	"errors"
	"fmt"
	"strings"

	"quorate/internal/yaml11"
)

// A language is the declared fields of all mappings, ready for use. It is shared
// by the goroutines that decode and never changes.
type language struct {
	service, inventory, host, role, orchestration, job *fieldSet

	tasks   map[Driver]*fieldSet
	anyTask *fieldSet // for a task whose driver is not known
}

func newLanguage() *language {
	l := &language{
		service:       newFieldSet(ServiceFields()),
		inventory:     newFieldSet(InventoryFields()),
		host:          newFieldSet(HostFields()),
		role:          newFieldSet(RoleFields()),
		orchestration: newFieldSet(OrchestrationFields()),
		job:           newFieldSet(JobFields()),
		tasks:         map[Driver]*fieldSet{},
	}
	all := TaskFields()
	for _, driver := range Drivers() {
		l.tasks[driver] = forDriver(all, driver)
	}
	l.anyTask = forDriver(all, "")
	return l
}

// A decoder turns the nodes of one file into what they mean.
type decoder struct {
	*language
	report
	file *inputFile
	opt  *Options

	docs     []*yaml11.Node
	parseErr error
}

func (d *decoder) errorf(code string, at *yaml11.Node, hint, format string, args ...any) {
	d.report.errorf(code, d.file.place(spotOf(at)), hint, format, args...)
}

func (d *decoder) warnf(code string, at *yaml11.Node, hint, format string, args ...any) {
	d.report.warnf(code, d.file.place(spotOf(at)), hint, format, args...)
}

// parse reads the documents of the file.
func (d *decoder) parse() { d.docs, d.parseErr = yaml11.Parse(d.file.path, d.file.data) }

// root returns the only document of the file.
func (d *decoder) root(what string) *yaml11.Node {
	docs := d.docs
	switch {
	case d.parseErr != nil:
		at, message := spot{}, d.parseErr.Error()
		var syntax *yaml11.SyntaxError
		if errors.As(d.parseErr, &syntax) {
			at, message = spot{uint32(syntax.Line), uint32(syntax.Column)}, syntax.Message
		}
		d.report.errorf("syntax", d.file.place(at), "", "%s", message)
		return nil
	case len(docs) == 0:
		d.report.errorf("wrong-type", d.file.place(spot{}), "", "%s is empty", what)
		return nil
	case len(docs) > 1:
		d.errorf("wrong-type", docs[1], "put each document into a file of its own", "%s holds %d documents, not one", what, len(docs))
		return nil
	}
	return docs[0]
}

// serviceFile decodes a service file. Where the file was found in a folder and does
// not look like a service it is passed over with a warning: kept is false.
func (d *decoder) serviceFile() (s *service, kept bool) {
	if d.file.inFolder && !d.looksLikeService() {
		return nil, false
	}
	n := d.root("a service")
	if n == nil {
		return nil, true
	}
	s = &service{file: d.file}
	what := "the service"
	if id := n.Get("id"); id != nil && id.Kind == yaml11.Scalar {
		what = fmt.Sprintf("service %q", id.Text)
	}
	c, _ := d.check(n, what, d.language.service)
	s.id = c.name("id")
	tasks := c.get("tasks")
	if tasks == nil {
		return s, true
	}
	s.tasks = make([]task, 0, len(tasks.Items))
	first := map[string]spot{}
	for i, item := range tasks.Items {
		t, ok := d.task(item, i, s)
		if at, again := first[t.id.text]; again && t.id.text != "" {
			d.report.errorf("duplicate-task", d.file.place(t.id.at), "", "%s has a second task %q, the first is in line %d", what, t.id.text, at.line)
			continue
		}
		first[t.id.text] = t.id.at
		if ok {
			s.tasks = append(s.tasks, t)
		}
	}
	return s, true
}

// looksLikeService tells services from other YAML below the folder of services.
func (d *decoder) looksLikeService() bool {
	if d.parseErr != nil {
		// A service with a slip of the pen is an error, a template is none.
		text := "\n" + string(d.file.data)
		if strings.Contains(text, "\nid:") && strings.Contains(text, "\ntasks:") {
			return true
		}
		d.report.warnf("not-a-service", d.file.place(spot{}), "", "not a service and passed over: %v", d.parseErr)
		return false
	}
	for _, n := range d.docs {
		kind := n.Get("type")
		if n.Get("id") != nil && n.Get("tasks") != nil || kind != nil && kind.Text == "service" {
			return true
		}
	}
	d.report.warnf("not-a-service", d.file.place(spot{}), "", "not a service and passed over: it has no id and tasks")
	return false
}

func (d *decoder) task(n *yaml11.Node, i int, s *service) (t task, ok bool) {
	what := fmt.Sprintf("task %d", i+1)
	if id := n.Get("id"); id != nil && id.Kind == yaml11.Scalar {
		what = fmt.Sprintf("task %q", id.Text)
	}
	set := d.anyTask
	if driver := n.Get("driver"); driver != nil {
		if known := d.tasks[Driver(driver.Text)]; known != nil {
			set = known
		}
	}
	c, ok := d.check(n, what, set)
	t = task{
		id: c.name("id"), action: c.text("action"), driver: Driver(c.text("driver")),
		provides: c.names("provides"), requires: c.names("requires"), neededBy: c.names("needed-by"),
		idempotent: c.flag("idempotent"), always: c.flag("always"), keepGoing: c.flag("keep-going"),
	}
	if t.id.text == "" {
		t.id.at = spotOf(n)
	}
	switch t.driver {
	case DriverDirectord:
		if jobs := c.get("jobs"); jobs != nil {
			// What is wrong with jobs counts only where the service has hosts.
			jd := &decoder{language: d.language, file: d.file, opt: d.opt}
			t.jobs = jd.jobs(jobs, what)
			s.jobReport.list = append(s.jobReport.list, jd.list...)
		}
	case DriverPrint:
		if c.get("message") != nil {
			t.messages = []string{c.text("message")}
		}
	case DriverService:
		t.messages = d.messages(c.get("jobs"), what)
	case DriverLocal:
		t.jobs = d.localJob(c)
	case DriverAnsible:
		d.warnf("not-executable", n, "leave it out with --restrict, or write it as directord jobs",
			"%s runs an Ansible playbook, which can be planned but not executed", what)
	}
	return t, ok
}

// messages are what a task of the driver service logs.
func (d *decoder) messages(jobs *yaml11.Node, what string) []string {
	if jobs == nil {
		return nil
	}
	var out []string
	for i, item := range jobs.Items {
		if item.Kind != yaml11.Mapping {
			d.errorf("wrong-type", item, "", "%s: job %d must be a mapping, not %s", what, i+1, shapeOf(item))
			continue
		}
		for _, p := range item.Pairs {
			switch {
			case p.Key.Text != "echo":
				d.warnf("unknown-action", p.Key, didYouMean(nearest(p.Key.Text, oneOf("echo"))), "%s: job %d has the action %q, which does nothing", what, i+1, p.Key.Text)
			case p.Value.Kind != yaml11.Scalar:
				d.errorf("wrong-type", p.Value, "", "%s: job %d: \"echo\" must be text, not %s", what, i+1, shapeOf(p.Value))
			default:
				out = append(out, p.Value.Text)
			}
		}
	}
	return out
}

func oneOf(names ...string) func(func(string) bool) {
	return func(yield func(string) bool) {
		for _, n := range names {
			if !yield(n) {
				return
			}
		}
	}
}
