package denial

import (
	"cmp"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"quorate/eventlog"
)

// Bounds of what gets on record.
const (
	// EveryMin is how far apart events on the same are at least, and EveryMax how far
	// they get while it goes on: each pause is twice the one before.
	EveryMin = time.Minute
	EveryMax = time.Hour
	// talliesMax bounds the refusals that are counted apart, each class by itself; what is
	// beyond is counted together, under [Various].
	talliesMax   = 512
	addressesMax = 4
)

// Various stands for an entry or a reason where too many were refused to keep them apart.
const Various = "various"

// A class bounds the events on callers that have something in common: at once there may
// be burst of them, and then one in a pause.
type class struct {
	burst int
	pause time.Duration
}

// classes are the callers who have shown a certificate of the cluster, with its key, and strangers. In
// any hour there are at most burst + 1h/pause events: 120 and 30.
func classes() [2]class {
	return [2]class{{burst: 60, pause: time.Minute}, {burst: 15, pause: 4 * time.Minute}}
}

// A Denial is somebody who was refused.
type Denial struct {
	// Entry is where, such as agents or "api GET /v1/runs": a name of ours, and nothing
	// that the caller can choose.
	Entry string
	// Caller is whose certificate of the cluster was shown; empty for a stranger.
	Caller string
	// Claimed: it was refused before it had shown that it has the certificate's key, so
	// that it may be a stranger who has seen the certificate.
	Claimed bool
	Reason  Reason
	// Address is where it came from, without a port, and Relay the number of the relay
	// that it came through, or 0.
	Address string
	Relay   uint64
}

// claimed stands on record before a caller whose key is not proven. No caller's name
// begins with it.
const claimed = "claimed "

// named is the caller as it goes on record.
func (d Denial) named() string {
	if d.Claimed && d.Caller != "" {
		return claimed + d.Caller
	}
	return d.Caller
}

// classOf tells callers, as they go on record, from strangers: who only claims to be
// somebody takes from no caller the room to be told of.
func classOf(caller string) int {
	if caller == "" || strings.HasPrefix(caller, claimed) {
		return 1
	}
	return 0
}

// A key is what is counted as the same.
type key struct {
	entry, caller string
	reason        Reason
	relay         uint64
}

// A tally is what was refused alike and is not on record.
type tally struct {
	count       uint64
	from, until int64
	addresses   []string
	due         time.Time     // when it may be told
	every       time.Duration // how long nothing more is told when it was
}

// A book is what is kept of a class.
type book struct {
	class
	tallies map[key]*tally
	tokens  int       // events that may be told
	since   time.Time // when the last token was given
}

// A Ledger counts refusals. Its methods may be called concurrently, and none blocks.
type Ledger struct {
	now    func() time.Time
	counts *prometheus.CounterVec
	news   chan struct{}

	mu    sync.Mutex
	books [2]book
}

// NewLedger returns an empty ledger; now is its clock, nil for time.Now.
func NewLedger(now func() time.Time) *Ledger {
	if now == nil {
		now = time.Now
	}
	l := &Ledger{
		now: now, news: make(chan struct{}, 1),
		counts: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "quorate_denials_total", Help: "Requests and connections that were refused, by reason.",
		}, []string{"reason"}),
	}
	for i, c := range classes() {
		l.books[i] = book{class: c, tallies: map[key]*tally{}, tokens: c.burst, since: now()}
	}
	return l
}

// Collector is the metric of all that was refused, also of what is on no record yet.
func (l *Ledger) Collector() prometheus.Collector { return l.counts }

// News yields when something may have become worth telling.
func (l *Ledger) News() <-chan struct{} { return l.news }

// Note counts a refusal.
func (l *Ledger) Note(d Denial) {
	l.counts.WithLabelValues(string(d.Reason)).Inc()
	now := l.now()
	l.mu.Lock()
	caller := d.named()
	t := l.books[classOf(caller)].tally(key{d.Entry, caller, d.Reason, d.Relay}, now)
	t.add(1, now.UnixNano(), now.UnixNano(), d.Address)
	l.mu.Unlock()
	select {
	case l.news <- struct{}{}:
	default:
	}
}

// tally finds where the key is counted.
func (b *book) tally(k key, now time.Time) *tally {
	if b.tallies[k] == nil && len(b.tallies) >= talliesMax {
		caller := ""
		if classOf(k.caller) == 0 {
			caller = Various
		}
		k = key{entry: Various, caller: caller, reason: Various}
	}
	t := b.tallies[k]
	if t == nil {
		t = &tally{due: now}
		b.tallies[k] = t
	}
	return t
}

// forget drops what has not happened again for a while: it is new when it does.
func (b *book) forget(now time.Time) {
	for k, t := range b.tallies {
		if t.count == 0 && now.After(t.due.Add(t.every)) {
			delete(b.tallies, k)
		}
	}
}

func (t *tally) add(count uint64, from, until int64, addresses ...string) {
	if t.count == 0 {
		t.from, t.until, t.addresses = from, until, nil
	}
	t.count += count
	t.from, t.until = min(t.from, from), max(t.until, until)
	for _, a := range addresses {
		if a != "" && len(t.addresses) < addressesMax && !slices.Contains(t.addresses, a) {
			t.addresses = append(t.addresses, a)
		}
	}
}

// Take returns what is to be put on record now, the oldest first, and takes it for told.
func (l *Ledger) Take(replica uint64) (events []*eventlog.AccessDenied) {
	now := l.now()
	l.mu.Lock()
	defer l.mu.Unlock()
	for i := range l.books {
		events = append(events, l.books[i].take(replica, now)...)
	}
	return events
}

func (b *book) take(replica uint64, now time.Time) (events []*eventlog.AccessDenied) {
	b.forget(now)
	b.refill(now)
	var due []key
	for k, t := range b.tallies {
		if t.count > 0 && !now.Before(t.due) {
			due = append(due, k)
		}
	}
	slices.SortFunc(due, func(x, y key) int {
		return cmp.Or(cmp.Compare(b.tallies[x].from, b.tallies[y].from), cmp.Compare(x.entry, y.entry), cmp.Compare(x.caller, y.caller), cmp.Compare(x.reason, y.reason))
	})
	for _, k := range due[:min(len(due), b.tokens)] {
		t := b.tallies[k]
		events = append(events, &eventlog.AccessDenied{
			Replica: replica, Entry: k.entry, Caller: k.caller, Reason: string(k.reason), Addresses: t.addresses, Relay: k.relay,
			Count: t.count, From: t.from, Until: t.until,
		})
		t.count = 0
		t.every = min(max(2*t.every, EveryMin), EveryMax)
		t.due = now.Add(t.every)
	}
	b.tokens -= len(events)
	return events
}

// refill gives the tokens that time has brought since.
func (b *book) refill(now time.Time) {
	if now.Before(b.since) { // the clock was set back
		b.since = now
	}
	n := int(min(now.Sub(b.since)/b.pause, time.Duration(b.burst)))
	if b.tokens += n; b.tokens >= b.burst {
		b.tokens, b.since = b.burst, now
		return
	}
	b.since = b.since.Add(time.Duration(n) * b.pause)
}

// Return gives back what was taken and did not get on record, or perhaps not.
func (l *Ledger) Return(events []*eventlog.AccessDenied) {
	now := l.now()
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, e := range events {
		b := &l.books[classOf(e.Caller)]
		t := b.tally(key{e.Entry, e.Caller, Reason(e.Reason), e.Relay}, now)
		t.add(e.Count, e.From, e.Until, e.Addresses...)
		t.due, t.every = now, t.every/2
		b.tokens = min(b.tokens+1, b.burst)
	}
}

// Waiting reports whether anything is counted that is on no record.
func (l *Ledger) Waiting() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	for i := range l.books {
		for _, t := range l.books[i].tallies {
			if t.count > 0 {
				return true
			}
		}
	}
	return false
}
