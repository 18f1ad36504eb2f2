package nodeagent

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"quorate/nodeagent/wire"
)

func TestServerList(t *testing.T) {
	l := newServerList([]string{"a:1", "b:1"}, []string{"c:1", "a:1"})
	for _, row := range []struct{ failed, want string }{
		{"", "a:1 b:1 c:1"}, {"a:1", "b:1 c:1 a:1"}, {"b:1", "a:1 c:1 b:1"}, {"gone:1", "a:1 b:1 c:1"},
	} {
		if got := strings.Join(l.order(row.failed), " "); got != row.want {
			t.Errorf("after %q failed: %s, want %s", row.failed, got, row.want)
		}
	}
	for _, row := range []struct {
		told []string
		news bool
		want string
	}{
		{[]string{"a:1", "b:1"}, false, "a:1 b:1 c:1"},
		{nil, false, "a:1 b:1 c:1"},
		{[]string{"b:1"}, true, "b:1 c:1 a:1"}, // a is known from the command line only
		{[]string{"", "noport", ":1", "b:", strings.Repeat("x", 400) + ":1", "d:1", "d:1"}, true, "d:1 c:1 a:1"},
		{slices.Repeat([]string{"e:1"}, 100), true, "e:1 c:1 a:1"},
	} {
		news := l.learn(row.told)
		got := l.order("")
		slices.Sort(got[1:])
		want := strings.Fields(row.want)
		slices.Sort(want[1:])
		if news != row.news || !slices.Equal(got, want) {
			t.Errorf("told %.3q: news %t, %q, want %q", row.told, news, got, want)
		}
	}
}

// TestTryEach: a dead address costs a moment, one that refuses nothing, and none of
// them delays the one that answers by its own timeout.
func TestTryEach(t *testing.T) {
	type fate struct {
		after time.Duration
		err   error
	}
	bad := errors.New("bad")
	busy := &RefusedError{Code: codeBusy}
	revoked := &RefusedError{Code: "revoked"}
	for _, row := range []struct {
		name  string
		fates []fate
		meets []error // by address, after a connection
		took  time.Duration
		want  error
		met   int
	}{
		{"first answers", []fate{{time.Millisecond, nil}, {0, nil}}, []error{nil, nil}, time.Millisecond, nil, 1},
		{"first is dead", []fate{{10 * time.Second, bad}, {time.Millisecond, nil}}, []error{nil, nil}, staggerEvery + time.Millisecond, nil, 1},
		{"two are dead", []fate{{10 * time.Second, bad}, {10 * time.Second, bad}, {0, nil}}, []error{nil, nil, nil}, 2 * staggerEvery, nil, 1},
		{"first refuses the connection", []fate{{0, bad}, {0, nil}}, []error{nil, nil}, 0, nil, 1},
		{"first is busy", []fate{{0, nil}, {0, nil}}, []error{busy, nil}, 0, nil, 2},
		{"revoked", []fate{{0, nil}, {0, nil}}, []error{revoked, nil}, 0, revoked, 1},
		{"slow is better than none", []fate{{time.Second, nil}, {0, bad}}, []error{nil, nil}, time.Second, nil, 1},
		{"none", []fate{{time.Second, bad}, {0, bad}}, []error{nil, nil}, time.Second, bad, 0},
	} {
		t.Run(row.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				addresses := []string{"0", "1", "2"}[:len(row.fates)]
				begin, met := time.Now(), 0
				err := tryEach(t.Context(), addresses, nil, func(ctx context.Context, address string, _ func()) (*link, error) {
					f := row.fates[address[0]-'0']
					if !sleep(ctx, f.after) {
						return nil, ctx.Err()
					}
					return nil, f.err
				}, func(d dialled) error {
					met++
					return row.meets[d.address[0]-'0']
				})
				if took := time.Since(begin); took != row.took || !errors.Is(err, row.want) || met != row.met {
					t.Errorf("%v after %s, %d met; want %v after %s, %d met", err, took, met, row.want, row.took, row.met)
				}
			})
		})
	}
}

// TestRedial: where nobody answers the addresses are dialled again and again, so that
// one which can be reached again is found at once, and each fails only once.
func TestRedial(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const back = 5300 * time.Millisecond
		begin := time.Now()
		dial := func(ctx context.Context, address string, _ func()) (*link, error) {
			if reachable := address == "b" && time.Since(begin) >= back; !reachable && sleep(ctx, handshakeTimeout) {
				return nil, context.DeadlineExceeded
			}
			return nil, ctx.Err()
		}
		err := tryEach(t.Context(), []string{"a", "b"}, nil, dial, func(dialled) error { return nil })
		if took := time.Since(begin); err != nil || took > back+2*redialEvery {
			t.Errorf("%v after %s, want a connection at most %s after %s", err, took, 2*redialEvery, back)
		}
		begin = time.Now().Add(time.Hour)
		err = tryEach(t.Context(), []string{"a", "b"}, nil, dial, nil)
		if several := new(reachError); !errors.As(err, &several) || len(several.errs) != 2 || !unanswered(err) {
			t.Errorf("%v, want that neither answers", err)
		}
	})
}

// TestUnanswered: only where nobody has said anything the agent asks again so soon.
func TestUnanswered(t *testing.T) {
	late := fmt.Errorf("connection: %w", context.DeadlineExceeded)
	busy := &RefusedError{Code: codeBusy}
	for _, row := range []struct {
		err  error
		want bool
	}{
		{late, true}, {busy, false}, {&reachError{[]error{late, late}}, true}, {&reachError{[]error{late, busy}}, false},
		{fmt.Errorf("send: %w", syscall.ENETUNREACH), true}, {errors.New("bad certificate"), false},
	} {
		if got := unanswered(row.err); got != row.want {
			t.Errorf("%v: %t, want %t", row.err, got, row.want)
		}
		wait := backoff{last: backoffMax}
		if pause := wait.after(row.err); (pause <= redialEvery) != row.want {
			t.Errorf("%v: again in %s", row.err, pause)
		}
	}
}

// TestRevived: a search ends when the orchestrator that was silent answers again.
func TestRevived(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		revived := make(chan struct{})
		time.AfterFunc(time.Second, func() { close(revived) })
		var dials atomic.Int32
		err := tryEach(t.Context(), []string{"a", "b"}, revived, func(ctx context.Context, _ string, _ func()) (*link, error) {
			dials.Add(1)
			<-ctx.Done()
			return nil, ctx.Err()
		}, nil)
		if !errors.Is(err, errRevived) || dials.Load() != 2 {
			t.Errorf("%v after %d dials", err, dials.Load())
		}
	})
}

// TestChallenge: asked for its journal again, the agent shows it as it is then.
func TestChallenge(t *testing.T) {
	t.Parallel()
	o := newOrchestrator(t)
	o.challenges = 2
	startAgent(t, o, t.TempDir())
	o.connected()
	o.mu.Lock()
	defer o.mu.Unlock()
	if len(o.hellos) != 3 {
		t.Errorf("%d hellos, want 3", len(o.hellos))
	}
}

// TestServers: what an agent is told of the cluster's addresses while it is connected
// outlives it, and is where it goes when that orchestrator is gone.
func TestServers(t *testing.T) {
	t.Parallel()
	first := newOrchestrator(t)
	second := first.another()
	dir := t.TempDir()
	a := startAgent(t, first, dir)
	first.send(&wire.Servers{Servers: []string{first.address}}, &wire.Servers{Servers: []string{"", second.address, first.address}})
	eventually(t, "the addresses on disk", func() bool {
		var id identity
		text, err := os.ReadFile(filepath.Join(dir, fileInfo))
		return err == nil && json.Unmarshal(text, &id) == nil && slices.Equal(id.Servers, []string{second.address, first.address})
	})
	first.until("one session", func() bool { return first.sessions == 1 }) // it stayed
	first.listener.Close()
	first.drop()
	second.connected()
	a.stop()
}

// TestMove: an agent that is sent elsewhere is welcomed there before it leaves, and
// where it is not it stays. What it learns of the cluster's addresses outlives it.
func TestMove(t *testing.T) {
	t.Parallel()
	first := newOrchestrator(t)
	second := first.another()
	dir := t.TempDir()
	a := startAgent(t, first, dir)
	first.send(first.dispatch(10, 0, "until test -e gate; do sleep 0.02; done"))
	first.until("the beginning", func() bool { return len(first.reports) == 1 })
	second.update(func() { second.refuse = &wire.Refuse{Code: "busy", Reason: "not now"} })
	first.send(&wire.Move{Servers: []string{second.address}, Reason: "test"})
	second.until("a refused hello", func() bool { return second.sessions == 1 })
	second.update(func() {
		second.refuse, second.reports = nil, slices.Clone(first.reports)
		second.servers = []string{second.address, first.address}
	})
	first.send(&wire.Move{Servers: []string{"", second.address}})
	second.connected()
	first.until("the end of the first connection", func() bool { return first.control == nil })
	_ = os.WriteFile(filepath.Join(dir, "root", "gate"), nil, 0o600)
	if end, jobs := second.ended(10); end.Outcome != 1 || len(jobs) != 1 {
		t.Errorf("%+v %+v", end, jobs)
	}
	if first.sessions != 1 {
		t.Errorf("%d sessions at the first orchestrator: it was left before the second took over", first.sessions)
	}
	a.stop()
	text, err := os.ReadFile(filepath.Join(dir, fileInfo))
	if err != nil {
		t.Fatal(err)
	}
	var id identity
	if err := json.Unmarshal(text, &id); err != nil || !slices.Equal(id.Servers, second.servers) {
		t.Errorf("%s: %v, want servers %q", text, err, second.servers)
	}
}
