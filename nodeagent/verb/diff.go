package verb

import (
	"bytes"
	"fmt"
	"unicode/utf8"

	"github.com/rogpeppe/go-internal/diff"
)

const (
	// diffSourceBytesMax is how long a file may be of which a diff is made, and
	// diffBytesMax how much of a diff is shown.
	diffSourceBytesMax = 1 << 20
	diffBytesMax       = 64 << 10
)

// unified is the difference between two contents of a file for people, or one
// sentence where either is not text.
func unified(path string, before, after []byte) string {
	for _, side := range [...][]byte{before, after} {
		if len(side) > diffSourceBytesMax || !utf8.Valid(side) || bytes.ContainsRune(side, 0) {
			return fmt.Sprintf("%s: %d bytes become %d bytes\n", path, len(before), len(after))
		}
	}
	out := diff.Diff(path, before, path, after)
	// The first line is the command that would print it.
	if i := bytes.IndexByte(out, '\n'); i >= 0 {
		out = out[i+1:]
	}
	if len(out) > diffBytesMax {
		cut := out[:diffBytesMax]
		return fmt.Sprintf("%s\n%s: %d bytes of the difference are left out\n", bytes.ToValidUTF8(cut, nil), path, len(out)-len(cut))
	}
	return string(out)
}
