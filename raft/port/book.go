package port

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"sync"
)

const (
	bookBytesMax   = 1 << 20
	addressByteMax = 300 // a host name has at most 253
)

// A Book knows the replicas' addresses, host:port, and keeps them in a file, so
// that a restart needs nobody to find the others. It is safe for concurrent use.
type Book struct {
	path string

	mu        sync.Mutex
	addresses map[uint64]string
}

// A bookFile is the file's content.
type bookFile struct {
	Replicas map[uint64]string `json:"replicas"`
}

// OpenBook reads the book at the path; it is empty where there is no file. An
// empty path keeps it in memory only.
func OpenBook(path string) (*Book, error) {
	b := &Book{path: path, addresses: map[uint64]string{}}
	if path == "" {
		return b, nil
	}
	info, err := os.Stat(path)
	if errors.Is(err, fs.ErrNotExist) {
		return b, nil
	}
	if err != nil {
		return nil, fmt.Errorf("address book: %w", err)
	}
	damaged := func(err error) error {
		return fmt.Errorf("address book %s is damaged (%w): remove it, it is written again from the log", path, err)
	}
	if info.Size() > bookBytesMax {
		return nil, damaged(fmt.Errorf("%d bytes, more than %d", info.Size(), bookBytesMax))
	}
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("address book: %w", err)
	}
	file := bookFile{}
	if err := json.Unmarshal(text, &file); err != nil {
		return nil, damaged(err)
	}
	for replica, address := range file.Replicas {
		if err := checkAddress(replica, address); err != nil {
			return nil, damaged(err)
		}
		b.addresses[replica] = address
	}
	return b, nil
}

// Address is where the replica is.
func (b *Book) Address(replica uint64) (string, bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	address, ok := b.addresses[replica]
	return address, ok
}

// All returns every address by its replica's number.
func (b *Book) All() map[uint64]string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return maps.Clone(b.addresses)
}

// Set puts the addresses in place of what the book has of these replicas, and
// returns when they are durable. Others are kept: who reads the log from its
// beginning meets states in which those that it needs were no members yet. An
// empty address forgets a replica. Setting what is there already does nothing.
func (b *Book) Set(addresses map[uint64]string) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	next := maps.Clone(b.addresses)
	for replica, address := range addresses {
		if address == "" {
			delete(next, replica)
			continue
		}
		if err := checkAddress(replica, address); err != nil {
			return fmt.Errorf("address book: %w", err)
		}
		next[replica] = address
	}
	if maps.Equal(next, b.addresses) {
		return nil
	}
	if b.path != "" {
		if err := write(b.path, next); err != nil {
			return fmt.Errorf("address book: %w", err)
		}
	}
	b.addresses = next
	return nil
}

func checkAddress(replica uint64, address string) error {
	if replica == 0 {
		return errors.New("replica 0")
	}
	if len(address) > addressByteMax {
		return fmt.Errorf("replica %d: address of %d bytes, more than %d", replica, len(address), addressByteMax)
	}
	host, service, err := net.SplitHostPort(address)
	if err != nil {
		return fmt.Errorf("replica %d: %w", replica, err)
	}
	number, err := strconv.ParseUint(service, 10, 16)
	if err != nil || number == 0 || host == "" {
		return fmt.Errorf("replica %d: address %q: want HOST:PORT", replica, address)
	}
	return nil
}

// write replaces the file as a whole and durably, or not at all.
func write(path string, addresses map[uint64]string) error {
	var text bytes.Buffer
	encoder := json.NewEncoder(&text)
	encoder.SetIndent("", "  ")
	if err := encoder.Encode(bookFile{addresses}); err != nil {
		return err
	}
	dir := filepath.Dir(path)
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	f, err := os.CreateTemp(dir, "."+filepath.Base(path)+".*")
	if err != nil {
		return err
	}
	defer os.Remove(f.Name())
	_, err = f.Write(text.Bytes())
	err = errors.Join(err, f.Sync(), f.Close())
	if err == nil {
		err = os.Rename(f.Name(), path)
	}
	if err != nil {
		return err
	}
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}
