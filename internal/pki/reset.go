package pki

import (
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"os"
)

// ResetKeyBytes is the length of a reset key.
const ResetKeyBytes = 32

// ResetKey loads the key of a port's stateless resets from a file, which it makes where
// there is none: by this key a process that was started again tells who had a connection
// to the one before that this is over. Without a path the key is this process's own.
func ResetKey(path string) (key [ResetKeyBytes]byte, err error) {
	if path == "" {
		rand.Read(key[:])
		return key, nil
	}
	data, err := os.ReadFile(path)
	switch {
	case err == nil && len(data) == len(key):
		copy(key[:], data)
		return key, nil
	case err == nil:
		return key, fmt.Errorf("reset key %s: %d bytes, want %d: remove the file to have a new one made", path, len(data), len(key))
	case !errors.Is(err, fs.ErrNotExist):
		return key, fmt.Errorf("reset key: %w", err)
	}
	rand.Read(key[:])
	if err := WriteFile(path, key[:], 0o600); err != nil {
		return key, fmt.Errorf("reset key: %w", err)
	}
	return key, nil
}
