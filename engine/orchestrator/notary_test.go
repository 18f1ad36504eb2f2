package orchestrator_test

import (
	"context"
	"errors"
	"strings"
	"sync"
	"testing"
	"time"

	"quorate/engine"
	"quorate/engine/orchestrator"
	"quorate/eventlog"
	"quorate/internal/pki"
)

// notarised runs an orchestrator on a log until stop. How it ended is in ended.
func notarised(t *testing.T, log engine.Log, ca *pki.CA, sinks ...orchestrator.Sink) (o *orchestrator.Orchestrator, stop func(), ended <-chan error) {
	t.Helper()
	blobs, err := eventlog.OpenBlobs(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	if o, err = orchestrator.New(orchestrator.Config{Log: log, Blobs: blobs, CA: ca, Replica: 1, Version: "test", Sinks: sinks}); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	end, over := make(chan error, 1), make(chan struct{})
	go func() {
		defer close(over)
		end <- o.Run(ctx)
	}()
	stop = func() {
		cancel()
		<-over
	}
	t.Cleanup(stop)
	return o, stop, end
}

func newCA(t *testing.T) *pki.CA {
	t.Helper()
	ca, err := pki.New()
	if err != nil {
		t.Fatal(err)
	}
	return ca
}

// A checkpoint covers everything before the question, is the newest afterwards, and
// asking again adds nothing to the log: a cluster with nothing to do would grow.
func TestSignCheckpoint(t *testing.T) {
	t.Parallel()
	log := eventlog.NewMemory()
	o, _, _ := notarised(t, log, newCA(t))
	until(t, o, "a leader", func(s *engine.State) bool { return s.Epoch != 0 })
	if _, _, err := o.CreateToken(t.Context(), orchestrator.TokenRequest{Name: "n"}); err != nil {
		t.Fatal(err)
	}
	before, _ := log.Head()
	c, err := o.SignCheckpoint(t.Context())
	if err != nil || c.Size < before {
		t.Fatalf("signed %+v at %d, %v", c, before, err)
	}
	tree, err := log.Tree(c.Size)
	if err != nil {
		t.Fatal(err)
	}
	if root, err := tree.Root(); err != nil || root != c.Root || c.ClusterID != o.CA().ClusterID() {
		t.Errorf("signed %+v, and the root is %v, %v", c, root, err)
	}
	after, _ := log.Head()
	for range 3 {
		if again, err := o.SignCheckpoint(t.Context()); err != nil || again.Size != c.Size {
			t.Errorf("again: %+v, %v", again, err)
		}
	}
	if head, _ := log.Head(); head != after {
		t.Errorf("the log grew from %d to %d by nothing but questions", after, head)
	}
}

// A log that was changed below a checkpoint, its chain computed anew, ends its
// orchestrator.
func TestChangedLogHalts(t *testing.T) {
	t.Parallel()
	ca := newCA(t)
	log := eventlog.NewMemory()
	o, stop, ended := notarised(t, log, ca)
	until(t, o, "a leader", func(s *engine.State) bool { return s.Epoch != 0 })
	if _, err := o.SignCheckpoint(t.Context()); err != nil {
		t.Fatal(err)
	}
	stop()
	if err := <-ended; err != nil {
		t.Fatal(err)
	}
	records, err := log.Read(t.Context(), 1, 100)
	if err != nil {
		t.Fatal(err)
	}
	copied := func(earlier int64) *eventlog.Memory {
		out := eventlog.NewMemory()
		for i, r := range records {
			if i == 0 {
				r.Time -= earlier // what nothing else would notice
			}
			if _, err := out.Append(t.Context(), []eventlog.Entry{{Time: r.Time, Kind: r.Kind, Data: r.Data}}); err != nil {
				t.Fatal(err)
			}
		}
		return out
	}
	o, _, _ = notarised(t, copied(0), ca)
	if _, err := o.SignCheckpoint(t.Context()); err != nil {
		t.Errorf("the log as it was: %v", err)
	}
	_, _, ended = notarised(t, copied(1), ca)
	select {
	case err := <-ended:
		if !errors.Is(err, orchestrator.ErrDiffers) || !strings.Contains(err.Error(), "not those that the cluster signed") {
			t.Errorf("the changed log: %v", err)
		}
	case <-time.After(patience):
		t.Error("the orchestrator goes on with a changed log")
	}
}

// A frailSink refuses until it is mended.
type frailSink struct {
	mu    sync.Mutex
	err   error
	got   []string
	asked chan struct{}
}

func (s *frailSink) Name() string { return "frail" }

func (s *frailSink) Deliver(_ context.Context, note []byte) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.err == nil {
		s.got = append(s.got, string(note))
	}
	select {
	case s.asked <- struct{}{}:
	default:
	}
	return s.err
}

// A sink that is away delays nothing and raises an alarm; when it is back it gets the
// newest checkpoint, and the alarm is over.
func TestSinkOutage(t *testing.T) {
	t.Parallel()
	s := &frailSink{err: errors.New("no route to the sink"), asked: make(chan struct{}, 1)}
	o, _, _ := notarised(t, eventlog.NewMemory(), newCA(t), s)
	until(t, o, "a leader", func(s *engine.State) bool { return s.Epoch != 0 })
	sign := func() *orchestrator.Signed {
		t.Helper()
		if _, _, err := o.CreateToken(t.Context(), orchestrator.TokenRequest{Name: "n"}); err != nil {
			t.Fatal(err)
		}
		c, err := o.SignCheckpoint(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		return c
	}
	sign()
	<-s.asked
	last := sign() // while the sink is away
	<-s.asked
	if alarms := o.Alarms(); len(alarms) != 1 || !strings.Contains(alarms[0].String(), "no route to the sink") {
		t.Errorf("alarms %v", alarms)
	}
	s.mu.Lock()
	s.err = nil
	s.mu.Unlock()
	for delivered := false; !delivered; {
		<-s.asked
		s.mu.Lock()
		delivered = len(s.got) > 0
		if delivered && s.got[len(s.got)-1] != string(last.Note) {
			t.Errorf("got\n%s\nwant\n%s", s.got[len(s.got)-1], last.Note)
		}
		s.mu.Unlock()
	}
	// The alarm is over once the next one is taken too.
	sign()
	for taken := 1; taken < 2; {
		<-s.asked
		s.mu.Lock()
		taken = len(s.got)
		s.mu.Unlock()
	}
	for _, a := range o.Alarms() {
		if strings.Contains(a.Text, "no route") {
			t.Errorf("alarm %v", a)
		}
	}
}
