package soak

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"quorate/engine/api"
	"quorate/nodeagent/verb"
	"quorate/planner"
)

// A Deployment is a plan that a soak runs again and again.
type Deployment struct {
	Name   string
	PlanID string
	// Cancels says that runs of it are made to be cancelled.
	Cancels bool
	// Succeeds says that undisturbed runs of it succeed.
	Succeeds bool
	blobs    []api.Blob
}

// A Task is one of a deployment's, in the order of the file.
type Task struct {
	Name string
	// After is the task that it requires, empty for none.
	After string
	// On is the only host that has it; empty is all of them.
	On         string
	Idempotent bool
	// Jobs are shell commands, or the arguments of another verb where Verb names one;
	// Print is a message instead of them.
	Jobs  []string
	Verb  string
	Print string
}

// Deployments compiles the plans of a soak for hosts: a chain of tasks that may
// not be repeated, tasks that may, one that fails in the middle, one whose jobs take
// long enough to be cancelled, and a chain that goes to and fro between the last two.
func Deployments(dir string, hosts []string, effects Effects) ([]*Deployment, error) {
	do := effects.Script()
	kinds := []struct {
		Deployment
		tasks []Task
	}{
		{Deployment{Name: "chain", Succeeds: true}, []Task{
			{Name: "first", Jobs: []string{do, "sleep 0.1; " + do, do + "; sleep 0.1"}},
			{Name: "second", After: "first", Jobs: []string{do + "; sleep 0.05", do}},
			{Name: "third", After: "second", Jobs: []string{"sleep 0.05; " + do}},
		}},
		{Deployment{Name: "wide", Succeeds: true}, []Task{
			{Name: "left", Idempotent: true, Jobs: []string{do, "sleep 0.1; " + do, do}},
			{Name: "right", Idempotent: true, Jobs: []string{do + "; sleep 0.1", do}},
			{Name: "join", After: "left", Jobs: []string{do}},
		}},
		{Deployment{Name: "broken"}, []Task{
			{Name: "good", Jobs: []string{do}},
			{Name: "bad", After: "good", Jobs: []string{do, do + "; exit 3", do}},
			{Name: "never", After: "bad", Jobs: []string{do}},
		}},
		{Deployment{Name: "long", Cancels: true}, []Task{
			{Name: "slow", Jobs: []string{do + "; sleep 2", "sleep 2; " + do, do}},
			{Name: "later", After: "slow", Jobs: []string{do}},
		}},
	}
	if n := len(hosts); n > 1 {
		to := Task{Name: "s0", On: hosts[n-1], Jobs: []string{do, "sleep 0.1; " + do}}
		chain := []Task{to}
		for i := range 5 {
			to = Task{Name: fmt.Sprintf("s%d", i+1), After: to.Name, On: hosts[n-1-(i+1)%2], Jobs: []string{do, "sleep 0.1; " + do}}
			chain = append(chain, to)
		}
		kinds = append(kinds, struct {
			Deployment
			tasks []Task
		}{Deployment{Name: "site", Succeeds: true}, chain})
	}
	var all []*Deployment
	for _, k := range kinds {
		d, err := Compile(filepath.Join(dir, k.Name), k.Name, hosts, k.tasks)
		if err != nil {
			return nil, err
		}
		d.Cancels, d.Succeeds = k.Cancels, k.Succeeds
		all = append(all, d)
	}
	return all, nil
}

// Compile writes the files of a deployment to dir and makes its plan: one service
// with the tasks of all hosts, and one for each host that has tasks of its own.
func Compile(dir, name string, hosts []string, tasks []Task) (*Deployment, error) {
	d := &Deployment{Name: name}
	src, err := d.write(dir, hosts, tasks)
	if err == nil {
		err = d.compile(src)
	}
	if err != nil {
		return nil, fmt.Errorf("deployment %s: %w", name, err)
	}
	return d, nil
}

// write writes the files: each host has a role of its own.
func (d *Deployment) write(dir string, hosts []string, tasks []Task) (planner.Sources, error) {
	src := planner.Sources{Services: filepath.Join(dir, "services"), Inventory: filepath.Join(dir, "inventory.yaml"), Roles: filepath.Join(dir, "roles.yaml")}
	services := map[string]string{} // by the host that has it, empty for all
	for _, t := range tasks {
		if services[t.On] == "" {
			services[t.On] = fmt.Sprintf("id: %s\nversion: \"1.0\"\ntype: service\ntasks:\n", d.service(t.On))
		}
		services[t.On] += d.task(t)
	}
	files := map[string]string{src.Inventory: "hosts:\n"}
	for on, text := range services {
		files[filepath.Join(src.Services, d.service(on)+".yaml")] = text
	}
	for _, h := range hosts {
		var has []string
		for _, on := range []string{"", h} {
			if services[on] != "" {
				has = append(has, d.service(on))
			}
		}
		if len(has) > 0 {
			files[src.Inventory] += fmt.Sprintf("  %s: {role: role-%s}\n", h, h)
			files[src.Roles] += fmt.Sprintf("role-%s:\n  services: [%s]\n", h, strings.Join(has, ", "))
		}
	}
	if err := os.MkdirAll(src.Services, 0o700); err != nil {
		return src, err
	}
	for path, text := range files {
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			return src, err
		}
	}
	return src, nil
}

// service names the service of the tasks of one host, or of all.
func (d *Deployment) service(on string) string {
	if on == "" {
		return d.Name
	}
	return d.Name + "-" + on
}

// task is a task as a service's file has it.
func (d *Deployment) task(t Task) string {
	var b strings.Builder
	driver := "directord"
	if t.Print != "" {
		driver = "print"
	}
	fmt.Fprintf(&b, "  - id: %s\n    driver: %s\n    provides: [%s.%s]\n", t.Name, driver, d.Name, t.Name)
	if t.After != "" {
		fmt.Fprintf(&b, "    requires: [%s.%s]\n", d.Name, t.After)
	}
	if t.Print != "" {
		fmt.Fprintf(&b, "    message: %s\n", t.Print)
		return b.String()
	}
	fmt.Fprintf(&b, "    idempotent: %t\n    jobs:\n", t.Idempotent)
	for _, j := range t.Jobs {
		fmt.Fprintf(&b, "      - %s: %s\n", cmp.Or(t.Verb, "RUN"), j)
	}
	return b.String()
}

func (d *Deployment) compile(src planner.Sources) error {
	opt := planner.Options{Verbs: verb.Lookup}
	inputs, findings := planner.Load(src, opt)
	plan, more := planner.Compile(inputs, opt)
	for _, f := range append(findings, more...) {
		if f.Severity == planner.Error {
			return errors.New(f.Message)
		}
	}
	d.PlanID = plan.ID()
	d.blobs = []api.Blob{blobOf(plan.ID(), plan.Encode())}
	for _, b := range inputs.Blobs() {
		d.blobs = append(d.blobs, blobOf(b.Digest, b.Content))
	}
	return nil
}

func blobOf(digest string, content []byte) api.Blob {
	return api.Blob{Digest: digest, Size: int64(len(content)), Open: func() (io.ReadCloser, error) {
		return io.NopCloser(bytes.NewReader(content)), nil
	}}
}

// Record uploads the plan and puts it on record.
func (d *Deployment) Record(ctx context.Context, client *api.Client) error {
	if _, err := client.UploadBlobs(ctx, d.blobs); err != nil {
		return fmt.Errorf("deployment %s: upload: %w", d.Name, err)
	}
	if _, err := client.SubmitPlan(ctx, d.PlanID); err != nil {
		return fmt.Errorf("deployment %s: %w", d.Name, err)
	}
	return nil
}
