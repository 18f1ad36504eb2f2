package engine

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"reflect"
	"strings"
	"testing"
	"testing/iotest"

	"quorate/eventlog"
)

func encoded(t reporter, s *State) []byte {
	t.Helper()
	var b bytes.Buffer
	if err := s.Encode(&b); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// recoded is the state, written and read again.
func recoded(t reporter, s *State) *State {
	t.Helper()
	data := encoded(t, s)
	again, err := DecodeState(bytes.NewReader(data))
	if err != nil {
		t.Fatal(err)
	}
	if again.Hash() != s.Hash() {
		t.Fatal("a state that was written and read has another hash")
	}
	if !bytes.Equal(encoded(t, again), data) {
		t.Fatal("a state that was read is written in another way")
	}
	return again
}

// TestEncodingCoversEverything changes every number, text and flag of a state, one
// at a time, and expects to find it in what is written and read again.
func TestEncodingCoversEverything(t *testing.T) {
	t.Parallel()
	s := full(t)
	if again := recoded(t, s); !reflect.DeepEqual(again, s) {
		t.Error("a state that was read differs in what its hash does not cover")
	}
	want := string(encoded(t, s))
	n := 0
	walk(reflect.ValueOf(s).Elem(), "State", map[string]bool{}, func(path string) {
		if strings.HasSuffix(path, ".Jobs.n") || strings.HasSuffix(path, ".values[].Key") {
			return // derived from what is packed; and a key that does not fit its map's
		}
		n++
		data := encoded(t, s)
		if string(data) == want {
			t.Errorf("the encoding does not cover %s", path)
			return
		}
		c := &codec{from: bytes.NewReader(data[len(encodingMagic)+1:]), buf: make([]byte, 0, codecBufferBytes), texts: map[string]string{}}
		again := NewState()
		if c.state(again); c.err == nil && again.Hash() != s.Hash() {
			t.Errorf("%s is written, and read as something else", path)
		}
		if again, err := DecodeState(bytes.NewReader(data)); err == nil {
			exercise(t, again, everyHostile)
		}
	})
	if n < 150 {
		t.Errorf("only %d values were changed", n)
	}
}

// TestEncodingOfSimulations: at any point of a log the state can be written and
// read, and what follows folds to the same.
func TestEncodingOfSimulations(t *testing.T) {
	t.Parallel()
	for seed := range uint64(12) {
		w := &simWorld{
			lab: newLab(t), rng: rand.New(rand.NewPCG(seed, 7)), seen: map[simMove]bool{}, faults: true,
			effects: map[simJob]int{}, byAttempt: map[[2]uint64]int{}, retried: map[simStep]int{}, ends: map[uint64]eventlog.Outcome{}, failing: 0.1,
		}
		for h := range 3 {
			w.enrol(&simAgent{name: fmt.Sprintf("h%d", h)})
		}
		w.enrol(&simAgent{name: "ctl"}, ControllerLabel)
		w.ok(randomPlan(w.rng, "plan-0", 3))
		w.ok(randomPlan(w.rng, "plan-1", 3))
		w.ok(randomPlan(w.rng, "plan-2", 3))
		for range 600 {
			w.act()
		}
		foldsOn(t, w.recs, 97, fmt.Sprintf("seed %d", seed))
	}
}

// TestEncodingOfStoredLogs is the same for every record of the logs that earlier
// versions wrote.
func TestEncodingOfStoredLogs(t *testing.T) {
	t.Parallel()
	for path, text := range storedLogsText(t) {
		foldsOn(t, readLog(t, text), 1, path)
	}
}

// foldsOn folds records, and from every so manieth on a state that was written and
// read, which must go along with the one that was not.
func foldsOn(t *testing.T, records []eventlog.Record, every int, what string) {
	t.Helper()
	s, again := NewState(), NewState()
	for i, rec := range records {
		void, err := s.Fold(rec)
		if err != nil {
			t.Fatal(err)
		}
		also, err := again.Fold(rec)
		if err != nil || also != void {
			t.Fatalf("%s: record %d is void for %q, and for %q after the state was read: %v", what, rec.Index, void, also, err)
		}
		if i%every == 0 {
			if !reflect.DeepEqual(s.Decide(), again.Decide()) {
				t.Fatalf("%s: at %d another decision is made", what, rec.Index)
			}
			again = recoded(t, s)
		}
	}
	if s.Hash() != again.Hash() {
		t.Fatalf("%s: the log folds to another state behind one that was read", what)
	}
}

// TestDecodeStateRefuses: what is cut off, of a later version or something else is
// refused, and says so.
func TestDecodeStateRefuses(t *testing.T) {
	t.Parallel()
	data := encoded(t, full(t))
	for n := range data {
		if _, err := DecodeState(bytes.NewReader(data[:n])); !errors.Is(err, ErrEncoding) {
			t.Fatalf("%d of %d bytes: %v", n, len(data), err)
		}
	}
	if _, err := DecodeState(bytes.NewReader(append(bytes.Clone(data), 0))); !errors.Is(err, ErrEncoding) {
		t.Errorf("a byte behind the end: %v", err)
	}
	newer := bytes.Clone(data)
	newer[len(encodingMagic)] = encodingVersion + 1
	if _, err := DecodeState(bytes.NewReader(newer)); !errors.Is(err, ErrNewerEncoding) {
		t.Errorf("a newer version: %v", err)
	}
	broken := errors.New("broken")
	if _, err := DecodeState(iotest.ErrReader(broken)); !errors.Is(err, broken) {
		t.Errorf("a reader that fails: %v", err)
	}
	if s, err := DecodeState(iotest.OneByteReader(bytes.NewReader(data))); err != nil || s.Hash() != full(t).Hash() {
		t.Errorf("a byte at a time: %v", err)
	}
	if err := full(t).Encode(brokenWriter{broken}); !errors.Is(err, broken) {
		t.Errorf("a writer that fails: %v", err)
	}
}

type brokenWriter struct{ err error }

func (w brokenWriter) Write([]byte) (int, error) { return 0, w.err }

// FuzzDecodeState: whatever is read either is refused, or is a state on which
// everything works: it is written again as it was read, decided and folded upon.
func FuzzDecodeState(f *testing.F) {
	s := full(&testing.T{})
	f.Add(encoded(f, s), []byte{1, 2, 3})
	f.Add(encoded(f, NewState()), []byte{})
	l := newLab(f)
	l.agent("h0")
	l.run(plan(1, eventlog.PlanTask{Jobs: 2}, eventlog.PlanTask{Requires: sameHost(0)}))
	l.decide()
	f.Add(encoded(f, l.s), []byte{9, 0})
	f.Fuzz(func(t *testing.T, data, then []byte) {
		s, err := DecodeState(bytes.NewReader(data))
		if err != nil {
			if !errors.Is(err, ErrEncoding) && !errors.Is(err, ErrNewerEncoding) {
				t.Fatal(err)
			}
			return
		}
		if recoded(t, s).Hash() != s.Hash() {
			t.Fatal("written and read again it is another state")
		}
		if s.Index < 1<<62 {
			exercise(t, s, then[:min(len(then), 32)])
		}
	})
}

// everyHostile says each of what hostileEvent makes, several times.
var everyHostile = func() (all []byte) {
	for b := range 256 {
		all = append(all, byte(b*37))
	}
	return all
}()

// exercise decides and folds on a state: nothing of it may panic.
func exercise(t *testing.T, s *State, then []byte) {
	t.Helper()
	for _, e := range s.Decide() {
		follow(t, s, e)
	}
	for _, b := range then {
		follow(t, s, hostileEvent(s, b))
	}
	s.Decide()
}

func follow(t *testing.T, s *State, e eventlog.Event) {
	t.Helper()
	if _, err := s.Apply(eventlog.Record{Index: s.Index + 1, Time: s.Time}, e); err != nil {
		t.Fatal(err)
	}
}

// hostileEvent refers to what is there, as far as a byte says.
func hostileEvent(s *State, b byte) eventlog.Event {
	small := uint32(b>>4) % 4
	attempt, agent := uint64(0), uint64(0)
	for _, a := range inOrder(s.Attempts) {
		if attempt = a; a%4 == uint64(small) {
			break
		}
	}
	for _, a := range inOrder(s.Agents) {
		if agent = a; a%4 == uint64(small) {
			break
		}
	}
	switch b % 12 {
	case 0:
		return &eventlog.JobEnded{Attempt: attempt, Job: small, Outcome: eventlog.Succeeded}
	case 1:
		return &eventlog.AttemptEnded{Attempt: attempt, Outcome: eventlog.Outcome(1 + small)}
	case 2:
		return &eventlog.RunCancelled{Run: uint64(small)}
	case 3:
		return &eventlog.TaskSkipped{Run: uint64(small), Task: small}
	case 4:
		return &eventlog.AgentRevoked{Agent: agent}
	case 5:
		return &eventlog.AgentQuarantined{Agent: agent, Reason: "x"}
	case 6:
		return &eventlog.StepResolved{Attempt: attempt, As: "retry"}
	case 7:
		return &eventlog.ValuesPublished{Attempt: attempt, Values: []eventlog.PublishedValue{{Key: "k", Value: []byte{b}}}, Waits: true}
	case 8:
		return &eventlog.StepScheduled{Run: uint64(small), Task: small, Agent: agent, Epoch: s.Epoch}
	case 9:
		return &eventlog.TaskRecorded{Run: uint64(small), Task: small}
	case 10:
		return &eventlog.AttemptBegan{Attempt: attempt}
	}
	return &eventlog.RunEnded{Run: uint64(small), Outcome: eventlog.Failed}
}
