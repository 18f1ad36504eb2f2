package bundle

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"io/fs"
	"math/rand/v2"
	"testing"
	"time"

	"golang.org/x/mod/sumdb/note"

	"quorate/eventlog"
	"quorate/internal/checkpoint"
	"quorate/internal/pki"
)

// A lab is a log in memory with the keys to sign it.
type lab struct {
	*eventlog.Memory
	t      testing.TB
	ca     *pki.CA
	signer note.Signer
	key    string
	blobs  map[string][]byte
	notes  map[uint64][]byte
	now    int64
	plan   Blob
	files  []Blob
}

func newLab(t testing.TB) *lab {
	t.Helper()
	ca, err := pki.New()
	if err != nil {
		t.Fatal(err)
	}
	l := &lab{Memory: eventlog.NewMemory(), t: t, ca: ca, blobs: map[string][]byte{}, notes: map[uint64][]byte{}, now: 1_700_000_000_000_000_000}
	if l.signer, l.key, err = ca.LogSigner(ca.ClusterID()); err != nil {
		t.Fatal(err)
	}
	l.add(&eventlog.ClusterCreated{ClusterID: ca.ClusterID()}, &eventlog.LeaderEstablished{Replica: 1, Version: "v1"})
	return l
}

func (l *lab) add(events ...eventlog.Event) {
	l.t.Helper()
	for _, e := range events {
		l.now += 1_000_000
		entry, err := eventlog.NewEntry(l.now, e)
		if err == nil {
			_, err = l.Append(context.Background(), []eventlog.Entry{entry})
		}
		if err != nil {
			l.t.Fatal(err)
		}
	}
}

func (l *lab) blob(content string) Blob {
	sum := sha256.Sum256([]byte(content))
	digest := hex.EncodeToString(sum[:])
	l.blobs[digest] = []byte(content)
	return Blob{digest, int64(len(content))}
}

// record puts a plan with an input and a shipped file on record.
func (l *lab) record() {
	file := l.blob("listen 80;\n")
	input := l.blob("- RUN: true\n")
	l.plan = l.blob("plan that ships " + file.SHA256 + ", for one")
	l.files = []Blob{input, file}
	l.add(&eventlog.PlanRecorded{
		PlanID: l.plan.SHA256, PlannerVersion: "v1", Hosts: []string{"wéb<1>", "\u2028\x01\"\\\n"}, HostSets: [][]uint32{{0, 1}, {}},
		Inputs: []eventlog.PlanInput{{Role: "services", Name: "s.yaml", Digest: input.SHA256}}, By: "ann",
	})
}

// chatter adds records of several kinds and sizes.
func (l *lab) chatter(n int, rng *rand.Rand) {
	for range n {
		switch rng.IntN(4) {
		case 0:
			l.add(&eventlog.StepScheduled{Run: 1, Task: rng.Uint32(), Host: 1, Agent: 7, Epoch: rng.Uint64()})
		case 1:
			out := make([]byte, rng.IntN(300))
			for i := range out {
				out[i] = byte(rng.IntN(256))
			}
			l.add(&eventlog.JobEnded{Attempt: 9, Outcome: eventlog.Outcome(rng.IntN(8)), Exit: -rng.Int32(), StartedAt: -rng.Int64(),
				Stdout: eventlog.Output{Head: out, Size: int64(len(out))}, Stderr: eventlog.Output{Tail: []byte("text\t\"é\"")}})
		case 2:
			l.add(&eventlog.AttemptEnded{Attempt: rng.Uint64(), Outcome: eventlog.Succeeded, Reason: "because"})
		default:
			l.add(&eventlog.TaskSkipped{Run: 1, Hosts: []uint32{1, 2, 300, 70000}, Reason: "\x7f\b\f\r"})
		}
	}
}

// sign signs the log as it is, and puts the note on record.
func (l *lab) sign() uint64 {
	l.t.Helper()
	size, head := l.Head()
	l.notes[size] = l.note(size, head, l.Memory, l.signer)
	l.add(&eventlog.CheckpointSigned{Size: size, Note: l.notes[size]})
	return size
}

func (l *lab) note(size uint64, head eventlog.Hash, log *eventlog.Memory, signer note.Signer) []byte {
	l.t.Helper()
	tree, err := log.Tree(size)
	if err != nil {
		l.t.Fatal(err)
	}
	root, err := tree.Root()
	if err != nil {
		l.t.Fatal(err)
	}
	c := checkpoint.Checkpoint{ClusterID: l.ca.ClusterID(), Size: size, Root: root, Head: head, Time: time.Unix(0, l.now).UTC()}
	text, err := c.Sign(signer)
	if err != nil {
		l.t.Fatal(err)
	}
	return text
}

// Records implements Source.
func (l *lab) Records(ctx context.Context, from uint64, limit int) ([]eventlog.Record, error) {
	return l.Read(ctx, from, min(limit, 3))
}

// Blob implements Source.
func (l *lab) Blob(_ context.Context, digest string) (io.ReadCloser, int64, error) {
	content, ok := l.blobs[digest]
	if !ok {
		return nil, 0, fmt.Errorf("blob %s: %w", digest, fs.ErrNotExist)
	}
	return io.NopCloser(bytes.NewReader(content)), int64(len(content)), nil
}

// certificate is the authority's word for the key.
func (l *lab) certificate() []byte {
	text, err := l.ca.CertifyLog()
	if err != nil {
		l.t.Fatal(err)
	}
	return text
}

// whole is the content of a bundle of all records.
func (l *lab) whole() *Content {
	head, _ := l.Head()
	c := &Content{Program: "v1.2.3", Cluster: l.ca.ClusterID(), From: 1, To: head, Checkpoints: l.notes, Key: l.key, Certificate: l.certificate()}
	if l.plan.SHA256 != "" {
		c.Blobs = append([]Blob{l.plan}, l.files...)
	}
	return c
}

func (l *lab) write(c *Content) []byte {
	l.t.Helper()
	var buf bytes.Buffer
	if _, err := Write(context.Background(), &buf, l, c); err != nil {
		l.t.Fatal(err)
	}
	return buf.Bytes()
}

// busy is a log with a plan, chatter and checkpoints, and a run's part of it.
func busy(t testing.TB, seed uint64) (l *lab, run *Content) {
	rng := rand.New(rand.NewPCG(seed, 1))
	l = newLab(t)
	l.chatter(10, rng)
	l.record()
	plan, _ := l.Head()
	l.sign()
	l.chatter(30, rng)
	l.add(&eventlog.RunCreated{PlanID: l.plan.SHA256, By: "ann"})
	from, _ := l.Head()
	l.chatter(40, rng)
	l.sign()
	l.chatter(20, rng)
	l.add(&eventlog.RunEnded{Run: 1, Outcome: eventlog.Succeeded})
	to, _ := l.Head()
	l.chatter(int(seed%7), rng)
	l.sign()
	l.chatter(50, rng)
	l.sign()
	run = l.whole()
	run.Run, run.From, run.To, run.Also, run.State = 1, from, to, []uint64{1, 2, plan}, []byte("a state")
	return l, run
}

func verify(b []byte, trust Trust) (*Report, error) {
	return Verify(context.Background(), bytes.NewReader(b), trust)
}
