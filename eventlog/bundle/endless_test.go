package bundle

import (
	"context"
	"crypto/x509"
	"encoding/base64"
	"errors"
	"io"
	"io/fs"
	"runtime"
	"strings"
	"testing"

	"quorate/eventlog"
	"quorate/internal/pki"
)

// An endless log makes up its records as they are read, and looks how much memory is
// in use meanwhile.
type endless struct {
	head              eventlog.Head
	live, limit, most uint64
}

// Records implements Source for reading once, from the beginning, but for single
// records.
func (e *endless) Records(_ context.Context, from uint64, limit int) ([]eventlog.Record, error) {
	if limit == 1 {
		return []eventlog.Record{{Index: from, Hash: e.hashOf(from)}}, nil
	}
	var page []eventlog.Record
	for range limit {
		page = append(page, e.next())
	}
	if from%16384 < uint64(limit) {
		e.most = max(e.most, liveHeap())
	}
	return page, nil
}

func (e *endless) next() eventlog.Record {
	if e.head.Index == 0 {
		e.head = eventlog.Head{Index: 1, Hash: eventlog.Hash{1}}
	}
	entry, err := eventlog.NewEntry(int64(e.head.Index), &eventlog.JobEnded{
		Attempt: e.head.Index, Outcome: eventlog.Succeeded, Stdout: eventlog.Output{Head: make([]byte, 200), Size: 200},
	})
	if err != nil {
		panic(err)
	}
	return e.head.Next(entry)
}

// hashOf is the hash of a record in the chain.
func (e *endless) hashOf(index uint64) eventlog.Hash {
	again := &endless{head: eventlog.Head{Index: 1, Hash: eventlog.Hash{1}}}
	for again.head.Index < index {
		again.next()
	}
	return again.head.Hash
}

// Tree implements Source.
func (e *endless) Tree(uint64) (*eventlog.Tree, error) { return nil, errors.New("no tree") }

// Blob implements Source.
func (e *endless) Blob(context.Context, string) (io.ReadCloser, int64, error) {
	return nil, 0, fs.ErrNotExist
}

func liveHeap() uint64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}

// agentOf is the certificate of an agent that has chosen a key to sign logs with.
func agentOf(t *testing.T, l *lab, key string) []byte {
	t.Helper()
	raw, err := base64.StdEncoding.DecodeString(strings.SplitN(key, "+", 3)[2])
	if err != nil {
		t.Fatal(err)
	}
	k, err := parseKey([]byte(key+"\n"), l.ca.ClusterID())
	if err != nil || string(k.public) != string(raw[1:]) {
		t.Fatal(err)
	}
	pub, err := x509.MarshalPKIXPublicKey(k.public)
	if err != nil {
		t.Fatal(err)
	}
	der, err := l.ca.IssueAgent(pub, 7)
	if err != nil {
		t.Fatal(err)
	}
	return pki.EncodeCertificate(der)
}
