package api_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"quorate/engine/api"
)

// An impostor answers requests as a test says, on a unix socket.
type impostor struct {
	address string
	asked   atomic.Int64
	handle  atomic.Pointer[http.HandlerFunc]
	server  *http.Server
	socket  net.Listener
}

func newImpostor(t *testing.T, handle http.HandlerFunc) *impostor {
	t.Helper()
	dir, err := os.MkdirTemp("", "quorate-api-")
	if err != nil {
		t.Fatal(err)
	}
	i := &impostor{address: "unix://" + filepath.Join(dir, "s")}
	i.handle.Store(&handle)
	ln, err := net.Listen("unix", filepath.Join(dir, "s"))
	if err != nil {
		t.Fatal(err)
	}
	i.socket = ln
	i.server = &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		i.asked.Add(1)
		(*i.handle.Load())(w, r)
	})}
	done := make(chan struct{})
	go func() { defer close(done); _ = i.server.Serve(ln) }()
	t.Cleanup(func() { i.server.Close(); <-done; os.RemoveAll(dir) })
	return i
}

// die cuts all connections off, as a killed process does.
func (i *impostor) die() {
	_ = i.socket.Close() // the server does not know of it before it serves
	_ = i.server.Close()
}

func says(status int, body string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(status)
		_, _ = io.WriteString(w, body)
	}
}

// A notebook collects notices.
type notebook struct {
	mu    sync.Mutex
	notes []api.Notice
}

func (n *notebook) note(notice api.Notice) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.notes = append(n.notes, notice)
}

func dialAll(t *testing.T, book *notebook, all ...*impostor) *api.Client {
	t.Helper()
	var addresses []string
	for _, i := range all {
		addresses = append(addresses, i.address)
	}
	c, err := api.Dial(strings.Join(addresses, ","), api.WithNotice(book.note))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}

// What one orchestrator cannot answer another one is asked, and stays the one
// that is asked; what one has refused is refused.
func TestRequestsGoOnElsewhere(t *testing.T) {
	const unavailable = `{"code":"unavailable","message":"no majority"}`
	const conflict = `{"code":"conflict","message":"no"}`
	for name, tc := range map[string]struct {
		first    http.HandlerFunc
		dead     bool
		second   http.HandlerFunc
		wantCode string // of the error, or none
		wantLast int    // who is asked next
	}{
		"the first is dead":             {dead: true, second: says(200, `{"id":7}`), wantLast: 1},
		"the first knows of no leader":  {first: says(503, unavailable), second: says(200, `{"id":7}`), wantLast: 1},
		"the first refuses":             {first: says(409, conflict), second: says(200, `{"id":7}`), wantCode: "conflict"},
		"the second refuses":            {dead: true, second: says(409, conflict), wantCode: "conflict", wantLast: 1},
		"neither knows of a leader":     {first: says(503, unavailable), second: says(503, unavailable), wantCode: "unavailable", wantLast: 1},
		"the first cuts the answer off": {first: func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }, second: says(200, `{"id":7}`), wantLast: 1},
	} {
		t.Run(name, func(t *testing.T) {
			if tc.first == nil {
				tc.first = says(500, "")
			}
			all := []*impostor{newImpostor(t, tc.first), newImpostor(t, tc.second)}
			if tc.dead {
				all[0].die()
			}
			book := &notebook{}
			c := dialAll(t, book, all...)
			run, err := c.CreateRun(t.Context(), api.RunSubmit{RequestID: "one"})
			var answered *api.Error
			switch {
			case tc.wantCode == "" && (err != nil || run.ID != 7):
				t.Fatalf("run %+v, %v", run, err)
			case tc.wantCode != "" && (!errors.As(err, &answered) || answered.Code != tc.wantCode):
				t.Fatalf("error %v, want code %s", err, tc.wantCode)
			}
			if c.Address() != all[tc.wantLast].address {
				t.Errorf("the next request goes to %s", c.Address())
			}
			moved := slices.ContainsFunc(book.notes, func(n api.Notice) bool { return n.Moved == all[1].address })
			if want := tc.wantLast == 1 && tc.wantCode != "unavailable"; moved != want {
				t.Errorf("notices %+v", book.notes)
			}
		})
	}
}

// Where nobody is there, the error names all who were asked.
func TestNobodyThere(t *testing.T) {
	all := []*impostor{newImpostor(t, says(200, "{}")), newImpostor(t, says(200, "{}"))}
	all[0].die()
	all[1].die()
	_, err := dialAll(t, &notebook{}, all...).Runs(t.Context(), 0)
	var absent *api.Unreachable
	if !errors.As(err, &absent) || !strings.Contains(err.Error(), all[0].address) || !strings.Contains(err.Error(), all[1].address) || absent.Hint == "" {
		t.Errorf("error %v", err)
	}
}

// An upload is read again for the second orchestrator.
func TestUploadsGoOnElsewhere(t *testing.T) {
	var got string
	take := func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodPut {
			text, _ := io.ReadAll(r.Body)
			got = string(text)
			w.WriteHeader(http.StatusNoContent)
			return
		}
		_, _ = io.Copy(w, r.Body) // all are missing
	}
	first := newImpostor(t, func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodPut {
			_, _ = io.Copy(io.Discard, r.Body)
			panic(http.ErrAbortHandler)
		}
		take(w, r)
	})
	second := newImpostor(t, take)
	opened := 0
	sent, err := dialAll(t, &notebook{}, first, second).UploadBlobs(t.Context(), []api.Blob{{
		Digest: "d", Size: 7, Open: func() (io.ReadCloser, error) {
			opened++
			return io.NopCloser(strings.NewReader("content")), nil
		},
	}})
	if err != nil || sent != 1 || opened != 2 || got != "content" {
		t.Errorf("sent %d, opened %d times, got %q: %v", sent, opened, got, err)
	}
}

// A watch whose orchestrator dies goes on with another one, and misses and
// repeats nothing, not even where one record led to two events.
func TestWatchGoesOnElsewhere(t *testing.T) {
	events := []string{`{"seq":3,"type":"run-started","run":1}`, `{"seq":4,"type":"step-ended","run":1}`, `{"seq":4,"type":"task-ended","run":1}`, `{"seq":9,"type":"run-ended","run":1}`}
	serve := func(upTo int, die bool) http.HandlerFunc {
		return func(w http.ResponseWriter, r *http.Request) {
			since := r.URL.Query().Get("since")
			for _, e := range events[:upTo] {
				var seq int
				fmt.Sscanf(e, `{"seq":%d`, &seq)
				if fmt.Sprint(seq) > since {
					fmt.Fprintln(w, e)
				}
			}
			_ = http.NewResponseController(w).Flush()
			if die {
				panic(http.ErrAbortHandler)
			}
		}
	}
	first, second := newImpostor(t, serve(2, true)), newImpostor(t, serve(4, false))
	book := &notebook{}
	c := dialAll(t, book, first, second)
	var got []string
	for e, err := range c.Watch(t.Context(), "1", 0) {
		if err != nil {
			t.Fatal(err)
		}
		got = append(got, e.Type)
		if len(got) == 2 {
			first.die()
		}
	}
	if want := "run-started step-ended task-ended run-ended"; strings.Join(got, " ") != want {
		t.Errorf("events %q, want %q", got, want)
	}
}

// So does the log that is followed.
func TestLogGoesOnElsewhere(t *testing.T) {
	line := func(w io.Writer, seq int) { fmt.Fprintf(w, `{"seq":%d,"kind":"k"}`+"\n", seq) }
	first := newImpostor(t, func(w http.ResponseWriter, _ *http.Request) {
		line(w, 1)
		line(w, 2)
		_ = http.NewResponseController(w).Flush()
		panic(http.ErrAbortHandler)
	})
	var since string
	second := newImpostor(t, func(w http.ResponseWriter, r *http.Request) {
		since = r.URL.Query().Get("since")
		line(w, 3)
		line(w, 4)
		_ = http.NewResponseController(w).Flush()
		<-r.Context().Done()
	})
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	var got []uint64
	for e, err := range dialAll(t, &notebook{}, first, second).Log(ctx, api.LogQuery{Follow: true}) {
		if err != nil {
			t.Fatal(err)
		}
		if got = append(got, e.Seq); e.Seq == 2 {
			first.die()
		}
		if e.Seq == 4 {
			break
		}
	}
	if !slices.Equal(got, []uint64{1, 2, 3, 4}) || since != "2" {
		t.Errorf("records %d, the second was asked for those behind %q", got, since)
	}
}

// An answer that may be out of date says so to whoever asked.
func TestStaleAnswersAreNoticed(t *testing.T) {
	book := &notebook{}
	c := dialAll(t, book, newImpostor(t, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Quorate-Stale", "true")
		_, _ = io.WriteString(w, `{"runs":[]}`)
	}))
	if _, err := c.Runs(t.Context(), 0); err != nil {
		t.Fatal(err)
	}
	if len(book.notes) != 1 || !book.notes[0].Stale {
		t.Errorf("notices %+v", book.notes)
	}
}

// An orchestrator that is stopped takes requests and answers none: a question
// goes on to the next one soon, and what is read of its answer is all of it.
func TestStoppedOrchestrator(t *testing.T) {
	if testing.Short() {
		t.Skip("waits for an answer that does not come")
	}
	t.Parallel()
	held := make(chan struct{})
	defer close(held)
	first := newImpostor(t, func(_ http.ResponseWriter, r *http.Request) {
		select {
		case <-held:
		case <-r.Context().Done():
		}
	})
	long := strings.Repeat("x", 1<<20)
	second := newImpostor(t, says(200, `{"runs":[{"id":7,"plan_id":"`+long+`"}]}`))
	runs, err := dialAll(t, &notebook{}, first, second).Runs(t.Context(), 0)
	if err != nil || len(runs) != 1 || len(runs[0].PlanID) != len(long) {
		t.Errorf("%d runs, %v", len(runs), err)
	}
}

func TestAddresses(t *testing.T) {
	for text, want := range map[string]string{
		"":                       "want unix:///path or https://host:port",
		"ftp://x":                "want unix:///path",
		"unix:///a,ftp://x":      "want unix:///path",
		"unix:///a,https://h:1":  "an operator identity is needed",
		"unix:///a,unix:///b":    "",
		"unix:///a, unix:///b,":  "",
		"unix:///with,a,comma/s": "",
	} {
		c, err := api.Dial(text)
		if err == nil {
			c.Close()
		}
		if (err == nil) != (want == "") || err != nil && !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v, want %q", text, err, want)
		}
	}
}

// A command that one orchestrator may have recorded is not said to be without
// effect because another one turned it away.
func TestACommandMayBeRecordedElsewhere(t *testing.T) {
	nothing := says(503, `{"code":"unavailable","message":"nothing was recorded","unrecorded":true}`)
	open := says(503, `{"code":"unavailable","message":"not known whether the event was recorded"}`)
	cut := func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }
	for name, tc := range map[string]struct {
		first, second http.HandlerFunc
		want          string
	}{
		"cut off, then turned away":   {cut, nothing, "not known"},
		"turned away, then cut off":   {nothing, cut, "not known"},
		"not known, then turned away": {open, nothing, "not known"},
		"turned away, then not known": {nothing, open, "not known"},
		"turned away twice":           {nothing, nothing, "nothing was recorded"},
	} {
		t.Run(name, func(t *testing.T) {
			c := dialAll(t, &notebook{}, newImpostor(t, tc.first), newImpostor(t, tc.second))
			_, err := c.CreateRun(t.Context(), api.RunSubmit{PlanID: "p", RequestID: "r"})
			if err == nil || !strings.Contains(err.Error(), tc.want) {
				t.Errorf("the client says %v, want %q", err, tc.want)
			}
		})
	}
	// One that is not there has recorded nothing.
	absent := &impostor{address: "unix://" + filepath.Join(t.TempDir(), "s")}
	c := dialAll(t, &notebook{}, absent, newImpostor(t, nothing))
	if _, err := c.CreateRun(t.Context(), api.RunSubmit{PlanID: "p", RequestID: "r"}); err == nil || err.Error() != "nothing was recorded" {
		t.Errorf("beside one that is down: %v", err)
	}
}
