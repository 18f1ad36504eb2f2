package pki

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
)

// ErrFiles is wrapped where an authority's certificate or key is missing beside the
// other one, or cannot be read. The error tells the path.
var ErrFiles = errors.New("an authority's file is missing or damaged")

// present reports whether a directory has an authority's files. One of the two alone
// is an error: what is there may be the only copy, and is left as it is.
func present(dir, cert, key string) (bool, error) {
	var lost []error
	for _, name := range []string{cert, key} {
		switch _, err := os.Lstat(filepath.Join(dir, name)); {
		case errors.Is(err, fs.ErrNotExist):
			lost = append(lost, fmt.Errorf("%w: %w", ErrFiles, err))
		case err != nil:
			return false, err
		}
	}
	if len(lost) == 1 {
		return false, lost[0]
	}
	return len(lost) == 0, nil
}

func readPair(dir, cert, key string) (certText, keyText []byte, err error) {
	if certText, err = os.ReadFile(filepath.Join(dir, cert)); err == nil {
		keyText, err = os.ReadFile(filepath.Join(dir, key))
	}
	if err != nil {
		err = fmt.Errorf("%w: %w", ErrFiles, err)
	}
	return certText, keyText, err
}

// damagedPair says which files could not be read as an authority, and why.
func damagedPair(dir, cert, key string, why error) error {
	return fmt.Errorf("%w: %s and %s: %w", ErrFiles, filepath.Join(dir, cert), key, why)
}

// DropUnfinished removes from dir the keys whose certificates are not there. It is for
// a directory of which nothing was ever used: there they are the rest of a creation
// that was interrupted, since a certificate is written after its key.
func DropUnfinished(dir string) error {
	for cert, key := range map[string]string{certFile: keyFile, raftCertFile: raftKeyFile} {
		if _, err := os.Lstat(filepath.Join(dir, cert)); !errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err := os.Remove(filepath.Join(dir, key)); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("unfinished authority: %w", err)
		}
	}
	return nil
}
