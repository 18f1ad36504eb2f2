// Package crowd runs hundreds of real agents in one process, for measurements of what
// thousands cost orchestrators. The agents are the product's own, each with its data
// directory, its journal and its connection; only their process is shared.
package crowd

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/signal"
	"path/filepath"
	"sync"
	"syscall"

	"quorate/nodeagent"
)

// Variable names the file with the [Spec] of a process of agents.
const Variable = "QUORATE_BENCH_CROWD"

// A Spec is what a process of agents is told.
type Spec struct {
	// Dir holds a directory for each agent.
	Dir string
	// Servers are where agents look first, each at one of them, in turn.
	Servers []string
	// Agents are their names and tokens to join with.
	Agents []Member
}

// A Member is one agent.
type Member struct{ Name, Token string }

// Main is the process of agents where this is one: the environment says so. It
// returns false at once where it is not. It ends with SIGTERM.
func Main() (ran bool, err error) {
	path := os.Getenv(Variable)
	if path == "" {
		return false, nil
	}
	// Jobs must not find it.
	if err := os.Unsetenv(Variable); err != nil {
		return true, err
	}
	text, err := os.ReadFile(path)
	if err != nil {
		return true, err
	}
	var spec Spec
	if err := json.Unmarshal(text, &spec); err != nil {
		return true, fmt.Errorf("%s: %w", path, err)
	}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer stop()
	return true, run(ctx, spec, slog.New(slog.NewJSONHandler(os.Stdout, nil)))
}

// run runs all agents until ctx ends. One that cannot go on ends none of the others.
func run(ctx context.Context, spec Spec, logger *slog.Logger) error {
	var agents sync.WaitGroup
	errs := make([]error, len(spec.Agents))
	for i, m := range spec.Agents {
		dir := filepath.Join(spec.Dir, m.Name)
		root := filepath.Join(dir, "root")
		if err := os.MkdirAll(root, 0o700); err != nil {
			return err
		}
		first := []string{spec.Servers[i%len(spec.Servers)]}
		agents.Go(func() {
			err := nodeagent.Run(ctx, nodeagent.Config{
				Servers: first, Token: m.Token, DataDir: dir, WorkDir: root, Name: m.Name, Version: "crowd", Logger: logger,
			})
			if err != nil {
				logger.Error(Ended, "name", m.Name, "error", err)
				errs[i] = fmt.Errorf("%s: %w", m.Name, err)
			}
		})
	}
	agents.Wait()
	return errors.Join(errs...)
}

// Ended is said of an agent that cannot go on.
const Ended = "the agent has ended"
