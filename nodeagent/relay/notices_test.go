package relay

import (
	"bytes"
	"crypto/tls"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"quorate/internal/pki"
	"quorate/nodeagent/wire"
)

// site is a bench whose relay takes notices.
func site(t *testing.T) (*bench, *Notices) {
	t.Helper()
	n, err := OpenNotices(filepath.Join(t.TempDir(), "notices.db"), slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = n.Close() })
	return newBenchWith(t, n), n
}

// word is a notice of the agent, of which the relay checks the key alone.
func word(agent tls.Certificate, attempt uint64, outcome uint8) wire.Notice {
	return wire.Notice{Key: agent.Leaf.RawSubjectPublicKeyInfo, Run: 1, Task: "t", Host: "h", Attempt: attempt, Outcome: outcome, Signature: []byte("s")}
}

func digestOf(agent tls.Certificate) string { return pki.KeyDigest(agent.Leaf.RawSubjectPublicKeyInfo) }

// hear opens a stream of notices of the agent.
func (b *bench) hear(agent tls.Certificate, of ...wire.Watched) Stream {
	b.t.Helper()
	c, err := b.dial(agent)
	if err != nil {
		b.t.Fatal(err)
	}
	b.t.Cleanup(func() { _ = c.CloseWithError(0, "") })
	s, err := c.OpenStreamSync(b.t.Context())
	if err != nil {
		b.t.Fatal(err)
	}
	b.say(QUICStream{s}, &wire.Watch{Afresh: true, Of: of})
	return QUICStream{s}
}

func (b *bench) say(s Stream, m wire.Message) {
	b.t.Helper()
	_ = s.SetDeadline(time.Now().Add(patience))
	if err := wire.WriteMessage(s, m); err != nil {
		b.t.Fatal(err)
	}
}

// heard reads notices until there are so many, in the form attempt:outcome.
func (b *bench) heard(s Stream, count int) (all []string) {
	b.t.Helper()
	for len(all) < count {
		m, err := wire.ReadFrom(s, wire.Orchestrator)
		if err != nil {
			b.t.Fatalf("%v after %v", err, all)
		}
		if m, ok := m.(*wire.Noticed); ok {
			for _, n := range m.Notices {
				all = append(all, fmt.Sprint(n.Attempt, ":", n.Outcome))
			}
		}
	}
	return all
}

// settled returns when the relay has taken all that was said on the stream before.
func (b *bench) settled(s Stream) {
	b.t.Helper()
	b.say(s, &wire.Ping{})
	if m, err := wire.ReadFrom(s, wire.Orchestrator); err != nil {
		b.t.Fatal(err)
	} else if _, ok := m.(*wire.Pong); !ok {
		b.t.Fatalf("%T answers a ping", m)
	}
}

// TestNoticesArePassedOn: who watches an attempt hears of its end, whichever came first,
// once for each thing that is said of it, and of no other agent's.
func TestNoticesArePassedOn(t *testing.T) {
	t.Parallel()
	b, _ := site(t)
	a, c, w := b.identity(b.ca, b.ca.IssueAgent), b.identity(b.ca, b.ca.IssueAgent), b.identity(b.ca, b.ca.IssueAgent)
	from, other := b.hear(a), b.hear(c)
	b.say(from, &wire.Announce{Notices: []wire.Notice{word(a, 5, 1), word(a, 6, 1)}})
	b.say(other, &wire.Announce{Notices: []wire.Notice{word(c, 7, 1)}})
	b.settled(from)
	b.settled(other)
	to := b.hear(w, wire.Watched{Key: digestOf(a), Attempt: 5}, wire.Watched{Key: digestOf(a), Attempt: 7}, wire.Watched{Key: digestOf(a), Attempt: 8})
	if got := b.heard(to, 1); !slices.Equal(got, []string{"5:1"}) {
		t.Errorf("heard %v", got)
	}
	again := word(a, 5, 1)
	again.Signature = []byte("another one of the same")
	b.say(from, &wire.Announce{Notices: []wire.Notice{again, word(a, 8, 2)}})
	if got := b.heard(to, 1); !slices.Equal(got, []string{"8:2"}) {
		t.Errorf("heard %v", got)
	}
	b.say(from, &wire.Announce{Notices: []wire.Notice{word(a, 5, 6)}})
	if got := b.heard(to, 1); !slices.Equal(got, []string{"5:6"}) {
		t.Errorf("heard %v", got)
	}
	b.say(to, &wire.Watch{Of: []wire.Watched{{Key: digestOf(a), Attempt: 6}}})
	if got := b.heard(to, 1); !slices.Equal(got, []string{"6:1"}) {
		t.Errorf("heard %v", got)
	}
	b.say(to, &wire.Watch{Of: []wire.Watched{{Key: digestOf(a), Attempt: 8}}}) // for something else
	if got := b.heard(to, 1); !slices.Equal(got, []string{"8:2"}) {
		t.Errorf("asked again, heard %v", got)
	}
}

// TestNoticeOfAnother: an agent that speaks for another one is not heard.
func TestNoticeOfAnother(t *testing.T) {
	t.Parallel()
	b, n := site(t)
	a, c := b.identity(b.ca, b.ca.IssueAgent), b.identity(b.ca, b.ca.IssueAgent)
	s := b.hear(c)
	b.say(s, &wire.Announce{Notices: []wire.Notice{word(a, 5, 1)}})
	if m, err := wire.ReadFrom(s, wire.Orchestrator); err == nil {
		t.Errorf("%T answers a notice of another agent", m)
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	if len(n.kept) > 0 {
		t.Errorf("%d notices are kept", len(n.kept))
	}
}

// TestNoticesOfNobody: who has no certificate hears and says nothing.
func TestNoticesOfNobody(t *testing.T) {
	t.Parallel()
	b, _ := site(t)
	s, err := b.enrolling().OpenStreamSync(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	_ = s.SetDeadline(time.Now().Add(patience))
	if err := wire.WriteMessage(s, &wire.Watch{Afresh: true}); err != nil {
		t.Fatal(err)
	}
	if m, err := wire.ReadFrom(s, wire.Orchestrator); err == nil {
		t.Errorf("%T answers somebody without a certificate", m)
	}
}

// TestOneStreamEach: an agent has one stream of notices, the newest.
func TestOneStreamEach(t *testing.T) {
	t.Parallel()
	b, n := site(t)
	a := b.identity(b.ca, b.ca.IssueAgent)
	first := b.hear(a, wire.Watched{Key: digestOf(a), Attempt: 1})
	b.settled(first)
	second := b.hear(a, wire.Watched{Key: digestOf(a), Attempt: 2})
	b.settled(second)
	_ = first.SetReadDeadline(time.Now().Add(patience))
	if m, err := wire.ReadFrom(first, wire.Orchestrator); err == nil {
		t.Errorf("the stream before brings %T", m)
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	if len(n.watchers) != 1 || n.watched != 1 {
		t.Errorf("%d watchers of %d attempts, want one of one", len(n.watchers), n.watched)
	}
}

// keeper is a Notices of a file, and how to go on with it as after a restart.
func keeper(t *testing.T) (open func() *Notices) {
	path := filepath.Join(t.TempDir(), "notices.db")
	return func() *Notices {
		t.Helper()
		n, err := OpenNotices(path, slog.New(slog.DiscardHandler))
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = n.Close() })
		return n
	}
}

func (n *Notices) held() (all []string) {
	n.mu.Lock()
	defer n.mu.Unlock()
	for at, k := range n.kept {
		all = append(all, fmt.Sprintf("%.8s %d:%d", at.key, at.attempt, k.notice.Outcome))
	}
	slices.Sort(all)
	return all
}

// TestNoticesOutliveTheRelay: what was taken is there when the relay is started again.
func TestNoticesOutliveTheRelay(t *testing.T) {
	t.Parallel()
	open := keeper(t)
	n := open()
	key := []byte("key")
	for attempt := range uint64(50) {
		if err := n.announce(key, []wire.Notice{{Key: key, Attempt: attempt + 1, Outcome: 1, Signature: []byte("s")}}); err != nil {
			t.Fatal(err)
		}
	}
	if err := n.announce(key, []wire.Notice{{Key: key, Attempt: 7, Outcome: 6, Signature: []byte("s")}}); err != nil {
		t.Fatal(err)
	}
	want := n.held()
	if err := n.Close(); err != nil {
		t.Fatal(err)
	}
	again := open()
	if got := again.held(); !slices.Equal(got, want) {
		t.Errorf("held %v, want %v", got, want)
	}
	if again.number != n.number {
		t.Errorf("numbers go on from %d, want %d", again.number, n.number)
	}
}

// TestNoticesOfADamagedFile: a file that is none is begun anew.
func TestNoticesOfADamagedFile(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "notices.db")
	if err := os.WriteFile(path, []byte("no database"), 0o600); err != nil {
		t.Fatal(err)
	}
	n, err := OpenNotices(path, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	if err := n.Close(); err != nil {
		t.Error(err)
	}
}

// TestNoticesOfADamagedDatabase: whatever page of the file is damaged or cut off, the
// relay starts, takes notices and keeps them; a sound file is not written to, since the
// disk may be full.
func TestNoticesOfADamagedDatabase(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "notices.db")
	key := []byte("key")
	word := func(attempt uint64) []wire.Notice {
		return []wire.Notice{{Key: key, Task: strings.Repeat("t", 200), Attempt: attempt, Outcome: 1, Signature: []byte("s")}}
	}
	open := func() *Notices {
		t.Helper()
		n, err := OpenNotices(path, slog.New(slog.DiscardHandler))
		if err != nil {
			t.Fatal(err)
		}
		return n
	}
	n := open()
	for attempt := range uint64(100) {
		if err := n.announce(key, word(attempt+1)); err != nil {
			t.Fatal(err)
		}
	}
	if err := n.Close(); err != nil {
		t.Fatal(err)
	}
	sound, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	n = open()
	if now, err := os.ReadFile(path); err != nil || !bytes.Equal(now, sound) {
		t.Errorf("%v: opening has changed a sound file", err)
	}
	if err := n.Close(); err != nil {
		t.Fatal(err)
	}
	page := os.Getpagesize()
	for at := 0; at < len(sound); at += page {
		for name, damaged := range map[string][]byte{
			"zeros": slices.Concat(sound[:at], make([]byte, page), sound[at+page:]),
			"ones":  slices.Concat(sound[:at], bytes.Repeat([]byte{255}, page), sound[at+page:]),
			"a cut": sound[:at+1],
		} {
			if err := os.WriteFile(path, damaged, 0o600); err != nil {
				t.Fatal(err)
			}
			n := open()
			if err := n.announce(key, word(1000)); err != nil {
				t.Fatal(err)
			}
			if err := n.Close(); err != nil {
				t.Errorf("%s at page %d: %v", name, at/page, err)
			}
			n = open()
			if n.kept[place{pki.KeyDigest(key), 1000}] == nil {
				t.Errorf("%s at page %d: what is said then is not kept", name, at/page)
			}
			if err := n.Close(); err != nil {
				t.Error(err)
			}
		}
	}
}

// TestNoticesAreBounded: an agent that says very much loses its own oldest words, and no
// other agent's.
func TestNoticesAreBounded(t *testing.T) {
	t.Parallel()
	n := keeper(t)()
	quiet, loud := []byte("quiet"), []byte("loud")
	say := func(key []byte, attempt uint64) {
		t.Helper()
		if err := n.announce(key, []wire.Notice{{Key: key, Task: string(make([]byte, 1000)), Attempt: attempt, Outcome: 1, Signature: []byte("s")}}); err != nil {
			t.Fatal(err)
		}
	}
	say(quiet, 1)
	last := uint64(2 * noticesAgentBytesMax / 1000)
	for attempt := range last {
		say(loud, attempt+1)
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.kept[place{pki.KeyDigest(quiet), 1}] == nil {
		t.Error("one agent has displaced another's notice")
	}
	if n.kept[place{pki.KeyDigest(loud), last}] == nil || n.kept[place{pki.KeyDigest(loud), 1}] != nil {
		t.Error("it is not the oldest that went")
	}
	sum := 0
	for _, k := range n.kept {
		sum += k.bytes()
	}
	if sum != n.bytes || n.shelves[pki.KeyDigest(loud)].bytes > noticesAgentBytesMax {
		t.Errorf("%d bytes are kept, %d are counted, %d of them of one agent", sum, n.bytes, n.shelves[pki.KeyDigest(loud)].bytes)
	}
}

// TestWatchesAreBounded: an agent watches no more than its share, and gives all of it back.
func TestWatchesAreBounded(t *testing.T) {
	t.Parallel()
	n := keeper(t)()
	w := &watcher{key: "k", end: func() {}, wake: make(chan struct{}, 1), watches: map[place]struct{}{}, queued: map[place]struct{}{}}
	n.join(w)
	key := pki.KeyDigest([]byte("key"))
	for from := uint64(0); from < 2*watchesAgentMax; from += wire.WatchedMax {
		m := &wire.Watch{}
		for i := range uint64(wire.WatchedMax) {
			m.Of = append(m.Of, wire.Watched{Key: key, Attempt: from + i})
		}
		if err := n.watch(w, m); err != nil {
			t.Fatal(err)
		}
	}
	if len(w.watches) != watchesAgentMax || n.watched != watchesAgentMax || len(n.watches) != watchesAgentMax {
		t.Errorf("%d of %d are watched, want %d", len(w.watches), n.watched, watchesAgentMax)
	}
	if err := n.watch(w, &wire.Watch{Afresh: true, Of: []wire.Watched{{Key: key, Attempt: 1}}}); err != nil || n.watched != 1 {
		t.Errorf("%v, %d are watched", err, n.watched)
	}
	if err := n.watch(w, &wire.Watch{Of: make([]wire.Watched, wire.WatchedMax+1)}); err == nil {
		t.Error("too many are watched at once")
	}
	n.leave(w)
	if n.watched != 0 || len(n.watches) != 0 || len(n.watchers) != 0 {
		t.Errorf("%d are watched by nobody", n.watched)
	}
}

// TestUnwrittenNoticesAreBounded: what waits for a disk that takes nothing is no more than
// what the relay keeps of an agent, however much that says.
func TestUnwrittenNoticesAreBounded(t *testing.T) {
	t.Parallel()
	s := &noticeStore{wake: make(chan struct{}, 1), changes: map[uint64][]byte{}} // nobody writes
	n := &Notices{store: s, kept: map[place]*kept{}, shelves: map[string]*shelf{}, watches: map[place]map[*watcher]struct{}{}}
	key := []byte("a key")
	for attempt := uint64(1); attempt <= 20_000; attempt++ {
		w := wire.Notice{Key: key, Run: 1, Task: "t", Host: "h", Attempt: attempt, Outcome: 1, Signature: []byte("s")}
		if err := n.announce(key, []wire.Notice{w}); err != nil {
			t.Fatal(err)
		}
	}
	if len(s.changes) != len(n.kept) || len(n.kept) == 20_000 {
		t.Errorf("%d changes wait to be written, of %d notices", len(s.changes), len(n.kept))
	}
}
