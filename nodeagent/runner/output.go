package runner

import (
	"context"
	"errors"
	"fmt"
	"os"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"quorate/nodeagent/wire"
)

const (
	// identifyAfter is the moment after which a process is worth remembering, and
	// watchEvery how often the size of its output is looked at from then on.
	identifyAfter = 20 * time.Millisecond
	watchEvery    = 250 * time.Millisecond
)

// outputs are the two files that a job writes to.
type outputs struct {
	stdout, stderr *os.File
	held           [2]int64 // end of what was given back, by file
}

// read returns head and tail of both files.
func (o *outputs) read() (stdout, stderr wire.Output) {
	return readOutput(o.stdout), readOutput(o.stderr)
}

func readOutput(f *os.File) wire.Output {
	info, err := f.Stat()
	if err != nil || info.Size() == 0 {
		return wire.Output{}
	}
	size := info.Size()
	out := wire.Output{Size: size, Head: make([]byte, min(size, wire.OutputHeadBytesMax))}
	n, _ := f.ReadAt(out.Head, 0)
	out.Head = out.Head[:n]
	if rest := size - int64(n); rest > 0 {
		out.Tail = make([]byte, min(rest, wire.OutputTailBytesMax))
		n, _ := f.ReadAt(out.Tail, size-int64(len(out.Tail)))
		out.Tail = out.Tail[:n]
	}
	return out
}

// give gives the disk space back of what lies between the head and the tail that
// are kept, where a file has outgrown half its limit. The file keeps its size.
func (o *outputs) give(bytesMax int64) error {
	for i, f := range []*os.File{o.stdout, o.stderr} {
		info, err := f.Stat()
		if err != nil {
			return err
		}
		from := max(o.held[i], wire.OutputHeadBytesMax)
		to := info.Size() - wire.OutputTailBytesMax
		if to-from < bytesMax/2 {
			continue
		}
		err = unix.Fallocate(int(f.Fd()), unix.FALLOC_FL_PUNCH_HOLE|unix.FALLOC_FL_KEEP_SIZE, from, to-from)
		switch {
		case err == nil:
			o.held[i] = to
		case info.Size() > bytesMax:
			return fmt.Errorf("%w: %d bytes: %w", ErrOutput, info.Size(), err)
		}
	}
	return nil
}

// A watcher looks after a job that runs for longer than a moment. It costs a
// short job one timer that is stopped before it fires.
type watcher struct {
	mu      sync.Mutex
	timer   *time.Timer
	stopped bool
	cancel  context.CancelCauseFunc
}

// watch calls identified once after a moment, and from then on keeps the output
// bounded; where that fails it ends the context that it returns.
func (r *Runner) watch(ctx context.Context, o *outputs, identified func()) (context.Context, *watcher) {
	ctx, cancel := context.WithCancelCause(ctx)
	w := &watcher{cancel: cancel}
	first := true
	w.mu.Lock()
	defer w.mu.Unlock()
	w.timer = time.AfterFunc(identifyAfter, func() {
		w.mu.Lock()
		defer w.mu.Unlock()
		if w.stopped {
			return
		}
		if first {
			first = false
			identified()
		}
		if err := o.give(r.cfg.OutputBytesMax); err != nil {
			if !errors.Is(err, ErrOutput) {
				err = fmt.Errorf("%w: %w", ErrOutput, err)
			}
			r.cfg.Logger.Warn("job is ended", "error", err)
			cancel(err)
			return
		}
		w.timer.Reset(watchEvery)
	})
	return ctx, w
}

// stop ends the watch; it does not touch the files after that.
func (w *watcher) stop() {
	w.mu.Lock()
	w.stopped = true
	w.timer.Stop()
	w.mu.Unlock()
	w.cancel(nil)
}
