package blobcache

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"net"
	"os"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/sys/unix"

	"quorate/nodeagent/wire"
)

const stall = 30 * time.Second

func digestOf(content []byte) string {
	sum := sha256.Sum256(content)
	return hex.EncodeToString(sum[:])
}

func open(t *testing.T) *Dir {
	t.Helper()
	d, err := Open(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	return d
}

// part opens the part of a blob of which there is so much already.
func part(t *testing.T, d *Dir, digest string, have []byte) *Part {
	t.Helper()
	p, err := d.Part(digest)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = p.Close() })
	if _, err := p.Write(have); err != nil {
		t.Fatal(err)
	}
	return p
}

// TestPart: what has come is there after a restart, and becomes the whole only where it
// is what its name says.
func TestPart(t *testing.T) {
	t.Parallel()
	d, content := open(t), []byte("a blob in two pieces")
	digest := digestOf(content)
	first := part(t, d, digest, content[:7])
	if first.Right() || first.Have() != 7 || d.Touch(digest) {
		t.Errorf("a beginning of %d bytes counts as the whole", first.Have())
	}
	if err := first.Close(); err != nil {
		t.Fatal(err)
	}
	p := part(t, d, digest, content[7:])
	if !p.Right() || p.Have() != int64(len(content)) {
		t.Fatalf("%d bytes behind the restart, right: %t", p.Have(), p.Right())
	}
	if err := p.Restart(); err != nil || p.Have() != 0 || p.Right() {
		t.Fatalf("%d bytes are kept of what is begun anew: %v", p.Have(), err)
	}
	if _, err := p.Write(content); err != nil {
		t.Fatal(err)
	}
	if err := p.Settle(); err != nil {
		t.Fatal(err)
	}
	if got, err := os.ReadFile(d.Path(digest)); err != nil || !bytes.Equal(got, content) || !d.Touch(digest) {
		t.Errorf("the whole is %q, %v", got, err)
	}
	if file, err := d.Read(digest); err != nil {
		t.Errorf("reading what has become whole: %v", err)
	} else {
		_ = file.Close()
	}
}

// A source answers one request over a pipe with a size, so many bytes, and its end.
type source struct {
	size uint64
	sent []byte
	hang bool // it says nothing behind that
}

// dial returns the near end.
func (s source) dial(t *testing.T) Stream {
	near, far := net.Pipe()
	t.Cleanup(func() { _ = near.Close() })
	go func() {
		defer far.Close()
		m, err := wire.ReadFrom(far, wire.Agent)
		request, ok := m.(*wire.BlobRequest)
		if err != nil || !ok || wire.WriteBlobSize(far, s.size) != nil {
			return
		}
		if _, err := far.Write(s.sent[min(int(request.Offset), len(s.sent)):]); err == nil && s.hang {
			_, _ = far.Read(make([]byte, 1)) // until the near end goes
		}
	}()
	return halfOpen{near}
}

// halfOpen keeps a pipe open for the answer when the request is closed.
type halfOpen struct{ net.Conn }

func (halfOpen) Close() error { return nil }

func fetch(ctx context.Context, p *Part, s Stream) error {
	size, err := p.Ask(ctx, s, stall)
	if err == nil {
		err = p.Take(ctx, s, size, stall, nil)
	}
	if errors.Is(err, ErrWrong) {
		err = errors.Join(err, p.Restart())
	}
	return err
}

// TestFetch: a blob is gone on with where it was, and nothing is kept of what is not
// what its name says.
func TestFetch(t *testing.T) {
	t.Parallel()
	content := bytes.Repeat([]byte("0123456789"), 20_000)
	size := uint64(len(content))
	wrong := bytes.Clone(content)
	wrong[len(wrong)-1]++
	cut := errors.New("any other")
	for name, tt := range map[string]struct {
		have []byte
		from source
		want error // nil, or one of ours, or cut
		left int64 // what is kept
	}{
		"all of it":           {nil, source{size: size, sent: content}, nil, int64(size)},
		"the rest of it":      {content[:70_001], source{size: size, sent: content}, nil, int64(size)},
		"it is all there":     {content, source{size: size, sent: content}, nil, int64(size)},
		"another's content":   {nil, source{size: size, sent: wrong}, ErrWrong, 0},
		"a damaged part":      {wrong[len(wrong)-9:], source{size: size, sent: content}, ErrWrong, 0},
		"longer than it is":   {append(bytes.Clone(content), 1), source{size: size, sent: content}, ErrWrong, 0},
		"cut on its way":      {nil, source{size: size, sent: content[:90_000]}, cut, 90_000},
		"nobody has it":       {content[:5], source{size: wire.BlobUnknown}, ErrUnknown, 5},
		"a size out of range": {content[:5], source{size: 1 << 63}, ErrUnknown, 5},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := part(t, open(t), digestOf(content), tt.have)
			err := fetch(t.Context(), p, tt.from.dial(t))
			ours := errors.Is(err, ErrWrong) || errors.Is(err, ErrUnknown)
			if tt.want == cut && (err == nil || ours) || tt.want != cut && !errors.Is(err, tt.want) {
				t.Errorf("error %v, want %v", err, tt.want)
			}
			if p.Have() != tt.left || p.Right() != (tt.want == nil) {
				t.Errorf("%d bytes are kept, want %d; right: %t", p.Have(), tt.left, p.Right())
			}
		})
	}
}

// TestStall: what says nothing is not waited for for ever, and not at all once nobody
// wants the blob.
func TestStall(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		content := []byte("never all of it")
		p := part(t, open(t), digestOf(content), nil)
		began := time.Now()
		err := fetch(t.Context(), p, source{size: uint64(len(content)), sent: content[:3], hang: true}.dial(t))
		if !errors.Is(err, os.ErrDeadlineExceeded) || time.Since(began) != stall || p.Have() != 3 {
			t.Errorf("after %v with %d bytes: %v", time.Since(began), p.Have(), err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		if err := fetch(ctx, p, source{size: uint64(len(content)), hang: true}.dial(t)); !errors.Is(err, context.Canceled) {
			t.Errorf("nobody wants it: %v", err)
		}
	})
}

// TestDisk: what the own disk says is told apart from what a source says.
func TestDisk(t *testing.T) {
	t.Parallel()
	content := []byte("there is no place for it")
	p := part(t, open(t), digestOf(content), nil)
	asked := 0
	err := p.Reserve(1<<62, func() error { asked++; return nil })
	var disk *DiskError
	if err != nil && (!errors.Is(err, ErrNoRoom) || !errors.As(err, &disk) || !Full(err)) {
		t.Errorf("room for more than there is: %v", err)
	}
	if errors.Is(err, unix.ENOSPC) && asked != 1 {
		t.Errorf("room was made %d times, want once", asked)
	}
	if err := p.Discard(); err != nil {
		t.Error(err)
	}
	if err := p.Close(); err != nil {
		t.Error(err)
	}
	if err := fetch(t.Context(), p, source{size: uint64(len(content)), sent: content}.dial(t)); !errors.As(err, &disk) || Full(err) {
		t.Errorf("writing to what is closed: %v", err)
	}
}

// TestDrop: what was used longest ago goes first, until the rest fits, but for what
// stays.
func TestDrop(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		bytesMax int64
		stays    string
		want     string
	}{
		"all fit":             {30, "", "abc"},
		"the oldest goes":     {29, "", "bc"},
		"the oldest is used":  {29, "a", "ac"},
		"none fits":           {0, "", ""},
		"more than it may be": {-5, "b", "b"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			d := open(t)
			digests := map[string]string{}
			for i, c := range "abc" {
				content := bytes.Repeat([]byte{byte(c)}, 10)
				digest := digestOf(content)
				digests[digest] = string(c)
				p := part(t, d, digest, content)
				name := p.file.Name()
				if c != 'b' { // parts count as well
					if err := p.Settle(); err != nil {
						t.Fatal(err)
					}
					name = d.Path(digest)
				}
				used := time.Unix(1_000_000+int64(i), 0)
				if err := os.Chtimes(name, used, used); err != nil {
					t.Fatal(err)
				}
			}
			all, err := d.List()
			if err != nil {
				t.Fatal(err)
			}
			if err := Drop(all, tt.bytesMax, func(e Entry) bool { return digests[e.Digest] == tt.stays }); err != nil {
				t.Fatal(err)
			}
			if all, err = d.List(); err != nil {
				t.Fatal(err)
			}
			got := ""
			for _, e := range all {
				got += digests[e.Digest]
			}
			if got != tt.want {
				t.Errorf("%q are left, want %q", got, tt.want)
			}
		})
	}
}

// TestFree: the room of the disk is told, and of a directory that is gone an error.
func TestFree(t *testing.T) {
	t.Parallel()
	d := open(t)
	if free, all, err := d.Free(); err != nil || free < 0 || all <= 0 || free > all {
		t.Errorf("%d of %d bytes, %v", free, all, err)
	}
	var disk *DiskError
	if _, _, err := (&Dir{d.path + "/gone"}).Free(); !errors.As(err, &disk) {
		t.Errorf("of no directory: %v", err)
	}
}
