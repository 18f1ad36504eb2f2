package cli

import (
	"context"
	"errors"
	"fmt"
	"strconv"

	cli "github.com/urfave/cli/v2"

	"quorate/engine"
	"quorate/engine/history"
	"quorate/engine/replay"
)

// pastFlags name where the past is read from, as replay does.
func pastFlags() []cli.Flag {
	return []cli.Flag{
		&cli.StringFlag{Name: "data-dir", EnvVars: []string{"QUORATE_DATA_DIR"}, Usage: "`DIR` of a stopped server, a copy of one, or of apply --embedded"},
		&cli.StringFlag{Name: "bundle", Usage: "`FILE` that audit export wrote"},
		&cli.StringFlag{Name: "at", Usage: "as of this `SEQ`, or of this time (RFC 3339, or a duration ago such as 1h)"},
	}
}

// A pastView is the past that a command looks at, as of a point.
type pastView struct {
	log   pastLog
	past  *replay.Replay
	state *engine.State // at the point
}

// lookBack opens the past that the flags name.
func (p *program) lookBack(c *cli.Context) (v *pastView, err error) {
	if c.String("bundle") != "" && c.IsSet("data-dir") && c.String("data-dir") != "" {
		return nil, usage(commandLine(c)+" --help", "--bundle and --data-dir are one at a time")
	}
	at, err := readBound(c, "--at", c.String("at"))
	if err != nil {
		return nil, err
	}
	log, err := p.openPast(c)
	if err != nil {
		return nil, err
	}
	v, err = lookInto(c.Context, log, at)
	if err != nil {
		return nil, errors.Join(afterDamage(err), log.Close())
	}
	return v, nil
}

// lookInto looks at a log as of a point. The log is closed with the view.
func lookInto(ctx context.Context, log pastLog, at bound) (*pastView, error) {
	past, err := replay.New(ctx, log)
	if err != nil {
		return nil, err
	}
	state, err := stateAt(ctx, past, at)
	if err != nil {
		return nil, err
	}
	return &pastView{log: log, past: past, state: state}, nil
}

func (v *pastView) close() error { return v.log.Close() }

// about is the run that a bundle is about, or 0.
func (v *pastView) about() uint64 {
	if b, ok := v.log.(*replay.Bundled); ok {
		return b.Run()
	}
	return 0
}

// runNamed is the run of a number, or the newest where text is latest. Where it is empty
// it is the run that a bundle is about, or the newest.
func (v *pastView) runNamed(text string) (uint64, error) {
	if text == "" && v.about() != 0 {
		text = fmt.Sprint(v.about())
	}
	newest := uint64(len(v.state.Runs))
	if newest == 0 {
		return 0, fail(exitError, fmt.Errorf("there is no run at %d", v.state.Index))
	}
	if text == "" || text == "latest" {
		return newest, nil
	}
	id, err := strconv.ParseUint(text, 10, 64)
	if err != nil || id == 0 {
		return 0, fail(exitUsage, fmt.Errorf("%q is not a run: want a number, or latest", text))
	}
	if id > newest {
		return 0, fail(exitError, fmt.Errorf("there is no run %d at %d", id, v.state.Index), fmt.Sprintf("the newest is run %d", newest))
	}
	return id, nil
}

// historyPage is how many records are folded before the run's end is looked for.
const historyPage = 1024

// run is the history of a run up to the point.
func (v *pastView) run(ctx context.Context, id uint64) (*history.Run, error) {
	created := v.state.Run(id).Index
	s, err := v.past.StateAt(ctx, created-1)
	if errors.Is(err, replay.ErrOutside) {
		return nil, hinted(err, "this bundle does not hold run %d as a whole: \"quorate audit export --run %d\" writes one that does", id, id)
	}
	if err != nil {
		return nil, err
	}
	rec := history.NewRecorder(s, id)
	for s.Index < v.state.Index && !rec.Done() {
		if err := v.past.Fold(ctx, s, min(v.state.Index, s.Index+historyPage), rec.Seen); err != nil {
			return nil, err
		}
	}
	out := rec.Run()
	if out == nil {
		return nil, fmt.Errorf("record %d does not create run %d", created, id)
	}
	return out, nil
}
