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

	"quorate/engine/api"
	"quorate/eventlog"
	"quorate/internal/pki"
	"quorate/raft"
)

func (p *program) clusterBackup(c *cli.Context) error {
	if c.NArg() != 1 {
		return usage(commandLine(c)+" --help", "want the FILE to write")
	}
	file := c.Args().First()
	if _, err := os.Stat(file); err == nil {
		return fail(exitRefused, fmt.Errorf("%s is there already", file), "name a file that is not, or remove that one")
	}
	client, err := p.dial()
	if err != nil {
		return err
	}
	defer client.Close()
	about, size, err := saveBackup(c.Context, client, file)
	if err != nil {
		return err
	}
	document := struct {
		Schema string `json:"schema"`
		File   string `json:"file"`
		Bytes  int64  `json:"bytes"`
		manifest
	}{api.Schema, file, size, about}
	document.manifest.Schema = ""
	return p.emit(document, func() error {
		if _, err := fmt.Fprintf(p.con.out, "%s: %d bytes, cluster %.12s, made by orchestrator %d at %s\n", file, size, about.ClusterID, about.Replica, stamp(about.MadeAt)); err != nil {
			return err
		}
		p.con.note("it holds the cluster's keys: whoever has it can act as any part of the cluster. It has mode 0600; keep it so")
		return nil
	})
}

// saveBackup writes a backup to a file, which is there as a whole or not at all.
func saveBackup(ctx context.Context, client *api.Client, file string) (about manifest, size int64, err error) {
	body, err := client.Backup(ctx)
	if err != nil {
		return about, 0, err
	}
	defer body.Close()
	f, err := os.OpenFile(partial(file), os.O_CREATE|os.O_WRONLY|os.O_TRUNC, 0o600)
	if err != nil {
		return about, 0, err
	}
	defer os.Remove(f.Name())
	// Read as it is written: what cannot be read back is not kept.
	count := &counter{}
	u := &unpacking{}
	in := io.TeeReader(body, io.MultiWriter(f, count))
	if err = u.read(in); err == nil {
		_, err = io.Copy(io.Discard, in) // the end of the archive
	}
	if err == nil {
		err = f.Sync()
	}
	if e := f.Close(); err == nil {
		err = e
	}
	if err == nil {
		err = os.Rename(f.Name(), file)
	}
	if err != nil {
		return about, 0, fmt.Errorf("backup: %w", err)
	}
	return u.about, count.n, nil
}

// A counter counts the bytes that are written to it.
type counter struct{ n int64 }

// Write implements io.Writer.
func (c *counter) Write(p []byte) (int, error) {
	c.n += int64(len(p))
	return len(p), nil
}

func (p *program) clusterRestore(c *cli.Context) error {
	if c.NArg() != 1 {
		return usage(commandLine(c)+" --help", "want the FILE of the backup")
	}
	dir, err := p.dataDir(c, "server")
	if err != nil {
		return err
	}
	about, err := readManifest(c.Args().First())
	if err != nil {
		return notABackup(c.Args().First(), err)
	}
	if err := wantVacant(dir); err != nil {
		return err
	}
	err = p.con.confirm(c.Bool("yes"), "a cluster of one will be made in %s from the backup of %s: what was recorded since is lost, and no orchestrator of the old cluster may be started again",
		dir, stamp(about.MadeAt))
	if err != nil {
		return err
	}
	lock, err := lockDir(dir)
	if err != nil {
		return err
	}
	defer lock.Close()
	m, found, err := restore(dir, c.Args().First())
	if err != nil {
		return errors.Join(notABackup(c.Args().First(), err), clearDir(dir))
	}
	return p.rebuilt(dir, m, found, fmt.Sprintf("what was recorded after %s is not in the backup and lost", stamp(about.MadeAt)))
}

// notABackup adds a hint where the file is to blame.
func notABackup(file string, err error) error {
	if errors.Is(err, errBackup) {
		return hinted(fmt.Errorf("%s: %w", file, err), "name a file that \"quorate cluster backup\" wrote")
	}
	return err
}

// errHeadRead ends an unpacking that wants to know what a backup is.
var errHeadRead = errors.New("head read")

func readManifest(file string) (manifest, error) {
	f, err := os.Open(file)
	if err != nil {
		return manifest{}, err
	}
	defer f.Close()
	u := &unpacking{log: func(io.Reader) error { return errHeadRead }}
	if err := u.read(f); !errors.Is(err, errHeadRead) {
		return manifest{}, err
	}
	return u.about, nil
}

// restoredNames are what an orchestrator's directory is made of.
var restoredNames = []string{memberFile, joinFile, eventlog.StoreFile, raftDir, "pki", "blobs"}

// wantVacant refuses a directory that holds an orchestrator, or a part of one.
func wantVacant(dir string) error {
	for _, name := range restoredNames {
		if _, err := os.Stat(filepath.Join(dir, name)); !errors.Is(err, fs.ErrNotExist) {
			return fail(exitRefused, fmt.Errorf("%s holds an orchestrator's files already", dir), "name an empty directory with --data-dir")
		}
	}
	return nil
}

// clearDir takes away what a restore that failed has left.
func clearDir(dir string) error {
	var failed error
	for _, name := range restoredNames {
		failed = errors.Join(failed, os.RemoveAll(filepath.Join(dir, name)))
	}
	return failed
}

// restore makes an orchestrator's directory of a backup.
func restore(dir, file string) (*membership, raft.Recovered, error) {
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
		return err
	}
	if err := u.read(f); err != nil {
		return nil, found, err
	}
	m.Recovered = &recovery{At: found.Index, Source: "backup", By: "local:" + userName()}
	return m, found, m.write(dir)
}

// numberStep is what a cluster that is built anew rounds its number up to. The
// lost one may have given numbers away that this one does not know of, and one
// that is used twice would let a stray replica of it speak for another.
const numberStep = 100

// afterAll is the number for the only member of a cluster that is built anew.
func afterAll(next uint64) uint64 { return (next + numberStep - 1) / numberStep * numberStep }

func (p *program) clusterRecover(c *cli.Context) error {
	dir, err := p.dataDir(c, "server")
	if err != nil {
		return err
	}
	m, err := readMembership(dir)
	if err != nil {
		return err
	}
	if m == nil {
		return fail(exitRefused, fmt.Errorf("%s holds no orchestrator", dir), "name the directory of one that survived with --data-dir, or use \"quorate cluster restore\" with a backup")
	}
	lock, err := lockDir(dir)
	if err != nil {
		return hinted(err, "stop the orchestrator first")
	}
	defer lock.Close()
	state, err := replayTo(dir, theEnd())
	if err != nil {
		return err
	}
	err = p.con.confirm(c.Bool("yes"), "the cluster of %s will go on from the files of orchestrator %d alone, in %s: what the others acknowledged and it lacks is lost, and they may never be started again",
		count(len(state.Members()), "orchestrator"), m.Replica, dir)
	if err != nil {
		return err
	}
	next := afterAll(state.NextReplica())
	found, err := raft.Recover(raft.Config{DataDir: dir, Replica: m.Replica}, next)
	if errors.Is(err, raft.ErrReplicaUsed) && m.Replica < next {
		// One that died before it wrote what follows.
		found, err = raft.Recovered{Index: state.Index, Hash: state.Head, ClusterID: state.ClusterID}, nil
	}
	if err != nil {
		return err
	}
	fresh := &membership{Replica: next, Started: true, Recovered: &recovery{At: found.Index, Source: "member", By: "local:" + userName()}}
	if err := os.Remove(filepath.Join(dir, raftDir, bookFile)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if err := fresh.write(dir); err != nil {
		return err
	}
	lost := "what the others acknowledged and this one had not received is lost"
	if found.Unread != nil {
		lost += fmt.Sprintf("; so is what only a damaged part of its files held: %v", found.Unread)
	}
	return p.rebuilt(dir, fresh, found, lost)
}

// rebuilt says what a cluster of one was made of, and what to do with it.
func (p *program) rebuilt(dir string, m *membership, found raft.Recovered, lost string) error {
	next := fmt.Sprintf("quorate server --data-dir %s --raft :7442", dir)
	document := struct {
		Schema    string `json:"schema"`
		Replica   uint64 `json:"replica"`
		ClusterID string `json:"cluster_id"`
		Seq       uint64 `json:"seq"`
		Head      string `json:"head"`
		Lost      string `json:"lost"`
		Next      string `json:"next"`
	}{api.Schema, m.Replica, found.ClusterID, found.Index, found.Hash.String(), lost, next}
	return p.emit(document, func() error {
		_, err := fmt.Fprintf(p.con.out, "orchestrator %d of cluster %.12s, at %d\nhead  %s\n", m.Replica, found.ClusterID, found.Index, found.Hash)
		if err != nil {
			return err
		}
		p.con.note("%s", lost)
		p.con.note("start it with: %s", next)
		p.con.note("then let others join anew: \"quorate cluster add\" prints how")
		return nil
	})
}
