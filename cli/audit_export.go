package cli

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"syscall"

	cli "github.com/urfave/cli/v2"

	"quorate/engine"
	"quorate/engine/api"
	"quorate/engine/audit"
	"quorate/engine/replay"
	"quorate/eventlog"
	"quorate/eventlog/bundle"
)

func (p *program) auditExportCommand() *cli.Command {
	return &cli.Command{
		Name: "export", Usage: "write a bundle with records, what proves them, and what they refer to", ArgsUsage: "FILE",
		Description: "The bundle of a run holds its records from beginning to end, what they stand on, the plan,\n" +
			"its inputs, and the state before it; that of all holds the whole log. Check it with\n" +
			"\"quorate audit verify\", look into it with \"quorate replay --bundle\" or any tar; its format\n" +
			"is in docs/audit.md. With --data-dir it comes from the files of a stopped orchestrator.",
		Flags: []cli.Flag{
			&cli.StringFlag{Name: "run", Usage: "of this `RUN`; latest for the newest"},
			&cli.BoolFlag{Name: "all", Usage: "of the whole log"},
			&cli.BoolFlag{Name: "files", Usage: "with the files that jobs ship"},
			&cli.StringFlag{Name: "data-dir", Usage: "`DIR` of a stopped orchestrator, or of apply --embedded"},
			&cli.StringFlag{Name: "key", Usage: "with --data-dir, the `KEY` of the log where DIR lacks the authority"},
		},
		Action: p.auditExport,
	}
}

func (p *program) auditExport(c *cli.Context) error {
	switch help := commandLine(c) + " --help"; {
	case c.NArg() != 1:
		return usage(help, "want the FILE to write")
	case (c.String("run") == "") == !c.Bool("all"):
		return usage(help, "want one of --run RUN and --all")
	case c.IsSet("key") && !c.IsSet("data-dir"):
		return usage(help, "--key goes with --data-dir")
	}
	file := c.Args().First()
	switch {
	case file == "-":
		return usage(commandLine(c)+" --help", "a bundle is checked once it is written, which takes a FILE: name one, and read it from there")
	case !missing(file):
		return fail(exitRefused, fmt.Errorf("%s is there already", file), "name a file that is not, or remove that one")
	case missing(filepath.Dir(file)):
		return fail(exitError, fmt.Errorf("export: the directory %s does not exist", filepath.Dir(file)), "make it, or name a file elsewhere")
	}
	write, done, err := p.exporter(c)
	if err != nil {
		return err
	}
	defer done()
	report, size, err := saveBundle(c.Context, file, write)
	if err != nil {
		return p.auditFailure(file, err)
	}
	a := auditReportOf(file, report)
	a.Bytes = size
	return p.printAudit(a)
}

// exporter returns what writes the bundle, from a server or from files.
func (p *program) exporter(c *cli.Context) (write func(ctx context.Context, w io.Writer) error, done func(), err error) {
	if c.IsSet("data-dir") {
		return p.fileExporter(c)
	}
	client, err := p.dial()
	if err != nil {
		return nil, nil, err
	}
	query := api.ExportQuery{Run: c.String("run"), Files: c.Bool("files")}
	return func(ctx context.Context, w io.Writer) error {
		body, err := client.Export(ctx, query)
		if err != nil {
			return err
		}
		_, err = io.Copy(w, body)
		return errors.Join(err, body.Close())
	}, func() { _ = client.Close() }, nil
}

// fileExporter writes from the files of a stopped orchestrator.
func (p *program) fileExporter(c *cli.Context) (write func(ctx context.Context, w io.Writer) error, done func(), err error) {
	dir := c.String("data-dir")
	known, err := logKey(dir)
	if err != nil {
		return nil, nil, err
	}
	if c.IsSet("key") {
		if known.Key, err = readKey(c.String("key")); err != nil {
			return nil, nil, err
		}
		known.Certificate = nil
	}
	store, err := openStopped(dir, eventlog.StoreOptions{ReadOnly: true, VerifyAll: true})
	if err != nil {
		return nil, nil, afterDamage(err)
	}
	files, err := replay.OpenFiles(dir)
	if err != nil {
		return nil, nil, errors.Join(err, store.Close())
	}
	done = func() { _, _ = files.Close(), store.Close() } // both were only read
	src := &audit.Files{Store: store, Open: eventlog.ReadBlobs(filepath.Join(dir, "blobs")).OpenChecked}
	return func(ctx context.Context, w io.Writer) error {
		past, err := replay.New(ctx, files)
		if err != nil {
			return err
		}
		newest, err := past.StateAt(ctx, past.Last())
		if err != nil {
			return err
		}
		place := &audit.Place{
			Source: src, Program: p.version, Key: known.Key, Certificate: known.Certificate, Unsigned: true,
			View: func(f func(*engine.State)) { f(newest) }, At: past.StateAt,
		}
		wish := audit.Wish{Files: c.Bool("files")}
		if text := c.String("run"); text == "latest" {
			wish.Run = uint64(len(newest.Runs))
		} else if text != "" {
			if wish.Run, err = strconv.ParseUint(text, 10, 64); err != nil {
				return usage(commandLine(c)+" --help", "--run %q: want the number of a run, or latest", text)
			}
		}
		if c.String("run") != "" && wish.Run == 0 {
			return fail(exitError, errors.New("there is no run"), "see \"quorate replay --data-dir\"")
		}
		content, err := place.Gather(ctx, wish)
		if err == nil {
			_, err = bundle.Write(ctx, w, src, content)
		}
		return err
	}, done, nil
}

// saveBundle writes a bundle to a file, which is there as a whole, and checked, or not
// at all.
func saveBundle(ctx context.Context, file string, write func(ctx context.Context, w io.Writer) error) (report *bundle.Report, size int64, err error) {
	f, err := lockPartial(file)
	if err != nil {
		return nil, 0, err
	}
	defer f.Close() // which lets go of its name
	defer os.Remove(f.Name())
	out := bufio.NewWriterSize(f, 64<<10)
	if err = write(ctx, out); err == nil {
		err = out.Flush()
	}
	if err == nil {
		err = f.Sync()
	}
	if err == nil {
		size, err = f.Seek(0, io.SeekEnd)
	}
	if err != nil {
		return nil, 0, err
	}
	if report, err = verifyBundle(ctx, f.Name(), bundle.Trust{}); err != nil {
		return nil, 0, fmt.Errorf("the bundle that was written: %w", err)
	}
	if err := os.Rename(f.Name(), file); err != nil {
		return nil, 0, err
	}
	return report, size, syncDir(filepath.Dir(file))
}

// lockPartial returns the empty file that is to become the named one. It is held as
// long as it is open; what an export that was killed has left is used again.
func lockPartial(file string) (*os.File, error) {
	for {
		f, err := os.OpenFile(partial(file), os.O_CREATE|os.O_RDWR, 0o600)
		if err != nil {
			return nil, err
		}
		if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
			f.Close()
			return nil, fail(exitRefused, fmt.Errorf("another export to %s is under way", file), "wait for it, or name another file")
		}
		held, err := f.Stat()
		named, gone := os.Stat(f.Name())
		switch {
		case err == nil && gone == nil && os.SameFile(held, named):
			return f, f.Truncate(0)
		case err != nil:
			f.Close()
			return nil, err
		}
		f.Close() // the other one has just ended, and taken the name with it
	}
}
