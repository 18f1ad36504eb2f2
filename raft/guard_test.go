package raft

import (
	"errors"
	"fmt"
	"os"
	"syscall"
	"testing"
)

// TestFullDiskIsNoDamage: nobody may be sent to rebuild a replica because its
// disk was full when it started.
func TestFullDiskIsNoDamage(t *testing.T) {
	full := &os.PathError{Op: "write", Path: "log", Err: syscall.ENOSPC}
	if err := damaged(fmt.Errorf("opening: %w", full)); errors.Is(err, ErrDamaged) || !errors.Is(err, syscall.ENOSPC) {
		t.Errorf("full disk: %v", err)
	}
	if err := damaged(errors.New("checksum does not match")); !errors.Is(err, ErrDamaged) {
		t.Errorf("damage: %v", err)
	}
}
