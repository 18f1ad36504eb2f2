package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	cli "github.com/urfave/cli/v2"

	"quorate/engine/api"
	"quorate/raft"
)

func (p *program) clusterBackup(c *cli.Context) error {
	if c.NArg() != 1 {
		return usage(commandLine(c)+" --help", "want the FILE to write")
	}
	file := c.Args().First()
	switch {
	case file == "-":
		return p.streamBackup(c.Context)
	case !missing(file):
		return fail(exitRefused, fmt.Errorf("%s is there already", file), "name a file that is not, or remove that one")
	case missing(filepath.Dir(file)):
		return fail(exitError, fmt.Errorf("backup: the directory %s does not exist", filepath.Dir(file)), "make it, or name a file elsewhere")
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

// streamBackup writes a backup to stdout, which is whole where this succeeds.
func (p *program) streamBackup(ctx context.Context) error {
	if p.con.outTerminal {
		return fail(exitUsage, errors.New("a backup is no text for a terminal"), "pipe it on, or name a FILE")
	}
	client, err := p.dial()
	if err != nil {
		return err
	}
	defer client.Close()
	body, err := client.Backup(ctx)
	if err != nil {
		return err
	}
	defer body.Close()
	about, size, err := copyBackup(p.con.out, body)
	if err != nil {
		return fmt.Errorf("backup: %w", err)
	}
	p.con.note("%d bytes, cluster %.12s, made by orchestrator %d at %s", size, about.ClusterID, about.Replica, stamp(about.MadeAt))
	p.con.note("it holds the cluster's keys: whoever has it can act as any part of the cluster")
	return nil
}

// copyBackup reads a backup as it copies it: what cannot be read back is none.
func copyBackup(out io.Writer, in io.Reader) (about manifest, size int64, err error) {
	count := &counter{}
	u := &unpacking{}
	in = io.TeeReader(in, io.MultiWriter(out, count))
	if err = u.read(in); err == nil {
		_, err = io.Copy(io.Discard, in) // the end of the archive
	}
	return u.about, count.n, err
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
	about, size, err = copyBackup(f, body)
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
	return about, size, nil
}

// A counter counts the bytes that are written to it.
type counter struct{ n int64 }

// Write implements io.Writer.
func (c *counter) Write(p []byte) (int, error) {
	c.n += int64(len(p))
	return len(p), nil
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
	if err := wantRestored(dir); err != nil {
		return err
	}
	m, err := readMembership(dir)
	var gone *membershipError
	if errors.As(err, &gone) && gone.replica != 0 { // what its log holds is there all the same
		m, err = &membership{Replica: gone.replica, Started: true}, nil
	}
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
	err = p.con.confirm(c.Context, c.Bool("yes"), "the cluster of %s will go on from the files of orchestrator %d alone, in %s: what the others acknowledged and it lacks is lost, and they may never be started again",
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
	lost := lostByRecovery(m.Replica, state.Members(), found)
	fresh := &membership{Replica: next, Started: true, At: m.At, Recovered: &recovery{At: found.Index, Source: "member", By: "local:" + userName(), Lost: lost}}
	if err := os.Remove(filepath.Join(dir, raftDir, bookFile)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if err := fresh.write(dir); err != nil {
		return err
	}
	return p.rebuilt(dir, fresh, found, lost)
}

// unreadBytesMax bounds what is told of a part of the log that could not be read.
const unreadBytesMax = 512

// lostByRecovery says what may be lost where the log of a replica goes on alone, as far
// as is known.
func lostByRecovery(replica uint64, members []uint64, found raft.Recovered) string {
	others := slices.DeleteFunc(slices.Clone(members), func(m uint64) bool { return m == replica })
	lost := fmt.Sprintf("what is behind record %d is lost", found.Index)
	if len(others) > 0 {
		lost = fmt.Sprintf("what orchestrators other than %d (%s) acknowledged behind record %d, and it had not received, is lost",
			replica, strings.Trim(fmt.Sprint(others), "[]"), found.Index)
	}
	switch {
	case found.Unread != nil:
		why := oneLine(found.Unread.Error())
		lost += "; so is what only a damaged part of its files held: " + why[:min(len(why), unreadBytesMax)]
	case found.Last == 0:
		lost += "; whether its own files could be read to their end is not known, since a recovery before this one was interrupted"
	}
	return strings.ToValidUTF8(lost, "")
}

// rebuiltAgents is what becomes of agents when a cluster is built anew.
const rebuiltAgents = "agents come back by themselves: idle ones work at once, and what they may have done in the part that is lost is marked unknown. " +
	"One that was in the middle of something lost is quarantined, and one that enrolled since is refused: look at those hosts and enrol them anew; \"quorate agent ls\" tells which"

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
		p.con.note("%s", rebuiltAgents)
		p.con.note("start it with: %s", next)
		p.con.note("then let others join anew: \"quorate cluster add\" prints how")
		return nil
	})
}
