package soak

import (
	"bytes"
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

// A taskText is a task of a service, in the order of the file.
type taskText struct {
	name string
	// after is the task that it requires, empty for none.
	after      string
	idempotent bool
	jobs       []string
}

// Deployments compiles the plans of a soak for hosts: a chain of tasks that may
// not be repeated, tasks that may, one that fails in the middle, and one whose
// jobs take long enough to be cancelled.
func Deployments(dir string, hosts []string, effects Effects) ([]*Deployment, error) {
	do := effects.Script()
	kinds := []struct {
		Deployment
		tasks []taskText
	}{
		{Deployment{Name: "chain", Succeeds: true}, []taskText{
			{name: "first", jobs: []string{do, "sleep 0.1; " + do, do + "; sleep 0.1"}},
			{name: "second", after: "first", jobs: []string{do + "; sleep 0.05", do}},
			{name: "third", after: "second", jobs: []string{"sleep 0.05; " + do}},
		}},
		{Deployment{Name: "wide", Succeeds: true}, []taskText{
			{name: "left", idempotent: true, jobs: []string{do, "sleep 0.1; " + do, do}},
			{name: "right", idempotent: true, jobs: []string{do + "; sleep 0.1", do}},
			{name: "join", after: "left", jobs: []string{do}},
		}},
		{Deployment{Name: "broken"}, []taskText{
			{name: "good", jobs: []string{do}},
			{name: "bad", after: "good", jobs: []string{do, do + "; exit 3", do}},
			{name: "never", after: "bad", jobs: []string{do}},
		}},
		{Deployment{Name: "long", Cancels: true}, []taskText{
			{name: "slow", jobs: []string{do + "; sleep 2", "sleep 2; " + do, do}},
			{name: "later", after: "slow", jobs: []string{do}},
		}},
	}
	var all []*Deployment
	for _, k := range kinds {
		d := k.Deployment
		if err := d.compile(filepath.Join(dir, d.Name), hosts, k.tasks); err != nil {
			return nil, fmt.Errorf("deployment %s: %w", d.Name, err)
		}
		all = append(all, &d)
	}
	return all, nil
}

// compile writes the files of the deployment and makes its plan.
func (d *Deployment) compile(dir string, hosts []string, tasks []taskText) error {
	var service strings.Builder
	fmt.Fprintf(&service, "id: %s\nversion: \"1.0\"\ntype: service\ntasks:\n", d.Name)
	for _, t := range tasks {
		fmt.Fprintf(&service, "  - id: %s\n    driver: directord\n    provides: [%s.%s]\n    idempotent: %t\n", t.name, d.Name, t.name, t.idempotent)
		if t.after != "" {
			fmt.Fprintf(&service, "    requires: [%s.%s]\n", d.Name, t.after)
		}
		service.WriteString("    jobs:\n")
		for _, j := range t.jobs {
			fmt.Fprintf(&service, "      - RUN: %s\n", j)
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
