package nodeagent

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"time"

	"golang.org/x/mod/sumdb/note"

	"quorate/internal/checkpoint"
	"quorate/internal/pki"
	"quorate/nodeagent/wire"
)

// fileTrust holds what the agent has seen of the cluster's log.
const fileTrust = "checkpoints.json"

// distrustTimeout is what an orchestrator gets to read why it is not trusted.
const distrustTimeout = 3 * time.Second

// A DistrustError says that the log of an orchestrator is not the one that the agent
// has seen before. The agent takes no work from it, and others may have the right one.
type DistrustError struct{ Err error }

// Error implements error.
func (e *DistrustError) Error() string {
	return fmt.Sprintf("the orchestrator's log is not trusted: %v", e.Err)
}

// Unwrap returns the cause, which wraps [checkpoint.ErrContradicted].
func (e *DistrustError) Unwrap() error { return e.Err }

// trust is what the agent knows of the cluster's log. It is safe for concurrent use.
type trust struct {
	path      string
	clusterID string
	log       *slog.Logger

	mu     sync.Mutex
	key    string
	memory checkpoint.Memory
	notes  [][]byte // of the memory
}

// trustFile is how it is stored.
type trustFile struct {
	Key   string   `json:"key"`
	Notes []string `json:"notes"` // oldest first
}

// loadTrust reads what the agent knows. A file that cannot be what the agent wrote is
// an error: starting without it would believe anybody.
func loadTrust(dir, clusterID string, log *slog.Logger) (*trust, error) {
	t := &trust{path: filepath.Join(dir, fileTrust), clusterID: clusterID, log: log}
	text, err := os.ReadFile(t.path)
	if errors.Is(err, fs.ErrNotExist) {
		return t, nil
	}
	if err != nil {
		return nil, fmt.Errorf("checkpoints: %w", err)
	}
	var f trustFile
	if err := json.Unmarshal(text, &f); err != nil {
		return nil, t.damaged(err)
	}
	key, err := note.NewVerifier(f.Key)
	if err != nil {
		return nil, t.damaged(err)
	}
	if key.Name() != checkpoint.OriginPrefix+clusterID {
		log.Info("forgetting the checkpoints of another cluster", "of", key.Name())
		return t, nil
	}
	t.key = f.Key
	for _, n := range f.Notes {
		c, err := checkpoint.Open([]byte(n), key)
		if err != nil {
			return nil, t.damaged(err)
		}
		t.memory.Seen = append(t.memory.Seen, *c)
		t.notes = append(t.notes, []byte(n))
	}
	return t, nil
}

func (t *trust) damaged(err error) error {
	return fmt.Errorf("checkpoints: %s is damaged: %w: remove it to trust the log that the cluster shows next", t.path, err)
}

// seen names what the agent remembers.
func (t *trust) seen() (seen []wire.Seen) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, p := range t.memory.Points() {
		seen = append(seen, wire.Seen{Size: p.Size, Generation: p.Generation})
	}
	return seen
}

// welcome judges the log of an orchestrator that welcomes the agent.
func (t *trust) welcome(w *wire.Welcome) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.key == "" {
		if err := t.learnKey(w.LogKey); err != nil {
			return err
		}
	}
	if w.LogKey != t.key {
		return &DistrustError{fmt.Errorf("%w: it is signed with another key", checkpoint.ErrContradicted)}
	}
	if len(w.Checkpoint.Note) == 0 {
		if last := t.memory.Last(); last != nil {
			return &DistrustError{fmt.Errorf("%w: it is not signed, and was up to record %d", checkpoint.ErrContradicted, last.Size)}
		}
		return nil
	}
	return t.take(&w.Checkpoint)
}

// learnKey trusts the first key, over a connection whose ends both have certificates
// of the cluster.
func (t *trust) learnKey(text string) error {
	key, err := note.NewVerifier(text)
	if err != nil || key.Name() != checkpoint.OriginPrefix+t.clusterID {
		return fmt.Errorf("%w: the key of the log is %.100q", wire.ErrMalformed, text)
	}
	t.key = text
	t.save()
	return nil
}

// judge takes a newer checkpoint, on a connection that is there.
func (t *trust) judge(c *wire.Checkpoint) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.take(c)
}

func (t *trust) take(c *wire.Checkpoint) error {
	key, err := note.NewVerifier(t.key)
	if err != nil {
		return fmt.Errorf("checkpoints: key: %w", err)
	}
	said, err := checkpoint.Open(c.Note, key)
	if err != nil {
		return &DistrustError{fmt.Errorf("%w: %w", checkpoint.ErrContradicted, err)}
	}
	gone, err := t.memory.Judge(said, c.Older, c.Proof)
	if err != nil {
		return &DistrustError{err}
	}
	if gone > 0 {
		t.log.Warn("the cluster was recovered: records that this agent had seen signed are gone", "records", gone, "signed", said.Size)
	}
	if !t.memory.Keep(said) {
		return nil
	}
	t.notes = append(t.notes, c.Note)
	kept := t.notes[:0]
	for _, n := range t.notes { // those of the checkpoints that are still held
		if c, err := checkpoint.Unverified(n); err == nil && t.holds(c) {
			kept = append(kept, n)
		}
	}
	t.notes = kept
	t.save()
	return nil
}

func (t *trust) holds(c *checkpoint.Checkpoint) bool {
	for i := range t.memory.Seen {
		if s := &t.memory.Seen[i]; s.Point() == c.Point() && s.Root == c.Root {
			return true
		}
	}
	return false
}

// save stores what is known. Without room for it the agent goes on with what it knows
// until it ends, and then with what it knew before.
func (t *trust) save() {
	f := trustFile{Key: t.key, Notes: []string{}}
	for _, n := range t.notes {
		f.Notes = append(f.Notes, string(n))
	}
	text, err := json.MarshalIndent(f, "", "  ")
	if err == nil {
		err = pki.WriteFile(t.path, append(text, '\n'), 0o600)
	}
	if err != nil {
		t.log.Warn("what was seen of the cluster's log is not stored", "error", err)
	}
}

// forked reports whether the log of an orchestrator is not the one that was seen
// before, by the agent's word or by its own.
func forked(err error) bool {
	var refused *RefusedError
	return errors.As(err, new(*DistrustError)) || errors.As(err, &refused) && refused.Code == codeForked
}

// distrust tells the orchestrator why it is not trusted, where that is so.
func (a *agent) distrust(ctx context.Context, l *link, control stream, why error) {
	var distrusted *DistrustError
	if !errors.As(why, &distrusted) {
		return
	}
	a.log.Error("REFUSED: the orchestrator's log is not the one that this agent has seen before; no work is taken from it", "error", why,
		"hint", `compare it with another orchestrator's: "quorate audit checkpoint"`)
	m := &wire.Distrust{Reason: distrusted.Err.Error()}
	a.trust.mu.Lock()
	if n := len(a.trust.notes); n > 0 {
		m.Note = a.trust.notes[n-1]
	}
	a.trust.mu.Unlock()
	if wire.WriteMessage(control, m) != nil {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, distrustTimeout)
	defer cancel()
	select { // it closes the connection when it has read that
	case <-l.done():
	case <-ctx.Done():
	}
}
