package cli

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os/exec"

	cli "github.com/urfave/cli/v2"

	"quorate/internal/job"
	"quorate/planner"
)

// A storedRequest is what one version of the program asks another one to compile: it is
// read from the standard input by "plan --stored", which writes the plan's bytes.
// Fields are only ever added.
type storedRequest struct {
	Plan     []byte            `json:"plan"`
	Contents map[string][]byte `json:"contents"` // by digest
	Limit    []string          `json:"limit,omitempty"`
	Restrict []string          `json:"restrict,omitempty"`
	Targets  []string          `json:"targets,omitempty"`
	Hosts    []string          `json:"hosts,omitempty"`
	// Everywhere is null where it is all hosts.
	Everywhere []string     `json:"everywhere"`
	Vars       []job.Option `json:"vars,omitempty"`
	ForceAsync bool         `json:"force_async,omitempty"`
	WorkDir    string       `json:"work_dir,omitempty"`
	Services   string       `json:"services,omitempty"`
	Inventory  string       `json:"inventory,omitempty"`
	Roles      string       `json:"roles,omitempty"`
}

// planWith has another binary compile.
func (p *program) planWith(c *cli.Context, binary string, stored *storedPlan, src planner.Sources, opt planner.Options) (*planner.Plan, error) {
	request, err := json.Marshal(storedRequest{
		Plan: stored.plan.Encode(), Contents: stored.contents, Limit: opt.Limit, Restrict: opt.Restrict, Targets: opt.Targets, Hosts: opt.Hosts,
		Everywhere: opt.Everywhere, Vars: opt.Vars, ForceAsync: opt.ForceAsync, WorkDir: opt.WorkDir,
		Services: src.Services, Inventory: src.Inventory, Roles: src.Roles,
	})
	if err != nil {
		return nil, err
	}
	args := []string{"plan", "--stored"}
	if c.IsSet("components") {
		args = append(args, "--components", c.String("components"))
	}
	cmd := exec.CommandContext(c.Context, binary, args...)
	var out bytes.Buffer
	cmd.Stdin, cmd.Stdout, cmd.Stderr = bytes.NewReader(request), &out, p.con.err
	if err := cmd.Run(); err != nil {
		var exited *exec.ExitError
		if errors.As(err, &exited) && exited.ExitCode() == exitUsage {
			return nil, fail(exitError, fmt.Errorf("%s does not know \"plan --stored\"", binary), "it is of a version that cannot compile what is on record: name a newer one")
		}
		return nil, fail(exitRefused, fmt.Errorf("%s plan --stored: %w", binary, err))
	}
	plan, err := planner.Decode(out.Bytes())
	if err != nil {
		return nil, fmt.Errorf("what %s wrote: %w", binary, err)
	}
	return plan, nil
}

// planStored answers a [storedRequest].
func (p *program) planStored(c *cli.Context) error {
	var r storedRequest
	if err := json.NewDecoder(io.LimitReader(p.con.in, storedBytesMax)).Decode(&r); err != nil {
		return fail(exitUsage, fmt.Errorf("--stored reads a request of another quorate: %w", err), "use \"quorate replay --what-if --planner BINARY\"")
	}
	plan, err := planner.Decode(r.Plan)
	if err != nil {
		return err
	}
	stored := &storedPlan{plan: plan, contents: r.Contents}
	stored.verbs = stored.ownVerbs()
	opt := planner.Options{
		Limit: r.Limit, Restrict: r.Restrict, Targets: r.Targets, Hosts: r.Hosts, Everywhere: r.Everywhere, Vars: r.Vars, ForceAsync: r.ForceAsync, WorkDir: r.WorkDir,
	}
	if c.IsSet("components") {
		if opt.Verbs, err = p.verbs(c); err != nil {
			return err
		}
	}
	made, err := p.planOf(stored, planner.Sources{Services: r.Services, Inventory: r.Inventory, Roles: r.Roles}, opt)
	if err != nil {
		return err
	}
	_, err = p.con.out.Write(made.Encode())
	return err
}
