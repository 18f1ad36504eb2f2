package runner

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"quorate/nodeagent/wire"
)

// Names of the markers in the environment of everything that a job starts.
const (
	envJournal = "QUORATE_JOURNAL"
	envAttempt = "QUORATE_ATTEMPT"
	envJob     = "QUORATE_JOB"
	envPrefix  = "QUORATE_"
)

const (
	defaultGrace = 2 * time.Second
	// defaultOutputBytesMax bounds what an output may take on the disk.
	defaultOutputBytesMax = 64 << 20
	// freeSlotsMax is how many unused sets of files are kept.
	freeSlotsMax = 16
)

// ErrLeave is the cause to cancel a context with when the agent stops: the
// process goes on and is adopted later.
var ErrLeave = errors.New("agent stops and leaves its jobs running")

// ErrOutput says that a job was ended because its output could not be bounded.
var ErrOutput = errors.New("output is larger than the disk space set aside for it")

// Config is what a Runner needs to know.
type Config struct {
	// Dir holds the files of jobs, see slot.
	Dir string
	// JournalID tells this agent's processes from those of others on the machine.
	JournalID string
	// Grace is the time between SIGTERM and SIGKILL; 0 is two seconds.
	Grace time.Duration
	// OutputBytesMax bounds the disk space of each output; 0 is 64 MiB. The
	// middle of what is larger is given back while the job runs.
	OutputBytesMax int64
	Logger         *slog.Logger
}

// A Runner runs scripts. Its methods are safe for concurrent use, for different jobs.
type Runner struct {
	cfg    Config
	shells shells
	env    []string // the agent's own, without ours, and the journal's marker
	null   *os.File // what a script reads
	blank  bool     // see Blank

	mu    sync.Mutex
	slots map[uint64]*slot // by attempt
	free  []*slot
	next  int // number of the next new slot
}

// New returns a Runner that uses bash where there is one, and otherwise sh.
func New(cfg Config) (*Runner, error) {
	if cfg.Grace == 0 {
		cfg.Grace = defaultGrace
	}
	if cfg.OutputBytesMax == 0 {
		cfg.OutputBytesMax = defaultOutputBytesMax
	}
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	dir, err := filepath.Abs(cfg.Dir)
	if err == nil {
		err = os.MkdirAll(dir, 0o700)
	}
	if err != nil {
		return nil, fmt.Errorf("directory of jobs: %w", err)
	}
	cfg.Dir = dir
	shells, err := findShells(os.Environ())
	if err != nil {
		return nil, fmt.Errorf("shell: %w", err)
	}
	r := &Runner{cfg: cfg, shells: shells, slots: map[uint64]*slot{}}
	if r.null, err = os.OpenFile(os.DevNull, os.O_RDWR, 0); err != nil {
		return nil, fmt.Errorf("input of jobs: %w", err)
	}
	for _, e := range os.Environ() {
		if !strings.HasPrefix(e, envPrefix) {
			r.env = append(r.env, e)
		}
	}
	r.env = joinEnv(nil, append(r.env, envJournal+"="+cfg.JournalID))
	return r, r.load()
}

// A Ref names a job of an attempt.
type Ref struct {
	Attempt uint64
	Job     uint32
}

// A Process is a process of the machine, for as long as it is up.
type Process struct {
	Pid int32
	// StartTicks is its start time in clock ticks since the machine's.
	StartTicks uint64
}

// A Command is a script of a job.
type Command struct {
	Ref
	Script string
	// Env is added to the agent's own environment.
	Env []string
	Dir string
	// Detach starts the script and does not wait for it; its output is lost.
	Detach bool
	// Started is called from another goroutine with the script's process, where
	// that runs for longer than a moment.
	Started func(Process)
}

// Exited is what became of a command.
type Exited struct {
	// Code is the exit code, or 128 and the signal's number.
	Code int
	// Signal is the name of the signal that ended it, or "".
	Signal         string
	Stdout, Stderr wire.Output
}

// Run runs the script and waits for it. When ctx ends it ends the whole process
// group, waits until nothing of the job is left, and returns what there is with
// the context's error; when ctx is cancelled for [ErrLeave] it returns that at
// once. With any other error, except [ErrOutput], the script did not start.
func (r *Runner) Run(ctx context.Context, c Command) (Exited, error) {
	if err := ctx.Err(); err != nil {
		return Exited{}, causeOf(ctx)
	}
	s, err := r.acquire(c.Attempt)
	if err != nil {
		return Exited{}, err
	}
	// The log says, if the agent dies now, that the script may have started.
	if err := r.begin(s, c.Ref); err != nil {
		return Exited{}, err
	}
	cmd, err := r.command(c, s)
	if err != nil {
		return Exited{}, err
	}
	if c.Detach {
		return r.detach(cmd)
	}
	out := &outputs{stdout: s.stdout, stderr: s.stderr}
	cmd.stdout, cmd.stderr = out.stdout, out.stderr
	p, err := r.run(cmd)
	if err != nil {
		return Exited{}, fmt.Errorf("starting %s: %w", cmd.path, err)
	}
	ctx, w := r.watch(ctx, out, func() {
		if c.Started != nil {
			if known, ok := identify(p.pid); ok {
				c.Started(known)
			}
		}
	})
	defer w.stop()
	status, ended := p.wait(ctx)
	if !ended {
		exit := p.exit() // so that no zombie stays
		if errors.Is(context.Cause(ctx), ErrLeave) {
			return Exited{}, ErrLeave
		}
		leader, _ := identify(p.pid)
		leader.Pid = int32(p.pid)
		r.kill(c.Ref, leader)
		status = <-exit
		err = causeOf(ctx)
	}
	e := Exited{}
	e.Code, e.Signal = exitOf(status)
	e.Stdout, e.Stderr = out.read()
	s.soil(c.Script, p.pid)
	return e, err
}

// causeOf is the reason that a context ended for, where it is one of ours.
func causeOf(ctx context.Context) error {
	cause := context.Cause(ctx)
	if errors.Is(cause, ErrLeave) || errors.Is(cause, ErrOutput) {
		return cause
	}
	return ctx.Err()
}

func (r *Runner) detach(cmd *start) (Exited, error) {
	p, err := r.run(cmd)
	if err != nil {
		return Exited{}, fmt.Errorf("starting %s: %w", cmd.path, err)
	}
	go p.wait(context.Background()) // only so that no zombie stays
	return Exited{}, nil
}
