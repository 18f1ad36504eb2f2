package eventlog

import (
	"syscall"

	bolt "go.etcd.io/bbolt"
)

// residentBytes is how much is read of the mapped file before its pages are given
// back: they count as the process's memory, although the kernel could have them
// any time, and reading a whole log would make it as large as the log.
const residentBytes = 8 << 20

// commitTouches is what a commit maps, at most: around each page that it looks at,
// the kernel maps others that are in the page cache.
const commitTouches = 64 << 10

// read counts what was read of the file, and gives its pages back now and then.
// Whoever reads them again finds them in the page cache.
func (s *Store) read(tx *bolt.Tx, bytes int) {
	if s.unreleased.Add(int64(bytes)) < residentBytes {
		return
	}
	s.unreleased.Store(0)
	// Within a transaction the mapping stays. An advice that is not taken costs
	// memory and nothing else.
	_, _, _ = syscall.Syscall(syscall.SYS_MADVISE, tx.DB().Info().Data, uintptr(tx.Size()), syscall.MADV_DONTNEED)
}
