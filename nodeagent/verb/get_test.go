package verb

import (
	"bytes"
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"
)

// A shop serves one content, and breaks off where it is told to.
type shop struct {
	mu       sync.Mutex
	content  []byte
	breakAt  int // the next answer ends after so many bytes
	plain    bool
	requests []string // the ranges that were asked for
}

func (s *shop) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.requests = append(s.requests, cmp.Or(r.Header.Get("Range"), "all"))
	if s.breakAt > 0 {
		w.Header().Set("Content-Length", "1000000")
		_, _ = w.Write(s.content[:s.breakAt])
		s.breakAt = 0
		panic(http.ErrAbortHandler)
	}
	if s.plain {
		_, _ = w.Write(s.content)
		return
	}
	http.ServeContent(w, r, "f", time.Time{}, bytes.NewReader(s.content))
}

func (s *shop) asked() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	out := strings.Join(s.requests, ",")
	s.requests = nil
	return out
}

func newShop(t *testing.T) (s *shop, address, digest string) {
	s = &shop{content: bytes.Repeat([]byte("0123456789"), 20_000)}
	server := httptest.NewServer(s)
	t.Cleanup(server.Close)
	sum := sha256.Sum256(s.content)
	return s, server.URL + "/f", hex.EncodeToString(sum[:])
}

func TestGet(t *testing.T) {
	s, address, digest := newShop(t)
	h := newHost(t)
	get := "GET --chmod 0750 --retry-wait 0 --sha256 " + strings.ToUpper(digest) + " " + address + " f"
	h.settles(get)
	if h.read("f") != string(s.content) || h.mode("f") != "0750" || s.asked() != "all" {
		t.Errorf("%d bytes, mode %s", len(h.read("f")), h.mode("f"))
	}
	h.settles("GET --chmod 0700 --sha256 " + digest + " " + address + " f")
	if s.asked() != "" {
		t.Error("a file with the right digest was fetched")
	}
	h.write("f", "damaged")
	h.settles(get)
	if left, _ := filepath.Glob(filepath.Join(h.dir, ".*")); len(left) > 0 {
		t.Errorf("left behind: %v", left)
	}
	h.refuses("GET --sha256 "+digest+" "+address+" no/f", "no directory")
	h.refuses("GET --sha256 "+digest+" file:///etc/passwd g", "is no address of http or https")
	h.refuses("GET --retry 1 --sha256 "+strings.Repeat("0", 64)+" "+address+" g", "another SHA-256: "+digest)
	for _, text := range []string{address + " f", "--sha256 12 a b", "--sha256 " + digest + " a"} {
		if _, err := tryParse(t, "GET", text); err == nil {
			t.Errorf("GET %s: parsed", text)
		}
	}
}

// TestGetGoesOn holds what happens to a fetch that broke off.
func TestGetGoesOn(t *testing.T) {
	s, address, digest := newShop(t)
	h := newHost(t)
	h.write("f", "old")
	get := "GET --retry-wait 0 --sha256 " + digest + " " + address + " f"
	part := ".f.quorate-" + digest[:16]

	s.breakAt = 70_000
	res := h.do("GET --retry 1 --sha256 " + digest + " " + address + " f")
	if res.Outcome != Failed || res.Changed || h.read("f") != "old" || len(h.read(part)) != 70_000 {
		t.Fatalf("%+v: %q, %d bytes in hand", res, h.read("f"), len(h.read(part)))
	}
	s.asked()
	h.settles(get)
	if got := s.asked(); got != "bytes=70000-" || h.read("f") != string(s.content) {
		t.Errorf("asked for %q, %d bytes", got, len(h.read("f")))
	}

	// In hand is something else, or too much, or the server cannot go on.
	for _, tc := range []struct {
		hand  string
		plain bool
	}{{strings.Repeat("x", 1000), false}, {strings.Repeat("x", 300_000), false}, {string(s.content), false}, {string(s.content[:1000]), true}} {
		h.write("f", "old")
		h.write(part, tc.hand)
		s.plain = tc.plain
		if h.settles(get); h.read("f") != string(s.content) || h.read(part) != "absent" {
			t.Errorf("%d bytes in hand: %d bytes", len(tc.hand), len(h.read("f")))
		}
	}
	// A second try goes on within one job.
	h.write("f", "old")
	s.asked()
	s.plain, s.breakAt = false, 50_000
	if h.ok(get); s.asked() != "all,bytes=50000-" {
		t.Error("the second try did not go on")
	}
}

func TestGetByProxy(t *testing.T) {
	s, address, digest := newShop(t)
	h := newHost(t)
	h.ok("ENV http_proxy "+strings.TrimSuffix(address, "/f"), "ENV no_proxy inside.example")
	h.settles("GET --sha256 " + digest + " http://far.example/f f")
	if s.asked() != "all" || h.read("f") != string(s.content) {
		t.Error("the proxy was not asked")
	}
	if err := os.Remove(filepath.Join(h.dir, "f")); err != nil {
		t.Fatal(err)
	}
	h.refuses("GET --retry 1 --timeout 20 --sha256 "+digest+" http://inside.example:1/f f", "inside.example")
}
