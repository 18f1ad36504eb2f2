package cli

import (
	"encoding/hex"
	"errors"
	"fmt"
	"maps"
	"math"
	"path/filepath"
	"slices"
	"time"

	cli "github.com/urfave/cli/v2"

	"quorate/engine"
	"quorate/engine/api"
	"quorate/eventlog"
)

func (p *program) replayCommand() *cli.Command {
	return &cli.Command{
		Name: "replay", Category: sectionRuns, Usage: "show the state as it was, from a stopped node's files",
		Description: "Reads the log under the data directory, folds it as the orchestrator did, and shows what\n" +
			"comes out. It needs no server and writes nothing.",
		Flags: []cli.Flag{
			&cli.StringFlag{Name: "data-dir", EnvVars: []string{"QUORATE_DATA_DIR"}, Usage: "`DIR` of the server, or of apply --embedded"},
			&cli.StringFlag{Name: "at", Usage: "stop after this `SEQ`, or at this time (RFC 3339, or a duration ago such as 1h)"},
			&cli.Uint64Flag{Name: "run", Usage: "show this `RUN` with its tasks"},
			&cli.BoolFlag{Name: "verify", Usage: "check the whole chain, and print the hashes of the head and of the state"},
		},
		Action: p.replay,
	}
}

func (p *program) replay(c *cli.Context) error {
	dir, err := p.dataDir(c, "server")
	if err != nil {
		return err
	}
	if c.Bool("verify") {
		if c.IsSet("at") || c.IsSet("run") {
			return usage(commandLine(c)+" --help", "--verify is about the whole log: it goes without --at and --run")
		}
		return p.verify(dir)
	}
	until, err := readUntil(c.String("at"), time.Now())
	if err != nil {
		return usage(commandLine(c)+" --help", "--at %w", err)
	}
	state, err := replayTo(dir, until)
	if err != nil {
		return afterDamage(err)
	}
	if until.seq > state.Index && until.seq != math.MaxUint64 {
		return fail(exitError, fmt.Errorf("the log ends at %d, before %d", state.Index, until.seq))
	}
	if id := c.Uint64("run"); id != 0 {
		run := state.Run(id)
		if run == nil {
			return fail(exitError, fmt.Errorf("there is no run %d at %d", id, state.Index))
		}
		view := api.RunView(state, run, true)
		return p.emit(view, func() error { return p.printRun(&view) })
	}
	return p.printState(state)
}

// A bound is where a replay stops.
type bound struct {
	seq  uint64 // the last record wanted; the largest number for all
	time int64  // of the last record wanted, Unix nanoseconds
}

// theEnd is behind every record.
func theEnd() bound { return bound{math.MaxUint64, math.MaxInt64} }

// readUntil reads the value of --at.
func readUntil(text string, now time.Time) (bound, error) {
	seq, at, err := since(text, now)
	until := theEnd()
	switch {
	case err != nil:
		return bound{}, err
	case !at.IsZero():
		until.time = at.UnixNano()
	case text != "":
		until.seq = seq
	}
	return until, nil
}

// replayRecordsMax bounds the records read at once.
const replayRecordsMax = 1024

// replayTo folds the log of a stopped node up to a bound. Damage behind that
// bound does not matter.
func replayTo(dir string, until bound) (*engine.State, error) {
	store, err := openStopped(dir, eventlog.StoreOptions{ReadOnly: true})
	var damage *eventlog.CorruptError
	intact := uint64(math.MaxUint64) // the last record that may be read
	if errors.As(err, &damage) && damage.Index > 0 {
		intact = damage.Index - 1
		store, err = openStopped(dir, eventlog.StoreOptions{ReadOnly: true, SkipVerify: true})
	}
	if err != nil {
		return nil, err
	}
	defer store.Close()
	state := engine.NewState()
	for {
		last := min(until.seq, intact)
		records, err := store.Read(state.Index+1, int(min(replayRecordsMax, last-state.Index)))
		if err != nil {
			return nil, err
		}
		for _, r := range records {
			if r.Time > until.time {
				return state, nil
			}
			if _, err := state.Fold(r); err != nil {
				return nil, &eventlog.CorruptError{Path: store.Path(), Index: r.Index, Reason: err.Error()}
			}
		}
		if len(records) == 0 && damage != nil && until.seq > intact {
			return nil, damage
		}
		if len(records) == 0 {
			return state, nil
		}
	}
}

// openStopped opens the log of a node that does not run.
func openStopped(dir string, opt eventlog.StoreOptions) (*eventlog.Store, error) {
	store, err := eventlog.OpenStore(filepath.Join(dir, eventlog.StoreFile), opt)
	var corrupt *eventlog.CorruptError
	if err == nil || errors.As(err, &corrupt) {
		return store, err
	}
	return nil, hinted(err, "name the directory of a stopped server, or of apply --embedded, with --data-dir; for one that runs, use \"quorate log ls\"")
}

// A verification is what replay --verify prints.
type verification struct {
	Schema string `json:"schema"`
	OK     bool   `json:"ok"`
	// Seq and Head are of the last record.
	Seq       uint64 `json:"seq"`
	Head      string `json:"head,omitempty"`
	StateHash string `json:"state_hash,omitempty"`
	// FirstBad is the first index that is not what was written.
	FirstBad uint64 `json:"first_bad,omitempty"`
	Reason   string `json:"reason,omitempty"`
}

// verify proves that the log is what was written, and what it amounts to.
func (p *program) verify(dir string) error {
	v := verification{Schema: api.Schema}
	state, err := verified(dir)
	var corrupt *eventlog.CorruptError
	switch {
	case errors.As(err, &corrupt):
		v.FirstBad, v.Reason = corrupt.Index, corrupt.Reason
	case err != nil:
		return err
	default:
		hash := state.Hash()
		v.OK, v.Seq, v.Head, v.StateHash = true, state.Index, hex.EncodeToString(state.Head[:]), hex.EncodeToString(hash[:])
	}
	if p.format() != formatTable {
		if err := p.emit(v, nil); err != nil {
			return err
		}
	} else if v.OK {
		if _, err := fmt.Fprintf(p.con.out, "ok: %d records\nhead  %s\nstate %s\n", v.Seq, v.Head, v.StateHash); err != nil {
			return err
		}
	}
	if v.OK {
		return nil
	}
	return afterDamage(err)
}

// afterDamage says what can be done about a damaged log.
func afterDamage(err error) error {
	var damage *eventlog.CorruptError
	switch {
	case !errors.As(err, &damage):
		return err
	case damage.Index < 2:
		return hinted(err, "restore the directory from a backup or another replica")
	}
	return hinted(err, "the records before it are as they were written: look at them with --at %d, and restore the directory from a backup or another replica", damage.Index-1)
}

// verified checks the chain, then folds it.
func verified(dir string) (*engine.State, error) {
	store, err := openStopped(dir, eventlog.StoreOptions{ReadOnly: true, VerifyAll: true})
	if err != nil {
		return nil, err
	}
	if err := store.Close(); err != nil {
		return nil, err
	}
	return replayTo(dir, theEnd())
}

// A stateView is the state at one place of the log, as replay prints it.
type stateView struct {
	Schema    string      `json:"schema"`
	Seq       uint64      `json:"seq"`
	Time      time.Time   `json:"time"`
	Head      string      `json:"head"`
	StateHash string      `json:"state_hash"`
	ClusterID string      `json:"cluster_id"`
	Epoch     uint64      `json:"epoch"`
	Agents    []api.Agent `json:"agents"`
	Runs      []api.Run   `json:"runs"`
}

func (p *program) printState(s *engine.State) error {
	hash := s.Hash()
	document := stateView{
		Schema: api.Schema, Seq: s.Index, Time: time.Unix(0, s.Time).UTC(), Head: hex.EncodeToString(s.Head[:]),
		StateHash: hex.EncodeToString(hash[:]), ClusterID: s.ClusterID, Epoch: s.Epoch,
		Agents: []api.Agent{}, Runs: []api.Run{},
	}
	for _, id := range slices.Sorted(maps.Keys(s.Agents)) {
		document.Agents = append(document.Agents, api.AgentView(s.Agents[id]))
	}
	for _, r := range s.Runs {
		document.Runs = append(document.Runs, api.RunView(s, r, false))
	}
	return p.emit(document, func() error {
		if document.Seq == 0 {
			_, err := fmt.Fprintln(p.con.out, "at 0, before the first event")
			return err
		}
		fmt.Fprintf(p.con.out, "at %d, %s, cluster %.12s\nhead  %s\nstate %s\n\n", document.Seq, stamp(document.Time), document.ClusterID, document.Head, document.StateHash)
		agents := &grid{header: []any{"AGENT", "STATUS", "LABELS", "OPEN", "SEEN"}}
		for _, a := range document.Agents {
			agents.add(a.Name, a.Status, some(a.Labels, 4), a.Open, stamp(a.SeenAt))
		}
		if err := p.printGrid(agents); err != nil {
			return err
		}
		fmt.Fprintln(p.con.out)
		return p.printGrid(runGrid(document.Runs))
	})
}
