package bundle

import (
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"slices"

	"quorate/eventlog"
)

const (
	formatName = "quorate-bundle"
	// FormatVersion is the version of the format that this program reads and writes.
	FormatVersion = 1

	aboutBytesMax = 64 << 20
	alsoMax       = 1 << 20
	blobsMax      = 1 << 17
	indexMax      = 1 << 53 // JSON's numbers are exact up to here
)

// About is bundle.json: what a bundle is of and what is in it.
type About struct {
	Format  string `json:"format"`
	Version int    `json:"version"`
	Program string `json:"program"` // the version that wrote it
	Cluster string `json:"cluster"` // its id
	Run     uint64 `json:"run"`     // 0 for a part of the log, or all of it
	// From and To are the first and the last of the contiguous records, and Before and
	// Head the chain hashes of the record in front of them and of the last, in hex.
	// Before is zeros where From is 1.
	From   uint64 `json:"from"`
	To     uint64 `json:"to"`
	Before string `json:"before"`
	Head   string `json:"head"`
	// Also are records in front of From that the others stand on, ascending.
	Also []uint64 `json:"also"`
	// Checkpoints are the sizes of those that are in it, ascending.
	Checkpoints []uint64 `json:"checkpoints"`
	// Certified says that the cluster's authority certifies the key.
	Certified bool `json:"certified"`
	// State says that the state in front of From is in it.
	State bool `json:"state"`
	// Blobs are plans, inputs and files, each behind what names it.
	Blobs []Blob `json:"blobs"`
	// Missing are the SHA-256 of blobs that were not there to be had, ascending.
	Missing []string `json:"missing"`
}

// A Blob is content that records, or the plan that they name, refer to.
type Blob struct {
	SHA256 string `json:"sha256"` // lower-case hex
	Bytes  int64  `json:"bytes"`
}

// A NewerError is for a bundle of a format that this program does not know yet.
type NewerError struct{ Version int }

// Error implements error.
func (e *NewerError) Error() string {
	return fmt.Sprintf("the bundle has format version %d, and this program reads up to %d: use a newer quorate", e.Version, FormatVersion)
}

// parseAbout reads bundle.json. The version comes first: of a newer format nothing
// else is known.
func parseAbout(text []byte) (*About, error) {
	var tag struct {
		Format  string `json:"format"`
		Version int    `json:"version"`
	}
	if err := json.Unmarshal(text, &tag); err == nil && tag.Format == formatName && tag.Version > FormatVersion {
		return nil, &NewerError{tag.Version}
	}
	a := &About{}
	if err := parse(text, a); err != nil {
		return nil, err
	}
	return a, a.check()
}

func (a *About) check() error {
	switch {
	case a.Format != formatName || a.Version != FormatVersion:
		return fmt.Errorf("format %.40q version %d, and this program reads %s version %d", a.Format, a.Version, formatName, FormatVersion)
	case !plain(a.Program, 128) || !plain(a.Cluster, 128):
		return errors.New("the program's version, or the cluster's id, is not plain text")
	case a.From < 1 || a.To < a.From || a.To > indexMax:
		return fmt.Errorf("records %d to %d are no range", a.From, a.To)
	case !isHash(a.Before) || !isHash(a.Head) || (a.From == 1) != (a.Before == eventlog.Hash{}.String()):
		return errors.New("the hashes of the chain are no SHA-256")
	case a.Also == nil || a.Checkpoints == nil || a.Blobs == nil || a.Missing == nil:
		return errors.New("a list is missing")
	case len(a.Also) > alsoMax || len(a.Blobs)+len(a.Missing) > blobsMax:
		return errors.New("it lists more than it may")
	case !ascending(a.Also) || len(a.Also) > 0 && (a.Also[0] < 1 || a.Also[len(a.Also)-1] >= a.From):
		return errors.New("the records that others stand on are out of order")
	case !ascending(a.Checkpoints) || len(a.Checkpoints) > 0 && (a.Checkpoints[0] < 1 || a.Checkpoints[len(a.Checkpoints)-1] > indexMax):
		return errors.New("the checkpoints are out of order")
	case a.Certified && len(a.Checkpoints) == 0:
		return errors.New("a key that signed nothing is certified")
	}
	seen := map[string]bool{}
	for _, b := range a.Blobs {
		if !isHash(b.SHA256) || b.Bytes < 0 || seen[b.SHA256] {
			return fmt.Errorf("blob %.80q is none, or there twice", b.SHA256)
		}
		seen[b.SHA256] = true
	}
	for i, digest := range a.Missing {
		if !isHash(digest) || seen[digest] || i > 0 && digest <= a.Missing[i-1] {
			return fmt.Errorf("missing blob %.80q is none, out of order, or there", digest)
		}
	}
	return nil
}

// Records is how many records the bundle has.
func (a *About) Records() uint64 { return uint64(len(a.Also)) + a.To - a.From + 1 }

// signed is the size of the largest checkpoint, or 0.
func (a *About) signed() uint64 {
	if n := len(a.Checkpoints); n > 0 {
		return a.Checkpoints[n-1]
	}
	return 0
}

func ascending(list []uint64) bool {
	return slices.IsSorted(list) && len(slices.Compact(slices.Clone(list))) == len(list)
}

func isHash(text string) bool {
	h, err := hex.DecodeString(text)
	return err == nil && len(h) == len(eventlog.Hash{}) && hex.EncodeToString(h) == text
}

func parseHash(text string) (h eventlog.Hash) {
	b, err := hex.DecodeString(text)
	if err == nil {
		copy(h[:], b)
	}
	return h
}

func emptyRoot() eventlog.Hash {
	return parseHash("e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855")
}
