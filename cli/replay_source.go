package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	cli "github.com/urfave/cli/v2"

	"quorate/engine"
	"quorate/engine/api"
	"quorate/engine/replay"
	"quorate/engine/snapshot"
	"quorate/eventlog"
	"quorate/eventlog/bundle"
)

// A pastLog is where replay reads from.
type pastLog interface {
	replay.Log
	io.Closer
}

// openPast opens what the flags name: a bundle, the files of a directory, or a running
// cluster. Where they name nothing that is the server on this machine, while it runs.
func (p *program) openPast(c *cli.Context) (pastLog, error) {
	if path := c.String("bundle"); path != "" {
		if info, err := os.Stat(path); err == nil {
			if err := uncompressed(path, info); err != nil {
				return nil, err
			}
		}
		if is, err := bundle.IsBundle(path); err == nil && !is {
			return nil, fail(exitError, fmt.Errorf("%s is no bundle", path), "name a file that \"quorate audit export\" wrote with --bundle")
		}
		b, err := replay.OpenBundle(path)
		if err != nil {
			return nil, hinted(err, "name a file that \"quorate audit export\" wrote with --bundle")
		}
		return b, nil
	}
	dir := c.String("data-dir")
	if dir == "" && p.server == "" {
		if d := p.defaultDir("server"); stopped(d) {
			dir = d
		}
	}
	if dir == "" {
		return p.dialPast(c.Context)
	}
	dir, err := filepath.Abs(dir)
	if err != nil {
		return nil, err
	}
	files, err := replay.OpenFiles(dir)
	if err != nil {
		return nil, unread(err)
	}
	return files, nil
}

// stopped reports whether a directory has a log, and no server that works on it.
func stopped(dir string) bool {
	if _, err := os.Stat(filepath.Join(dir, eventlog.StoreFile)); err != nil {
		return false
	}
	files, err := replay.OpenFiles(dir)
	if err != nil {
		return !errors.Is(err, eventlog.ErrInUse)
	}
	return files.Close() == nil
}

// unread says what to do about a log that does not open.
func unread(err error) error {
	var corrupt *eventlog.CorruptError
	switch {
	case err == nil, errors.As(err, &corrupt):
		return err
	case errors.Is(err, eventlog.ErrInUse):
		return hinted(err, "its server runs: leave --data-dir out and it is asked, or name another one with --server")
	}
	return hinted(err, "name the directory of a stopped server, or of apply --embedded, with --data-dir, or a server that runs with --server")
}

// dialPast connects to a running cluster.
func (p *program) dialPast(ctx context.Context) (pastLog, error) {
	client, err := p.dial()
	if err != nil {
		return nil, err
	}
	status, err := client.Status(ctx)
	if err != nil {
		return nil, errors.Join(hinted(err, "for the files of a server that does not run, name their directory with --data-dir"), client.Close())
	}
	return &remotePast{client: client, last: status.Seq}, nil
}

// remotePast is the log of a running cluster, up to where it was when it was asked
// first. It is folded here: the server only reads.
type remotePast struct {
	client *api.Client
	last   uint64
}

// Close implements io.Closer.
func (r *remotePast) Close() error { return r.client.Close() }

// Bounds implements replay.Log.
func (r *remotePast) Bounds(context.Context) (first, last uint64, err error) { return 1, r.last, nil }

// Records implements replay.Log.
func (r *remotePast) Records(ctx context.Context, from uint64, limit int) ([]eventlog.Record, error) {
	return r.client.Records(ctx, from, limit)
}

// State implements replay.Log: it is a snapshot that fits the chain at its index. One
// that cannot be read, such as that of a server of another version, is passed over.
func (r *remotePast) State(ctx context.Context, at uint64) (*engine.State, error) {
	found, err := r.client.Snapshot(ctx, at)
	if errors.Is(err, snapshot.ErrOther) || errors.Is(err, snapshot.ErrDamaged) || found == nil {
		return nil, ctx.Err()
	}
	if err != nil {
		return nil, err
	}
	records, err := r.client.Records(ctx, found.State.Index, 1)
	if err != nil {
		return nil, err
	}
	if len(records) == 0 || records[0].Hash != found.State.Head {
		return nil, nil
	}
	return found.State, nil
}

// IndexAt implements replay.Log.
func (r *remotePast) IndexAt(ctx context.Context, nanos int64) (uint64, error) {
	return r.client.IndexAt(ctx, nanos)
}

// openStopped opens the log of a node that does not run.
func openStopped(dir string, opt eventlog.StoreOptions) (*eventlog.Store, error) {
	store, err := eventlog.OpenStore(filepath.Join(dir, eventlog.StoreFile), opt)
	return store, unread(err)
}
