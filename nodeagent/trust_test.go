package nodeagent

import (
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/mod/sumdb/note"

	"quorate/internal/checkpoint"
	"quorate/internal/pki"
	"quorate/nodeagent/wire"
)

// What an agent has seen survives it, is bound to its cluster and the first key, and
// is not forgotten because its file is damaged.
func TestTrustIsKept(t *testing.T) {
	dir := t.TempDir()
	ca, err := pki.New()
	if err != nil {
		t.Fatal(err)
	}
	signer, key, err := ca.LogSigner(ca.ClusterID())
	if err != nil {
		t.Fatal(err)
	}
	load := func(cluster string) (*trust, error) { return loadTrust(dir, cluster, slog.New(slog.DiscardHandler)) }
	signed := func(signer note.Signer, size uint64, root byte) wire.Checkpoint {
		t.Helper()
		c := checkpoint.Checkpoint{ClusterID: ca.ClusterID(), Size: size, Root: checkpoint.Hash{root}, Time: time.Unix(1, 0)}
		text, err := c.Sign(signer)
		if err != nil {
			t.Fatal(err)
		}
		return wire.Checkpoint{Note: text}
	}
	first, err := load(ca.ClusterID())
	if err != nil || len(first.seen()) != 0 {
		t.Fatalf("at first: %v, %v", first.seen(), err)
	}
	if err := first.welcome(&wire.Welcome{LogKey: "no key"}); err == nil {
		t.Error("any key is taken")
	}
	if err := first.welcome(&wire.Welcome{LogKey: key, Checkpoint: signed(signer, 7, 1)}); err != nil {
		t.Fatal(err)
	}
	again, err := load(ca.ClusterID())
	if err != nil || len(again.seen()) != 1 || again.seen()[0].Size != 7 {
		t.Fatalf("after a restart: %v, %v", again.seen(), err)
	}
	other, err := pki.New()
	if err != nil {
		t.Fatal(err)
	}
	forger, forgedKey, err := other.LogSigner(ca.ClusterID())
	if err != nil {
		t.Fatal(err)
	}
	for name, w := range map[string]wire.Welcome{
		"another key":           {LogKey: forgedKey, Checkpoint: signed(forger, 9, 1)},
		"another key's work":    {LogKey: key, Checkpoint: signed(forger, 9, 1)},
		"nothing signed":        {LogKey: key},
		"another root":          {LogKey: key, Checkpoint: signed(signer, 7, 2)},
		"fewer records":         {LogKey: key, Checkpoint: signed(signer, 6, 1)},
		"more, without a proof": {LogKey: key, Checkpoint: signed(signer, 9, 1)},
	} {
		var distrusted *DistrustError
		if err := again.welcome(&w); !errors.As(err, &distrusted) || !errors.Is(err, checkpoint.ErrContradicted) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if err := again.welcome(&wire.Welcome{LogKey: key, Checkpoint: signed(signer, 7, 1)}); err != nil {
		t.Errorf("the same again: %v", err)
	}
	if t2, err := load(strings.Repeat("0", 32)); err != nil || len(t2.seen()) != 0 || t2.key != "" {
		t.Errorf("in another cluster: %v, %v", t2.seen(), err)
	}
	path := filepath.Join(dir, fileTrust)
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(strings.Replace(string(text), "\\n7\\n", "\\n8\\n", 1)), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := load(ca.ClusterID()); err == nil || !strings.Contains(err.Error(), path) {
		t.Errorf("a damaged file: %v", err)
	}
}
