package pki

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestResetKey: a key stays the same across restarts, and is the process's own without a
// file. One that is damaged is an error that says what to do.
func TestResetKey(t *testing.T) {
	path := filepath.Join(t.TempDir(), "reset.key")
	first, err := ResetKey(path)
	if err != nil {
		t.Fatal(err)
	}
	if again, err := ResetKey(path); err != nil || again != first {
		t.Errorf("another key after a restart, %v", err)
	}
	if info, err := os.Stat(path); err != nil || info.Mode() != 0o600 {
		t.Errorf("mode %v, %v", info.Mode(), err)
	}
	own, err := ResetKey("")
	if other, _ := ResetKey(""); err != nil || own == other {
		t.Errorf("two processes without a file have the same key, %v", err)
	}
	if err := os.WriteFile(path, []byte("half"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := ResetKey(path); err == nil || !strings.Contains(err.Error(), "remove the file") {
		t.Errorf("a damaged key: %v", err)
	}
}
