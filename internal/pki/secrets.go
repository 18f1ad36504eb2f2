package pki

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
)

// secretBytesMax bounds each file of [Secrets] and [Install].
const secretBytesMax = 16 << 10

// secretFiles are what an orchestrator needs to be one of its cluster, in the
// order in which they are written: a certificate after its key, since it says
// that its authority is complete.
func secretFiles() []string { return []string{raftKeyFile, raftCertFile, keyFile, certFile} }

// Secrets reads both authorities out of dir, certificates and keys by the names of
// their files, for an orchestrator that joins.
func Secrets(dir string) (map[string][]byte, error) {
	files := map[string][]byte{}
	for _, name := range secretFiles() {
		text, err := os.ReadFile(filepath.Join(dir, name))
		if err != nil {
			return nil, fmt.Errorf("authorities: %w", err)
		}
		files[name] = text
	}
	if _, err := checkSecrets(files); err != nil {
		return nil, err
	}
	return files, nil
}

// Install puts into dir what [Secrets] read elsewhere, durably; dir is made where
// it is missing. Installing the same again is no error. Errors wrap
// [ErrOtherCluster] where dir has an authority already and it is another one, and
// [ErrIdentity] where the files are not the authorities of one cluster.
func Install(dir string, files map[string][]byte) error {
	if _, err := checkSecrets(files); err != nil {
		return err
	}
	for _, name := range []string{certFile, raftCertFile} {
		have, err := os.ReadFile(filepath.Join(dir, name))
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("authorities: %w", err)
		}
		if err == nil && !bytes.Equal(have, files[name]) {
			return fmt.Errorf("authorities: %s: %w than that which is to be joined; use an empty data directory",
				filepath.Join(dir, name), ErrOtherCluster)
		}
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return fmt.Errorf("authorities: %w", err)
	}
	for _, name := range secretFiles() {
		mode := fs.FileMode(0o600)
		if filepath.Ext(name) == ".crt" {
			mode = 0o644
		}
		if err := WriteFile(filepath.Join(dir, name), files[name], mode); err != nil {
			return err
		}
	}
	return nil
}

// checkSecrets demands the four files, each an authority's or its key's, of one
// cluster, and returns its id.
func checkSecrets(files map[string][]byte) (clusterID string, err error) {
	names := secretFiles()
	for name, text := range files {
		if !slices.Contains(names, name) {
			return "", fmt.Errorf("authorities: %w: a file %q is none of theirs", ErrIdentity, name)
		}
		if len(text) > secretBytesMax {
			return "", fmt.Errorf("authorities: %w: %s has %d bytes, more than %d", ErrIdentity, name, len(text), secretBytesMax)
		}
	}
	if len(files) != len(names) {
		return "", fmt.Errorf("authorities: %w: %d files, want %q", ErrIdentity, len(files), names)
	}
	ca, err := parse(files[certFile], files[keyFile])
	if err != nil {
		return "", fmt.Errorf("authorities: %w: %w", ErrIdentity, err)
	}
	ra, err := parseRaft(files[raftCertFile], files[raftKeyFile])
	if err != nil {
		return "", fmt.Errorf("authorities: %w: %w", ErrIdentity, err)
	}
	if ca.ClusterID() != ra.ClusterID() {
		return "", fmt.Errorf("authorities: %w: they are of the clusters %s and %s", ErrIdentity, ca.ClusterID(), ra.ClusterID())
	}
	return ca.ClusterID(), nil
}
