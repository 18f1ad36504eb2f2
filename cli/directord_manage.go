package cli

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"quorate/engine/api"
	"quorate/internal/job"
	"quorate/planner"
)

// An oldManager answers directord manage.
type oldManager struct {
	*program
	ctx    context.Context
	client *api.Client
	filter string
	plans  map[string]*planner.Plan
}

// An oldNode is a node as Directord's exports have it. What the cluster does not
// know of agents is left out.
type oldNode struct {
	Identity  string `json:"identity"`
	Active    bool   `json:"active"`
	Expiry    string `json:"expiry,omitempty"`
	Version   string `json:"version,omitempty"`
	MachineID string `json:"machine_id"`
	Driver    string `json:"driver"`
}

func (m *oldManager) nodes() ([]oldNode, error) {
	agents, err := m.client.Agents(m.ctx)
	if err != nil {
		return nil, err
	}
	var out []oldNode
	for _, a := range live(agents) {
		out = append(out, oldNode{Identity: a.Name, Active: true, Version: a.Version, MachineID: strconv.FormatUint(a.ID, 10), Driver: "quic"})
	}
	return out, nil
}

func (m *oldManager) listNodes() error {
	nodes, err := m.nodes()
	if err != nil {
		return err
	}
	if len(nodes) == 0 {
		return m.noData()
	}
	t := &oldTable{header: []string{"ID", "EXPIRY", "VERSION", "HOST_UPTIME", "AGENT_UPTIME", "MACHINE_ID", "DRIVER"}}
	for _, n := range nodes {
		t.rows = append(t.rows, []string{n.Identity, "-", n.Version, "-", "-", n.MachineID, n.Driver})
	}
	if err := m.printOld(t); err != nil {
		return err
	}
	_, err = fmt.Fprintf(m.con.out, "\nTotal Items: %d\n", len(nodes))
	return err
}

// jobs are the jobs of a run, those that the filter lets through.
func (m *oldManager) jobs(id string) ([]*oldJob, error) {
	run, err := m.client.Run(m.ctx, id)
	if err != nil {
		return nil, err
	}
	plan := m.plans[run.PlanID]
	if plan == nil {
		if plan, err = planOf(m.ctx, m.client, run.PlanID); err != nil {
			return nil, err
		}
		if m.plans == nil {
			m.plans = map[string]*planner.Plan{}
		}
		m.plans[run.PlanID] = plan
	}
	all := oldJobs(run, plan)
	return slices.DeleteFunc(all, func(j *oldJob) bool { return m.filter != "" && len(j.nodes(m.filter)) == 0 }), nil
}

// allJobs are the jobs of all runs, oldest first.
func (m *oldManager) allJobs() ([]*oldJob, error) {
	runs, err := m.client.Runs(m.ctx, 0)
	if err != nil {
		return nil, err
	}
	var out []*oldJob
	for _, r := range slices.Backward(runs) {
		jobs, err := m.jobs(strconv.FormatUint(r.ID, 10))
		if err != nil {
			return nil, err
		}
		out = append(out, jobs...)
	}
	return out, nil
}

func (m *oldManager) listJobs() error {
	jobs, err := m.allJobs()
	if err != nil {
		return err
	}
	if len(jobs) == 0 {
		return m.noData()
	}
	t := &oldTable{header: []string{"ID", "PARENT_JOB_NAME", "VERB", "EXECUTION_TIME", "PROCESSING", "SUCCESS", "FAILED"}}
	total, succeeded, failed := 0.0, 0, 0
	for _, j := range jobs {
		seconds := j.seconds()
		total, succeeded, failed = total+seconds, succeeded+len(j.nodes(oldSuccess)), failed+len(j.nodes(oldFailed))
		t.rows = append(t.rows, []string{j.id(), j.task, j.spec.Verb, fmt.Sprintf("%.2f", seconds), strconv.FormatBool(j.state() == oldProcessing),
			strconv.Itoa(len(j.nodes(oldSuccess))), strconv.Itoa(len(j.nodes(oldFailed)))})
	}
	if m.con.outTerminal && !t.fits(m.con.columns()) {
		t.without("PARENT_JOB_NAME") // the ID holds it
	}
	if err := m.printOld(t); err != nil {
		return err
	}
	_, err = fmt.Fprintf(m.con.out, "\nTotal Items: %d\nTotal Execution Time: %.2f\nSuccess: %d\nFailed: %d\n", len(jobs), total, succeeded, failed)
	return err
}

// seconds is the mean time of the job over its nodes.
func (j *oldJob) seconds() float64 {
	var sum time.Duration
	n := 0
	for _, t := range j.run.Tasks {
		if t.ID != j.task {
			continue
		}
		for _, s := range t.Steps {
			for _, r := range s.Jobs {
				if r.Job == j.spec.Index {
					sum, n = sum+time.Duration(r.DurationMS)*time.Millisecond, n+1
				}
			}
		}
	}
	return sum.Seconds() / float64(max(n, 1))
}

// An oldRecord is a job as Directord's exports and --job-info have it.
type oldRecord struct {
	ID              string            `json:"job_id"`
	ParentJobID     string            `json:"PARENT_JOB_ID"`
	ParentJobName   string            `json:"PARENT_JOB_NAME"`
	JobName         string            `json:"JOB_NAME"`
	Fingerprint     string            `json:"JOB_SHA3_224"`
	Verb            string            `json:"VERB"`
	Definition      map[string]string `json:"JOB_DEFINITION"`
	Processing      bool              `json:"PROCESSING"`
	ExecutionTime   string            `json:"EXECUTION_TIME"`
	RoundtripTime   string            `json:"ROUNDTRIP_TIME"`
	Success         []string          `json:"SUCCESS"`
	Failed          []string          `json:"FAILED"`
	Info            map[string]string `json:"INFO"`
	Stdout          map[string]string `json:"STDOUT"`
	Stderr          map[string]string `json:"STDERR"`
	ReturnTimestamp string            `json:"RETURN_TIMESTAMP,omitempty"`
}

func (m *oldManager) record(j *oldJob) (*oldRecord, error) {
	r := &oldRecord{
		ID: j.id(), ParentJobID: j.parent(), ParentJobName: j.task, JobName: j.spec.Name, Fingerprint: j.spec.Fingerprint, Verb: j.spec.Verb,
		Definition: definition(j.spec), Processing: j.state() == oldProcessing, ExecutionTime: fmt.Sprintf("%.8f", j.seconds()),
		Success: j.nodes(oldSuccess), Failed: j.nodes(oldFailed),
		Info: map[string]string{}, Stdout: map[string]string{}, Stderr: map[string]string{},
	}
	if r.JobName == "" {
		r.JobName = r.Fingerprint
	}
	run := strconv.FormatUint(j.run.ID, 10)
	for out, err := range m.client.Output(m.ctx, run, j.task, "") {
		if err != nil {
			return nil, err
		}
		if out.Job == j.spec.Index {
			r.Info[out.Host], r.Stdout[out.Host], r.Stderr[out.Host] = out.Info, strings.TrimSpace(out.Stdout), strings.TrimSpace(out.Stderr)
		}
	}
	if a, err := m.client.Analyze(m.ctx, run, j.task, &j.spec.Index); err == nil && a.Nodes > 0 {
		sum := 0.0
		for _, n := range a.Hosts {
			sum += n.RoundTripMS
		}
		r.RoundtripTime = fmt.Sprintf("%.8f", sum/1000/float64(a.Nodes))
	}
	if j.run.EndedAt != nil {
		r.ReturnTimestamp = stamp(*j.run.EndedAt)
	}
	return r, nil
}

// definition is what the job was sent with.
func definition(spec *job.Job) map[string]string {
	out := map[string]string{"verb": spec.Verb, "timeout": strconv.FormatUint(uint64(spec.TimeoutSeconds), 10)}
	if spec.Text != "" {
		out["text"] = spec.Text
	}
	for _, o := range spec.Options {
		out[strings.ReplaceAll(o.Name, "-", "_")] = o.Value
	}
	if spec.SkipCache {
		out["skip_cache"] = "true"
	}
	return out
}

func (m *oldManager) jobInfo(id string) error {
	run, index := "latest", -1
	var task string
	if id != "last" {
		r, t, n, ok := oldID(id)
		if !ok || n == nil {
			return m.noData()
		}
		run, task, index = r, t, int(*n)
	}
	jobs, err := m.jobs(run)
	if notFound(err) {
		return m.noData()
	}
	if err != nil {
		return err
	}
	for i, j := range jobs {
		if id == "last" && i == len(jobs)-1 || j.task == task && int(j.spec.Index) == index {
			r, err := m.record(j)
			if err != nil {
				return err
			}
			return m.printObject(r)
		}
	}
	return m.noData()
}

// notFound reports whether the orchestrator says that there is no such thing.
func notFound(err error) bool {
	var answered *api.Error
	return errors.As(err, &answered) && answered.Code == "not-found"
}

// printObject prints one object as KEY and VALUE; mappings are lines.
func (m *oldManager) printObject(v any) error {
	data, err := json.Marshal(v)
	if err != nil {
		return err
	}
	fields := map[string]any{}
	dec := json.NewDecoder(bytes.NewReader(data))
	dec.UseNumber()
	if err := dec.Decode(&fields); err != nil {
		return err
	}
	t := &oldTable{header: []string{"KEY", "VALUE"}}
	for _, key := range sortedKeys(fields) {
		if fields[key] == nil {
			continue
		}
		name := strings.ToUpper(key)
		if key == "job_id" {
			name = "ID"
		}
		t.rows = append(t.rows, []string{name, cellOf(fields[key])})
	}
	if err := m.printOld(t); err != nil {
		return err
	}
	_, err = fmt.Fprintf(m.con.out, "\nTotal Items: %d\n", len(t.rows))
	return err
}

func sortedKeys(fields map[string]any) []string {
	var keys []string
	for k := range fields {
		keys = append(keys, k)
	}
	slices.SortFunc(keys, func(a, b string) int { return strings.Compare(strings.ToUpper(a), strings.ToUpper(b)) })
	return keys
}

// cellOf writes a value into a cell of a table.
func cellOf(v any) string {
	switch v := v.(type) {
	case map[string]any:
		var lines []string
		for _, k := range sortedKeys(v) {
			lines = append(lines, fmt.Sprintf("%s = %s", k, strings.ReplaceAll(fmt.Sprint(v[k]), "\n", "\n    ")))
		}
		return strings.Join(lines, "\n")
	case []any:
		var items []string
		for _, item := range v {
			items = append(items, fmt.Sprint(item))
		}
		return strings.Join(items, ", ")
	}
	return fmt.Sprint(v)
}

func (m *oldManager) exportJobs(path string) error {
	jobs, err := m.allJobs()
	if err != nil {
		return err
	}
	out := map[string]*oldRecord{}
	for _, j := range jobs {
		if out[j.id()], err = m.record(j); err != nil {
			return err
		}
	}
	return m.export(path, out, len(jobs))
}

func (m *oldManager) exportNodes(path string) error {
	nodes, err := m.nodes()
	if err != nil {
		return err
	}
	out := map[string]oldNode{}
	for _, n := range nodes {
		out[n.Identity] = n
	}
	return m.export(path, out, len(nodes))
}

// export writes a file: YAML, or JSON where its name says so.
func (m *oldManager) export(path string, v any, n int) error {
	var buf bytes.Buffer
	err := printYAML(&buf, v)
	if filepath.Ext(path) == ".json" {
		buf.Reset()
		enc := json.NewEncoder(&buf)
		enc.SetIndent("", "  ")
		err = enc.Encode(v)
	}
	if err != nil {
		return err
	}
	if err := os.WriteFile(path, buf.Bytes(), 0o600); err != nil {
		return err
	}
	_, err = fmt.Fprintf(m.con.out, "Exported %d items to %s\n", n, path)
	return err
}
