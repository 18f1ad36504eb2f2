package port_test

import (
	"maps"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"quorate/raft/port"
)

func mustOpen(t *testing.T, path string) *port.Book {
	t.Helper()
	b, err := port.OpenBook(path)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func TestBook(t *testing.T) {
	path := filepath.Join(t.TempDir(), "raft", "peers.json")
	b := mustOpen(t, path)
	if _, ok := b.Address(1); ok {
		t.Error("an empty book knows an address")
	}
	steps := []struct{ set, want map[uint64]string }{
		{map[uint64]string{1: "a:1", 2: "b:2"}, map[uint64]string{1: "a:1", 2: "b:2"}},
		{map[uint64]string{2: "[::1]:2"}, map[uint64]string{1: "a:1", 2: "[::1]:2"}}, // others are kept
		{map[uint64]string{3: "c:65535", 1: ""}, map[uint64]string{2: "[::1]:2", 3: "c:65535"}},
		{nil, map[uint64]string{2: "[::1]:2", 3: "c:65535"}},
	}
	for i, s := range steps {
		if err := b.Set(s.set); err != nil {
			t.Fatal(err)
		}
		if got := b.All(); !maps.Equal(got, s.want) {
			t.Errorf("step %d: %v, want %v", i, got, s.want)
		}
		if got := mustOpen(t, path).All(); !maps.Equal(got, s.want) {
			t.Errorf("step %d, read again: %v, want %v", i, got, s.want)
		}
	}
	before, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := b.Set(map[uint64]string{2: "[::1]:2"}); err != nil {
		t.Fatal(err)
	}
	if after, err := os.Stat(path); err != nil || !os.SameFile(before, after) {
		t.Error("setting what is there wrote the file")
	}
	if left, _ := os.ReadDir(filepath.Dir(path)); len(left) != 1 {
		t.Errorf("%d files are left", len(left))
	}
	for _, bad := range []map[uint64]string{{0: "a:1"}, {1: "a"}, {1: ":1"}, {1: "a:0"}, {1: "a:65536"}, {1: "a:http"}, {1: strings.Repeat("a", 300) + ":1"}} {
		if err := b.Set(bad); err == nil {
			t.Errorf("%v was taken", bad)
		}
	}
	b.All()[2] = "changed"
	if a, _ := b.Address(2); a != "[::1]:2" {
		t.Errorf("a caller changed the book: %s", a)
	}
}

// TestBookWriteFails: what could not be made durable does not count.
func TestBookWriteFails(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "raft")
	b := mustOpen(t, filepath.Join(dir, "peers.json"))
	if err := os.WriteFile(dir, nil, 0o600); err != nil { // a file where the directory has to be
		t.Fatal(err)
	}
	if err := b.Set(map[uint64]string{1: "a:1"}); err == nil {
		t.Error("no error")
	}
	if _, ok := b.Address(1); ok {
		t.Error("an address that is not durable is known")
	}
}

func TestBookDamaged(t *testing.T) {
	for _, text := range []string{"", "{", `{"replicas":{"0":"a:1"}}`, `{"replicas":{"1":"a"}}`, `{"replicas":{"x":"a:1"}}`, strings.Repeat(" ", 2<<20)} {
		path := filepath.Join(t.TempDir(), "peers.json")
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := port.OpenBook(path); err == nil || !strings.Contains(err.Error(), "remove it") {
			t.Errorf("%.40q: %v", text, err)
		}
	}
}
