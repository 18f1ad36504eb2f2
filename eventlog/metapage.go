package eventlog

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/fnv"
	"io"
	"os"
)

// Where bbolt keeps its two meta pages, and what is in one behind the page header.
const (
	metaPageHeader   = 16
	metaChecksumAt   = 56 // behind it, the FNV-1a of everything before
	metaBytes        = metaChecksumAt + 8
	metaMagic        = 0xED0CDAED
	metaPageSizeAt   = 8
	metaPageBytesMax = 64 << 10
)

// checkMetaPages refuses a file of which one meta page is damaged. bbolt would go
// back to the other one, which is the state before the last transaction: records
// that were acknowledged would be gone, and the chain would still be whole. A
// crash does not leave this behind: the page's content is within one sector.
func checkMetaPages(path string) (err error) {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	size := int64(os.Getpagesize())
	for page := range int64(2) {
		b := make([]byte, metaBytes)
		if _, err := f.ReadAt(b, page*size+metaPageHeader); err != nil {
			return &CorruptError{Path: path, Reason: fmt.Sprintf("meta page %d: %v", page, err)}
		}
		sum := fnv.New64a()
		sum.Write(b[:metaChecksumAt])
		if binary.NativeEndian.Uint32(b) != metaMagic || binary.NativeEndian.Uint64(b[metaChecksumAt:]) != sum.Sum64() {
			return &CorruptError{Path: path, Reason: fmt.Sprintf("meta page %d: the last transaction may be missing", page)}
		}
		if n := int64(binary.NativeEndian.Uint32(b[metaPageSizeAt:])); n > 0 && n <= metaPageBytesMax {
			size = n // as it was created with
		}
	}
	return nil
}

// IsStore reports whether a file looks like one that a [Store] could be in, whole or
// damaged. Errors are of reading the file.
func IsStore(path string) (is bool, err error) {
	f, err := os.Open(path)
	if err != nil {
		return false, err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	for page := range int64(2) { // bbolt reads either
		var magic [4]byte
		_, err := f.ReadAt(magic[:], page*int64(os.Getpagesize())+metaPageHeader)
		switch {
		case errors.Is(err, io.EOF):
			return false, nil
		case err != nil:
			return false, err
		case binary.NativeEndian.Uint32(magic[:]) == metaMagic:
			return true, nil
		}
	}
	return false, nil
}
