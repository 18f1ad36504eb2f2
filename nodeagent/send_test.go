package nodeagent

import (
	"bytes"
	"context"
	"errors"
	"io"
	"math/rand/v2"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"quorate/nodeagent/journal"
	"quorate/nodeagent/wire"
)

// A thinLine is a stream over a line with a queue before it, and the connection of
// that stream. Like any sender it has more under way the more arrives.
type thinLine struct {
	t              *testing.T
	trip           time.Duration // without a queue
	bytesPerSecond int

	mu       sync.Mutex
	written  []parcel
	free     time.Time // when the queue is empty
	frames   bytes.Buffer
	reader   *wire.Reader
	sizes    []int // of the reports in each frame of them
	reports  []wire.Report
	replied  time.Duration // what the queue was before the reply
	answered bool
}

type parcel struct {
	at, acked time.Time
	bytes     int
}

const openingBytes = 64 << 10 // what a connection sends before anything is acknowledged

func (l *thinLine) Write(p []byte) (int, error) {
	for !l.room(len(p)) {
		<-time.After(time.Millisecond)
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	now := time.Now()
	queue := max(0, l.free.Sub(now))
	l.free = now.Add(queue + time.Duration(len(p))*time.Second/time.Duration(l.bytesPerSecond))
	l.written = append(l.written, parcel{now, l.free.Add(l.trip), len(p)})
	l.frames.Write(p)
	for {
		m, err := l.reader.Read()
		switch m := m.(type) {
		case *wire.Results:
			size := 0
			for i := range m.Reports {
				size += m.Reports[i].Bytes()
			}
			l.sizes = append(l.sizes, size)
			l.reports = append(l.reports, m.Reports...)
		case *wire.Reply:
			l.replied, l.answered = queue, true
		}
		if errors.Is(err, io.EOF) {
			return len(p), nil
		}
		if err != nil {
			l.t.Error(err)
			return 0, err
		}
	}
}

func (l *thinLine) room(n int) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	acked, under := 0, 0
	for _, p := range l.written {
		if p.acked.After(time.Now()) {
			under += p.bytes
		} else {
			acked += p.bytes
		}
	}
	return under == 0 || under+n <= openingBytes+acked
}

func (l *thinLine) signs() signs {
	l.mu.Lock()
	defer l.mu.Unlock()
	s := signs{rtt: l.trip, latest: l.trip, packets: 1}
	for _, p := range l.written {
		if !p.acked.After(time.Now()) {
			s.latest = p.acked.Sub(p.at)
			s.packets++
		}
	}
	return s
}

func (l *thinLine) Read([]byte) (int, error)             { return 0, io.EOF }
func (l *thinLine) Close() error                         { return nil }
func (l *thinLine) SetDeadline(time.Time) error          { return nil }
func (l *thinLine) SetReadDeadline(time.Time) error      { return nil }
func (l *thinLine) SetWriteDeadline(time.Time) error     { return nil }
func (l *thinLine) open(context.Context) (stream, error) { return l, nil }
func (l *thinLine) close(string)                         {}
func (l *thinLine) remote() string                       { return "" }
func (l *thinLine) probe()                               {}

func (l *thinLine) done() <-chan struct{} { return nil }
func (l *thinLine) cause() error          { return nil }

// awaitReports returns when so many reports have gone, and the reply where it is asked for.
func (l *thinLine) awaitReports(n int, reply bool) {
	for limit := time.After(time.Hour); ; {
		l.mu.Lock()
		gone, answered := len(l.reports), l.answered
		l.mu.Unlock()
		if gone >= n && (answered || !reply) {
			return
		}
		select {
		case <-time.After(time.Millisecond):
		case <-limit:
			l.t.Fatalf("%d reports have gone, want %d, and the reply: %t", gone, n, answered)
		}
	}
}

// TestReportsGoInPieces: outputs on a thin line go in pieces that make no long queue,
// so that what is short and comes later is not kept waiting; and every report goes
// once, in its order. On a fast network they go in few frames.
func TestReportsGoInPieces(t *testing.T) {
	const jobs, outputBytes = 100, 20 << 10
	for name, c := range map[string]struct {
		trip           time.Duration
		bytesPerSecond int
		pieceMax       int // of reports
		queueMax       time.Duration
	}{
		"thin": {100 * time.Millisecond, 128 << 10, pieceBytes + outputBytes + 1024, time.Second},
		"fast": {time.Millisecond, 1 << 30, wire.ResultsBytesTarget + outputBytes + 1024, time.Second},
	} {
		t.Run(name, func(t *testing.T) {
			_, j, _ := chained(t, nil)
			outputs(t, j, jobs, outputBytes)
			packOnce(t)
			synctest.Test(t, func(t *testing.T) {
				line := &thinLine{t: t, trip: c.trip, bytesPerSecond: c.bytesPerSecond}
				line.reader = wire.NewReader(&line.frames, wire.Agent)
				s := newSession(&agent{journal: j}, &link{line}, "", line, &wire.Welcome{})
				ctx, cancel := context.WithCancel(t.Context())
				var writing sync.WaitGroup
				writing.Go(func() { _ = s.write(ctx) })
				s.wake()
				line.awaitReports((jobs+1)/2, false)
				s.answer(&wire.Reply{Attempt: 1, Status: wire.StatusRunning})
				s.wake()
				line.awaitReports(jobs+1, true)
				cancel()
				writing.Wait()
				if line.replied > c.queueMax {
					t.Errorf("the reply is behind a queue of %v", line.replied)
				}
				for _, size := range line.sizes {
					if size > c.pieceMax {
						t.Errorf("a piece has %d bytes, at most %d", size, c.pieceMax)
					}
				}
				if name == "fast" && len(line.sizes) > 4 {
					t.Errorf("reports of %d KiB go in %d frames", jobs*outputBytes>>10, len(line.sizes))
				}
				for i := range line.reports {
					if line.reports[i].Seq != uint64(i)+1 {
						t.Fatalf("report %d is number %d", line.reports[i].Seq, i+1)
					}
				}
			})
		})
	}
}

// outputs journals jobs with that much output each, which cannot be packed.
func outputs(t *testing.T, j *journal.Journal, jobs uint32, bytes int) {
	t.Helper()
	random := rand.NewChaCha8([32]byte{})
	err := j.Commit(func(s *journal.State, add func(journal.Record)) error {
		add(&journal.Intended{Attempt: 1, Jobs: jobs, Window: jobs, Seq: s.Seq + 1})
		for i := range jobs {
			head := make([]byte, bytes)
			_, _ = random.Read(head)
			add(&journal.JobStarted{Attempt: 1, Position: i})
			add(&journal.JobEnded{Report: wire.Report{Seq: s.Seq + 1, Attempt: 1, Job: i, Outcome: journal.OutcomeSucceeded,
				Stdout: wire.Output{Head: head, Size: int64(bytes)}}})
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

// packOnce has what all writers share made outside of the bubble that one of them is in.
func packOnce(t *testing.T) {
	t.Helper()
	var packed bytes.Buffer
	w := wire.NewWriter(&packed)
	err := w.Add(&wire.Results{Reports: []wire.Report{{Stdout: wire.Output{Head: make([]byte, 64<<10)}}}})
	w.Pack(wire.Agent)
	err = errors.Join(err, w.Flush())
	if _, e := wire.NewReader(&packed, wire.Agent).Read(); errors.Join(err, e) != nil {
		t.Fatal(err, e)
	}
}
