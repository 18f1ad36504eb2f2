package cli

import (
	"archive/tar"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"path"
	"path/filepath"
	"slices"
	"time"

	"quorate/engine"
	"quorate/engine/api"
	"quorate/internal/pki"
)

// The parts of a backup, a tar archive, in this order. What says what it is comes
// last as well: an archive that ends without is not whole.
const (
	backupHead  = "quorate-backup.json"
	backupPKI   = "pki/"
	backupLog   = "log"
	backupBlobs = "blobs/"
	backupTail  = "end"
)

// backupSchema versions the archive.
const backupSchema = "quorate-backup/v1"

// A manifest says what a backup is.
type manifest struct {
	Schema    string    `json:"schema"`
	ClusterID string    `json:"cluster_id"`
	Version   string    `json:"version"`
	Replica   uint64    `json:"replica"` // of the member that made it
	MadeAt    time.Time `json:"made_at"`
	// NextReplica is the first number that no orchestrator in the log had.
	NextReplica uint64 `json:"next_replica"`
}

// backup writes a backup of the cluster, as this member has it. The log goes
// first through a file, since an archive names the size of each part before it;
// blobs come after the log, so that those of every plan in it are there.
func (n *node) backup(ctx context.Context, w io.Writer) error {
	if n.peers == nil {
		return &api.Error{
			Code: "conflict", Message: "this orchestrator works on the embedded log, which has no backup of its own",
			Hint: "stop it and copy its data directory",
		}
	}
	spool, err := os.CreateTemp(n.cfg.dir, "backup-*")
	if err != nil {
		return fmt.Errorf("backup: %w", err)
	}
	defer spool.Close()
	if err := os.Remove(spool.Name()); err != nil { // it goes when it is closed, whatever happens
		return fmt.Errorf("backup: %w", err)
	}
	if err := n.peers.log.Export(ctx, spool); err != nil {
		return fmt.Errorf("backup of the log: %w", err)
	}
	size, err := spool.Seek(0, io.SeekCurrent)
	if err == nil {
		_, err = spool.Seek(0, io.SeekStart)
	}
	if err != nil {
		return fmt.Errorf("backup: %w", err)
	}
	a := archive{ctx: ctx, tar: tar.NewWriter(w), at: time.Now().UTC()}
	m := manifest{Schema: backupSchema, ClusterID: n.orch.CA().ClusterID(), Version: n.cfg.version, Replica: n.member.Replica, MadeAt: a.at}
	n.orch.View(func(s *engine.State) { m.NextReplica = s.NextReplica() })
	about, err := json.Marshal(m)
	if err != nil {
		return err
	}
	a.bytes(backupHead, about)
	secrets, err := pki.Secrets(n.pkiDir())
	if err != nil {
		return err
	}
	for _, name := range slices.Sorted(maps.Keys(secrets)) {
		a.bytes(backupPKI+name, secrets[name])
	}
	a.add(backupLog, size, spool)
	n.archiveBlobs(&a)
	a.bytes(backupTail, nil)
	return errors.Join(a.err, a.tar.Close())
}

// archiveBlobs adds the blobs of all plans on record that this member has.
func (n *node) archiveBlobs(a *archive) {
	for _, digest := range n.digests() {
		blob, err := n.orch.Blobs().Open(digest)
		if errors.Is(err, fs.ErrNotExist) {
			n.cfg.logger.Warn("the backup lacks a blob that is not here", "digest", digest)
			continue
		}
		if err != nil {
			a.err = errors.Join(a.err, err)
			return
		}
		info, err := blob.Stat()
		if err == nil {
			a.add(backupBlobs+digest, info.Size(), blob)
		}
		a.err = errors.Join(a.err, err, blob.Close())
		if a.err != nil {
			return
		}
	}
}

// digests are the blobs of the plans on record: the plans, their inputs and what
// their jobs ship.
func (n *node) digests() []string {
	var plans []string
	n.orch.View(func(s *engine.State) { plans = slices.Collect(maps.Keys(s.Plans)) })
	all := map[string]bool{}
	for _, id := range plans {
		all[id] = true
		plan, err := n.orch.Plan(id)
		if err != nil {
			n.cfg.logger.Warn("the backup lacks what a plan needs: it cannot be read", "plan", id, "error", err)
			continue
		}
		for _, in := range plan.Inputs {
			all[in.Digest] = true
		}
		for t := range plan.Tasks {
			for j := range plan.Tasks[t].Jobs {
				for _, f := range plan.Tasks[t].Jobs[j].Spec.Files {
					all[f.Digest] = true
				}
			}
		}
	}
	return slices.Sorted(maps.Keys(all))
}

// An archive is a tar archive that is being written; the first error ends it.
type archive struct {
	ctx context.Context
	tar *tar.Writer
	at  time.Time
	err error
}

func (a *archive) bytes(name string, content []byte) {
	a.add(name, int64(len(content)), bytes.NewReader(content))
}

func (a *archive) add(name string, size int64, content io.Reader) {
	if a.err == nil {
		a.err = a.ctx.Err()
	}
	if a.err == nil {
		a.err = a.tar.WriteHeader(&tar.Header{Name: name, Mode: 0o600, Size: size, ModTime: a.at, Format: tar.FormatPAX})
	}
	if a.err != nil {
		return
	}
	if _, err := io.Copy(a.tar, content); err != nil {
		a.err = fmt.Errorf("backup of %s: %w", name, err)
	}
}

// errBackup is wrapped by errors for a file that is no backup, or not all of one.
var errBackup = errors.New("not a whole backup")

// An unpacking reads a backup. The parts are handed out as they come.
type unpacking struct {
	about manifest
	// secrets, log and blob take the parts; nil skips one.
	secrets func(map[string][]byte) error
	log     func(r io.Reader) error
	blob    func(digest string, r io.Reader) error
}

// secretBytesMax bounds each file of the authorities in a backup.
const secretBytesMax = 1 << 20

// read reads a backup to its end. The archive is an untrusted input: names lead
// nowhere, and what is kept in memory is bounded.
func (u *unpacking) read(r io.Reader) error {
	in := tar.NewReader(r)
	secrets := map[string][]byte{}
	for first := true; ; first = false {
		head, err := in.Next()
		if err != nil {
			if err == io.EOF {
				err = errors.New("it ends too early")
			}
			return fmt.Errorf("%w: %w", errBackup, err)
		}
		if first && head.Name != backupHead {
			return fmt.Errorf("%w: it begins with %.64q", errBackup, head.Name)
		}
		dir, base := path.Split(head.Name)
		switch {
		case head.Name == backupHead && first:
			err = u.readHead(in)
		case dir == backupPKI && len(secrets) < 16:
			secrets[base], err = io.ReadAll(io.LimitReader(in, secretBytesMax))
		case head.Name == backupLog:
			if u.secrets != nil {
				err = u.secrets(secrets)
			}
			if err == nil && u.log != nil {
				err = u.log(in)
			}
		case dir == backupBlobs:
			if u.blob != nil {
				err = u.blob(base, in)
			}
		case head.Name == backupTail:
			return nil
		default:
			err = fmt.Errorf("%w: it holds %.64q", errBackup, head.Name)
		}
		if err != nil {
			return err
		}
	}
}

func (u *unpacking) readHead(r io.Reader) error {
	text, err := io.ReadAll(io.LimitReader(r, secretBytesMax))
	if err != nil {
		return fmt.Errorf("%w: %w", errBackup, err)
	}
	if err := json.Unmarshal(text, &u.about); err != nil {
		return fmt.Errorf("%w: %w", errBackup, err)
	}
	if u.about.NextReplica == 0 {
		return fmt.Errorf("%w: it does not say which numbers are taken", errBackup)
	}
	if u.about.Schema != backupSchema {
		return fmt.Errorf("%w: schema %.64q, and this version reads %s", errBackup, u.about.Schema, backupSchema)
	}
	return nil
}

// partial names what a file is called until it is whole.
func partial(file string) string {
	return filepath.Join(filepath.Dir(file), "."+filepath.Base(file)+".partial")
}
