package sink

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/mod/sumdb/note"

	"quorate/internal/checkpoint"
)

// notes returns so many signed checkpoints.
func notes(t *testing.T, n int) (all [][]byte) {
	t.Helper()
	key, _, err := note.GenerateKey(nil, checkpoint.OriginPrefix+"c")
	if err != nil {
		t.Fatal(err)
	}
	signer, err := note.NewSigner(key)
	if err != nil {
		t.Fatal(err)
	}
	for i := range n {
		c := checkpoint.Checkpoint{ClusterID: "c", Size: uint64(i + 1), Time: time.Unix(int64(i), 0)}
		b, err := c.Sign(signer)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, b)
	}
	return all
}

func TestParse(t *testing.T) {
	for text, name := range map[string]string{
		"file:/var/log/checkpoints":     "file:/var/log/checkpoints",
		"https://witness.example/q":     "https://witness.example/q",
		"http://127.0.0.1:80/":          "http://127.0.0.1:80/",
		"https://u:secret@host.example": "https://u:xxxxx@host.example",
	} {
		if s, err := Parse(text); err != nil || s.Name() != name {
			t.Errorf("%s: %+v, %v", text, s, err)
		}
	}
	for _, text := range []string{"", "file:", "file:relative", "file:/dir/", "ftp://host/x", "https://", "/path", "https:host"} {
		if s, err := Parse(text); !errors.Is(err, ErrForm) {
			t.Errorf("%q: %+v, %v", text, s, err)
		}
	}
}

func TestFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "checkpoints")
	s, err := Parse("file:" + path)
	if err != nil {
		t.Fatal(err)
	}
	all := notes(t, 3)
	deliver := func(n int) {
		t.Helper()
		if err := s.Deliver(t.Context(), all[n]); err != nil {
			t.Fatal(err)
		}
	}
	want := func(text ...[]byte) {
		t.Helper()
		b, err := os.ReadFile(path)
		if err != nil || !bytes.Equal(b, bytes.Join(text, nil)) {
			t.Fatalf("the file holds\n%s\nwant\n%s\n%v", b, bytes.Join(text, nil), err)
		}
	}
	end := []byte("\n")
	deliver(0)
	deliver(0) // again, as a new leader does
	deliver(1)
	want(all[0], end, all[1], end)
	for cut := 1; cut < len(all[1]); cut += 7 { // a crash in the middle
		b := append(append(bytes.Clone(all[0]), '\n'), all[1][:cut]...)
		if err := os.WriteFile(path, b, 0o600); err != nil {
			t.Fatal(err)
		}
		deliver(2)
		want(b, end, end, all[2], end)
	}
	gone, err := Parse("file:" + filepath.Join(path, "below", "a", "file"))
	if err != nil {
		t.Fatal(err)
	}
	if err := gone.Deliver(t.Context(), all[0]); err == nil {
		t.Error("delivered into nowhere")
	}
}

func TestHTTP(t *testing.T) {
	all := notes(t, 1)
	var got [][]byte
	status := http.StatusServiceUnavailable
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		b, err := io.ReadAll(r.Body)
		if err != nil || r.Method != http.MethodPost || !strings.HasPrefix(r.Header.Get("Content-Type"), "text/plain") {
			t.Errorf("%s with %q, %v", r.Method, r.Header, err)
		}
		got = append(got, b)
		w.WriteHeader(status)
		fmt.Fprint(w, "not now")
	}))
	defer server.Close()
	s, err := Parse(server.URL + "/checkpoints")
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Deliver(t.Context(), all[0]); err == nil || !strings.Contains(err.Error(), "503") || !strings.Contains(err.Error(), "not now") {
		t.Errorf("refused: %v", err)
	}
	status = http.StatusNoContent
	if err := s.Deliver(t.Context(), all[0]); err != nil || len(got) != 2 || !bytes.Equal(got[1], all[0]) {
		t.Errorf("taken: %q, %v", got, err)
	}
}

// TestMoved has an endpoint that has moved: what it would make a browser fetch there
// is no delivery.
func TestMoved(t *testing.T) {
	for _, status := range []int{http.StatusMovedPermanently, http.StatusFound, http.StatusSeeOther, http.StatusPermanentRedirect} {
		var asked []string
		server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			asked = append(asked, r.Method+" "+r.URL.Path)
			if r.URL.Path == "/old" {
				http.Redirect(w, r, "/new", status)
			}
		}))
		s, err := Parse(server.URL + "/old")
		if err != nil {
			t.Fatal(err)
		}
		err = s.Deliver(t.Context(), notes(t, 1)[0])
		server.Close()
		if err == nil || !strings.Contains(err.Error(), "/new") || len(asked) != 1 {
			t.Errorf("%d: %v, asked %q, want an error that says where it is now", status, err, asked)
		}
	}
}
