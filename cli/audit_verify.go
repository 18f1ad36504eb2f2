package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	cli "github.com/urfave/cli/v2"

	"quorate/engine/audit"
	"quorate/engine/snapshot"
	"quorate/eventlog"
	"quorate/eventlog/bundle"
	"quorate/internal/pki"
)

func (p *program) auditVerifyCommand() *cli.Command {
	return &cli.Command{
		Name: "verify", Usage: "check a bundle, or the log of a stopped orchestrator", ArgsUsage: "FILE|DIR",
		Description: "FILE is a bundle, or a log.db; DIR is the data directory of a stopped orchestrator, or a\n" +
			"copy of it. Says in words what is proven and what is not. It needs no cluster and no\n" +
			"network, and writes nothing. Exits 1 where something is not what was written, and names\n" +
			"the first index that is bad.",
		Flags: trustFlags(), Action: p.auditVerify,
	}
}

func (p *program) auditVerify(c *cli.Context) error {
	if c.NArg() != 1 {
		return usage(commandLine(c)+" --help", "want the FILE or the DIR to check")
	}
	trust, err := readTrust(c)
	if err != nil {
		return err
	}
	path := c.Args().First()
	report, err := verifyAny(c.Context, path, trust)
	if err != nil {
		return p.auditFailure(path, err)
	}
	a := auditReportOf(path, report)
	if _, err := os.Stat(filepath.Join(path, snapshot.DirName)); err == nil {
		a.NotProven = append(a.NotProven, fmt.Sprintf("that the snapshots in %s are what the records fold to: \"quorate replay --verify --data-dir %s\" compares them", filepath.Join(path, snapshot.DirName), path))
	}
	return p.printAudit(a)
}

const nameWhatIsVerified = "name a bundle of \"quorate audit export\", or the data directory of a stopped orchestrator or a copy of it"

// verifyAny checks a bundle, a log, or a data directory.
func verifyAny(ctx context.Context, path string, trust bundle.Trust) (*bundle.Report, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, fail(exitError, err, nameWhatIsVerified)
	}
	if err := uncompressed(path, info); err != nil {
		return nil, err
	}
	dir := filepath.Dir(path)
	if info.IsDir() {
		dir, path = path, filepath.Join(path, eventlog.StoreFile)
	} else if is, err := bundle.IsBundle(path); err != nil {
		return nil, err
	} else if is {
		return verifyBundle(ctx, path, trust)
	} else if is, err := eventlog.IsStore(path); err != nil {
		return nil, err
	} else if !is {
		return nil, fail(exitError, fmt.Errorf("%s is neither a bundle nor a log", path), nameWhatIsVerified)
	}
	known, err := logKey(dir)
	if err != nil {
		return nil, err
	}
	report, err := bundle.VerifyLog(ctx, path, known, trust)
	var damage *eventlog.CorruptError
	var bad *bundle.BadError
	if err != nil && !errors.As(err, &damage) && !errors.As(err, &bad) {
		return nil, hinted(err, nameWhatIsVerified)
	}
	return report, err
}

// uncompressed refuses a file that somebody has compressed since it was written.
func uncompressed(path string, info fs.FileInfo) error {
	if !info.Mode().IsRegular() {
		return nil
	}
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	begins := make([]byte, len(gzipMagic))
	if _, err := io.ReadFull(f, begins); err != nil || string(begins) != gzipMagic {
		return nil
	}
	return fail(exitRefused, fmt.Errorf("%s is compressed with gzip", path), fmt.Sprintf("unpack it first, since what is proven is every byte of the bundle: gunzip -c %s >FILE", path))
}

// gzipMagic is what every file begins with that gzip wrote.
const gzipMagic = "\x1f\x8b"

// verifyBundle checks a bundle and the state in it.
func verifyBundle(ctx context.Context, path string, trust bundle.Trust) (*bundle.Report, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	report, err := bundle.Verify(ctx, f, trust)
	if err != nil || !report.State {
		return report, err
	}
	b, err := bundle.Open(path)
	if err != nil {
		return nil, err
	}
	defer b.Close()
	vouched, err := audit.CheckState(ctx, b)
	if err != nil {
		return nil, err
	}
	report.Vouch(vouched)
	return report, nil
}

// logKey finds the key of a log in the data directory that it is in.
func logKey(dir string) (known bundle.LogKey, err error) {
	authority := filepath.Join(dir, "pki")
	ca, err := pki.Load(authority)
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, fs.ErrPermission) {
		return known, nil
	}
	if err != nil {
		return known, fmt.Errorf("%s: %w", authority, err)
	}
	known.From = authority
	if _, known.Key, err = ca.LogSigner(ca.ClusterID()); err != nil {
		return known, err
	}
	known.Certificate, err = ca.CertifyLog()
	return known, err
}

// damage reads the index and the reason out of the error of a damaged log.
func damage(err error) (index uint64, reason string, is bool) {
	var corrupt *eventlog.CorruptError
	if !errors.As(err, &corrupt) {
		return 0, "", false
	}
	return corrupt.Index, corrupt.Reason, true
}
