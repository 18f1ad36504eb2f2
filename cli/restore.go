package cli

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	cli "github.com/urfave/cli/v2"

	"quorate/eventlog"
	"quorate/internal/pki"
	"quorate/raft"
)

func (p *program) clusterRestore(c *cli.Context) error {
	if c.NArg() != 1 {
		return usage(commandLine(c)+" --help", "want the FILE of the backup")
	}
	file := c.Args().First()
	dir, err := p.dataDir(c, "server")
	if err != nil {
		return err
	}
	about, err := checkBackup(file)
	if err != nil {
		return notABackup(file, err)
	}
	if err := wantVacant(dir); err != nil {
		return err
	}
	err = p.con.confirm(c.Context, c.Bool("yes"), "a cluster of one will be made in %s from the backup of %s: what was recorded since is lost, and no orchestrator of the old cluster may be started again",
		dir, stamp(about.MadeAt))
	if err != nil {
		return err
	}
	made := missing(dir)
	lock, err := lockDir(dir)
	if err != nil {
		return err
	}
	defer lock.Close()
	m, found, err := restore(dir, file)
	if err != nil {
		tidy(dir, made)
		return notABackup(file, err)
	}
	return p.rebuilt(dir, m, found, m.Recovered.Lost)
}

// notABackup adds a hint where the file is to blame.
func notABackup(file string, err error) error {
	if errors.Is(err, errBackup) {
		return hinted(fmt.Errorf("%s: %w", file, err), "name a file that \"quorate cluster backup\" wrote")
	}
	return err
}

// checkBackup reads a backup to its end, which says that it is whole.
func checkBackup(file string) (manifest, error) {
	f, err := os.Open(file)
	if err != nil {
		return manifest{}, err
	}
	defer f.Close()
	u := &unpacking{}
	err = u.read(f)
	return u.about, err
}

// restoringDir holds, in an orchestrator's directory, what a restore makes until
// it is whole. Where it is there, the rest is of a restore that was interrupted.
const restoringDir = "restoring"

// restoredNames are what an orchestrator's directory is made of. The member's file
// comes last: it makes the rest an orchestrator's.
func restoredNames() []string {
	return []string{raftDir, "pki", "blobs", eventlog.StoreFile, memberFile}
}

// wantVacant refuses a directory that holds an orchestrator, or a part of one.
func wantVacant(dir string) error {
	if !missing(filepath.Join(dir, restoringDir)) {
		return nil // it was vacant when that was begun
	}
	for _, name := range append(restoredNames(), joinFile, eventlog.SegmentsDir) {
		if _, err := os.Stat(filepath.Join(dir, name)); !errors.Is(err, fs.ErrNotExist) {
			return fail(exitRefused, fmt.Errorf("%s holds an orchestrator's files already", dir), "name an empty directory with --data-dir")
		}
	}
	return nil
}

// wantRestored refuses a directory in which a restore was interrupted.
func wantRestored(dir string) error {
	if missing(filepath.Join(dir, restoringDir)) {
		return nil
	}
	return fail(exitRefused, fmt.Errorf("a restore into %s was interrupted", dir), "run \"quorate cluster restore\" once more: it begins anew")
}

// restore makes an orchestrator's directory of a backup. It is made aside and then
// moved, so that nothing is left of one that fails, and one that is interrupted
// can be repeated.
func restore(dir, file string) (m *membership, found raft.Recovered, err error) {
	aside := filepath.Join(dir, restoringDir)
	if !missing(aside) {
		for _, name := range restoredNames() {
			err = errors.Join(err, os.RemoveAll(filepath.Join(dir, name)))
		}
		if err = errors.Join(err, os.RemoveAll(aside)); err != nil {
			return nil, found, err
		}
	}
	if err := os.Mkdir(aside, 0o700); err != nil {
		return nil, found, err
	}
	if m, found, err = unpack(aside, file); err != nil {
		return nil, found, errors.Join(err, os.RemoveAll(aside))
	}
	for _, name := range restoredNames() {
		if err := os.Rename(filepath.Join(aside, name), filepath.Join(dir, name)); err != nil {
			return nil, found, err
		}
	}
	return m, found, errors.Join(syncDir(dir), os.RemoveAll(aside), syncDir(dir))
}

func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

// unpack makes the files of an orchestrator out of a backup.
func unpack(dir, file string) (*membership, raft.Recovered, error) {
	var found raft.Recovered
	f, err := os.Open(file)
	if err != nil {
		return nil, found, err
	}
	defer f.Close()
	blobs, err := eventlog.OpenBlobs(filepath.Join(dir, "blobs"))
	if err != nil {
		return nil, found, err
	}
	m := &membership{Started: true}
	u := &unpacking{
		secrets: func(files map[string][]byte) error { return pki.Install(filepath.Join(dir, "pki"), files) },
		blob:    func(digest string, r io.Reader) error { return blobs.Put(r, digest) },
	}
	u.log = func(r io.Reader) (err error) {
		m.Replica = afterAll(u.about.NextReplica)
		found, err = raft.Restore(raft.Config{DataDir: dir, Replica: m.Replica}, r)
		if errors.Is(err, raft.ErrExport) {
			err = fmt.Errorf("%w: its log is damaged: %w", errBackup, err)
		}
		return err
	}
	if err := u.read(f); err != nil {
		return nil, found, err
	}
	switch {
	case m.Replica == 0:
		return nil, found, fmt.Errorf("%w: it holds no log", errBackup)
	case found.ClusterID != "" && found.ClusterID != u.about.ClusterID:
		return nil, found, fmt.Errorf("%w: its log is of cluster %s, and not of %.64q", errBackup, found.ClusterID, u.about.ClusterID)
	}
	m.Recovered = &recovery{At: found.Index, Source: "backup", By: "local:" + userName(), Lost: fmt.Sprintf(
		"what any orchestrator recorded after %s, behind record %d, is not in the backup and lost", stamp(u.about.MadeAt), found.Index)}
	return m, found, m.write(dir)
}
