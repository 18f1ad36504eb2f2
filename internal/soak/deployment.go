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
	After      string
	Idempotent bool
	// Jobs are shell commands, or the arguments of another verb where Verb names one;
	// Print is a message instead of them.
	Jobs  []string
	Verb  string
	Print string
}

// Deployments compiles the plans of a soak for hosts: a chain of tasks that may
// not be repeated, tasks that may, one that fails in the middle, and one whose
// jobs take long enough to be cancelled.
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
// with the tasks, on all hosts.
func Compile(dir, name string, hosts []string, tasks []Task) (*Deployment, error) {
	d := &Deployment{Name: name}
	if err := d.compile(dir, hosts, tasks); err != nil {
		return nil, fmt.Errorf("deployment %s: %w", name, err)
	}
	return d, nil
}

func (d *Deployment) compile(dir string, hosts []string, tasks []Task) error {
	var service strings.Builder
	fmt.Fprintf(&service, "id: %s\nversion: \"1.0\"\ntype: service\ntasks:\n", d.Name)
	for _, t := range tasks {
		driver := "directord"
		if t.Print != "" {
			driver = "print"
		}
		fmt.Fprintf(&service, "  - id: %s\n    driver: %s\n    provides: [%s.%s]\n", t.Name, driver, d.Name, t.Name)
		if t.After != "" {
			fmt.Fprintf(&service, "    requires: [%s.%s]\n", d.Name, t.After)
		}
		if t.Print != "" {
			fmt.Fprintf(&service, "    message: %s\n", t.Print)
			continue
		}
		fmt.Fprintf(&service, "    idempotent: %t\n    jobs:\n", t.Idempotent)
		for _, j := range t.Jobs {
			fmt.Fprintf(&service, "      - %s: %s\n", cmp.Or(t.Verb, "RUN"), j)
		}
	}
	inventory := "hosts:\n"
	for _, h := range hosts {
		inventory += fmt.Sprintf("  %s: {role: node}\n", h)
	}
	src := planner.Sources{Services: filepath.Join(dir, "service.yaml"), Inventory: filepath.Join(dir, "inventory.yaml"), Roles: filepath.Join(dir, "roles.yaml")}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	roles := fmt.Sprintf("node:\n  services: [%s]\n", d.Name)
	for path, text := range map[string]string{src.Services: service.String(), src.Inventory: inventory, src.Roles: roles} {
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			return err
		}
	}
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
