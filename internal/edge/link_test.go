package edge

import (
	"encoding/binary"
	"io"
	"math/rand/v2"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"pgregory.net/rapid"
)

// An end is a device in memory: what is put into in is read from it, and what is
// written to it comes out of out.
type end struct {
	in, out chan []byte
	closed  chan struct{}
}

func newEnd() *end {
	return &end{in: make(chan []byte, 10_000), out: make(chan []byte, 10_000), closed: make(chan struct{})}
}

func (e *end) Read(p []byte) (int, error) {
	select {
	case b := <-e.in:
		return copy(p, b), nil
	case <-e.closed:
		return 0, io.EOF
	}
}

func (e *end) Write(p []byte) (int, error) {
	e.out <- slices.Clone(p)
	return len(p), nil
}

func (e *end) Close() error {
	close(e.closed)
	return nil
}

// send puts packets with the numbers from first on onto the link, of so many bytes.
func (e *end) send(first, count, bytes int) {
	for i := range count {
		e.in <- append(binary.BigEndian.AppendUint32(nil, uint32(first+i)), make([]byte, bytes-4)...)
	}
}

// arrived are the numbers of the packets that have come out.
func (e *end) arrived() (numbers []int) {
	for len(e.out) > 0 {
		numbers = append(numbers, int(binary.BigEndian.Uint32(<-e.out)))
	}
	return numbers
}

func upTo(n int) (all []int) {
	for i := range n {
		all = append(all, i)
	}
	return all
}

func TestLinkDelays(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, b := newEnd(), newEnd()
		l := Join(a, b, Conditions{Delay: 150 * time.Millisecond, Jitter: 20 * time.Millisecond}, 1)
		defer l.Close()
		a.send(0, 50, 100)
		time.Sleep(149 * time.Millisecond)
		if early := b.arrived(); len(early) > 0 {
			t.Errorf("%d packets arrived early", len(early))
		}
		time.Sleep(21 * time.Millisecond)
		synctest.Wait()
		if got := b.arrived(); !slices.Equal(got, upTo(50)) {
			t.Errorf("arrived %v, want all in order", got)
		}
		b.send(0, 1, 100)
		time.Sleep(170 * time.Millisecond)
		synctest.Wait()
		if got := a.arrived(); len(got) != 1 {
			t.Errorf("%d packets came back, want 1", len(got))
		}
		there, back := l.Counts()
		if there != (Count{Packets: 50, Bytes: 5000, Queued: 50}) || back != (Count{Packets: 1, Bytes: 100, Queued: 1}) {
			t.Errorf("counted %+v and %+v", there, back)
		}
	})
}

func TestLinkLosesAndReorders(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, b := newEnd(), newEnd()
		l := Join(a, b, Conditions{Delay: time.Millisecond, Loss: 0.1, Reorder: 0.1}, 2)
		defer l.Close()
		for i := range 1000 {
			a.send(i, 1, 64)
			time.Sleep(time.Millisecond)
		}
		time.Sleep(time.Second)
		synctest.Wait()
		got := b.arrived()
		if n := len(got); n < 850 || n > 950 {
			t.Errorf("%d of 1000 packets arrived, want about 900", n)
		}
		late := 0
		for i := 1; i < len(got); i++ {
			if got[i] < got[i-1] {
				late++
			}
		}
		if late < 50 || late > 150 {
			t.Errorf("%d packets were overtaken, want about 90", late)
		}
		if there, _ := l.Counts(); there.Lost+there.Packets != 1000 {
			t.Errorf("counted %+v, want 1000 in all", there)
		}
	})
}

func TestLinkRate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, b := newEnd(), newEnd()
		l := Join(a, b, Conditions{BytesPerSecond: 10_000, QueueMax: time.Second}, 3)
		defer l.Close()
		a.send(0, 200, 100) // two seconds of it
		synctest.Wait()
		time.Sleep(500*time.Millisecond + time.Microsecond)
		synctest.Wait()
		if n := len(b.arrived()); n != 50 {
			t.Errorf("%d packets came through in half a second, want 50", n)
		}
		time.Sleep(10 * time.Second)
		synctest.Wait()
		if n := len(b.arrived()); n != 51 {
			t.Errorf("%d more came through, want 51: the rest finds no room", n)
		}
	})
}

func TestLinkCut(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, b := newEnd(), newEnd()
		l := Join(a, b, Conditions{Delay: 100 * time.Millisecond}, 4)
		defer l.Close()
		a.send(0, 1, 64) // arrives
		time.Sleep(150 * time.Millisecond)
		a.send(1, 1, 64) // is on the way
		synctest.Wait()
		l.Cut()
		a.send(2, 1, 64)
		time.Sleep(time.Second)
		l.Mend()
		l.Set(Conditions{})
		a.send(3, 1, 64)
		time.Sleep(time.Millisecond)
		synctest.Wait()
		if got := b.arrived(); !slices.Equal(got, []int{0, 3}) {
			t.Errorf("arrived %v, want [0 3]", got)
		}
		if there, _ := l.Counts(); there.Lost != 2 {
			t.Errorf("%d packets were lost, want 2", there.Lost)
		}
	})
}

// TestPassage holds what a passage promises under any conditions.
func TestPassage(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		c := Conditions{
			Delay:          time.Duration(rapid.Int64Range(0, int64(time.Second)).Draw(t, "delay")),
			Jitter:         time.Duration(rapid.Int64Range(0, int64(time.Second)).Draw(t, "jitter")),
			BytesPerSecond: rapid.Int64Range(0, 1<<20).Draw(t, "rate"),
			QueueMax:       time.Duration(rapid.Int64Range(0, int64(time.Second)).Draw(t, "queue")),
		}
		p := passage{random: rand.New(rand.NewPCG(rapid.Uint64().Draw(t, "seed"), 0))}
		now := time.Unix(0, 0)
		last := now
		for range 50 {
			now = now.Add(time.Duration(rapid.Int64Range(0, int64(100*time.Millisecond)).Draw(t, "later")))
			due, ok := p.admit(c, now, rapid.IntRange(1, packetBytesMax).Draw(t, "bytes"))
			switch {
			case !ok && (c.BytesPerSecond == 0 || c.QueueMax == 0):
				t.Fatal("a packet was lost on a link that loses none")
			case !ok:
			case due.Before(now.Add(c.Delay)):
				t.Fatalf("due %s before %s", due, now.Add(c.Delay))
			case due.Before(last):
				t.Fatal("a packet overtakes another one")
			default:
				last = due
			}
		}
	})
}

// TestLinkTellsOfItsQueue wants a link to say how long packets wait for its rate.
func TestLinkTellsOfItsQueue(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, b := newEnd(), newEnd()
		l := Join(a, b, Conditions{Delay: time.Second, BytesPerSecond: 1000, QueueMax: 450 * time.Millisecond}, 1)
		defer l.Close()
		a.send(0, 10, 100) // one each 100 ms: those from the sixth on find no room
		synctest.Wait()
		there, back := l.Counts()
		if there.Queued != 5 || there.Waited != (0+1+2+3+4)*100*time.Millisecond || there.Lost != 5 || back.Queued != 0 {
			t.Errorf("%d packets waited %v, %d had no room; back %d", there.Queued, there.Waited, there.Lost, back.Queued)
		}
	})
}

// BenchmarkLink is what a packet costs that a link carries.
func BenchmarkLink(b *testing.B) {
	from, to := newEnd(), newEnd()
	l := Join(from, to, Conditions{}, 1)
	defer l.Close()
	for b.Loop() {
		from.send(0, 1, packetBytesMax)
		<-to.out
	}
	b.SetBytes(packetBytesMax)
}
