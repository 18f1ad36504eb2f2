package edge

import (
	"container/heap"
	"errors"
	"io"
	"math/rand/v2"
	"sync"
	"time"
)

// A Count is what came through one direction of a link, or did not.
type Count struct {
	// Packets and Bytes are those that were delivered, headers of IP included.
	Packets, Bytes int64
	// Lost are the packets that were not, also by cuts.
	Lost int64
	// Queued are the packets that were sent and not lost at once, and Waited is how long
	// all of them together were in the queue of the link's rate.
	Queued int64
	Waited time.Duration
}

// A Link carries packets between two devices until it is closed. Its methods may be
// called concurrently.
type Link struct {
	devices [2]io.ReadWriteCloser
	both    sync.WaitGroup
	done    chan struct{}
	once    sync.Once

	mu         sync.Mutex
	conditions Conditions
	cut        bool
	counts     [2]Count
	nat        nat
}

// Join starts to carry packets between a and b, which read and write whole packets,
// and which the link closes with itself. What chance does is drawn from the seed.
func Join(a, b io.ReadWriteCloser, c Conditions, seed uint64) *Link {
	l := &Link{devices: [2]io.ReadWriteCloser{a, b}, conditions: c, done: make(chan struct{})}
	for way := range l.devices {
		d := &lane{
			link: l, way: way, wake: make(chan struct{}, 1),
			passage: passage{random: rand.New(rand.NewPCG(seed, uint64(way)))},
		}
		l.both.Go(d.take)
		l.both.Go(d.deliver)
	}
	return l
}

// Set changes the conditions for packets that are sent from now on.
func (l *Link) Set(c Conditions) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.conditions = c
}

// Cut loses every packet in silence, also those on the way, until Mend.
func (l *Link) Cut() { l.setCut(true) }

// Mend ends a cut.
func (l *Link) Mend() { l.setCut(false) }

func (l *Link) setCut(cut bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.cut = cut
}

// Forget has the link's NAT forget all ports, as its restart does.
func (l *Link) Forget() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.nat.forget()
}

// Bindings is how many ports the link's NAT has given out so far.
func (l *Link) Bindings() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.nat.opened
}

// translate takes a packet through the NAT. It reports whether that knows whom it is for.
// It is called under mu.
func (l *Link) translate(way int, data []byte, now time.Time) bool {
	forgets := l.conditions.NATForgets
	switch {
	case forgets == 0:
	case way == 0:
		return l.nat.comes(data, now, forgets)
	default:
		l.nat.leaves(data, now, forgets)
	}
	return true
}

// Counts returns what came through so far: from the first device to the second, and
// the other way.
func (l *Link) Counts() (there, back Count) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.counts[0], l.counts[1]
}

// Close ends the link and closes its devices. What is on the way is lost.
func (l *Link) Close() error {
	var err error
	l.once.Do(func() {
		close(l.done)
		err = errors.Join(l.devices[0].Close(), l.devices[1].Close())
		l.both.Wait()
	})
	return err
}

// A lane is one direction of a link.
type lane struct {
	link    *Link
	way     int // from this device to the other
	passage passage
	wake    chan struct{} // holds one token when another packet is due first

	mu    sync.Mutex
	queue queue
	sent  uint64
}

// take reads packets until the device is closed.
func (d *lane) take() {
	buf := make([]byte, packetBytesMax+64)
	for {
		n, err := d.link.devices[d.way].Read(buf)
		if err != nil {
			return // closed, or gone with its namespace
		}
		d.admit(buf[:n])
	}
}

func (d *lane) admit(data []byte) {
	l := d.link
	now := time.Now()
	l.mu.Lock()
	c := l.conditions
	due, ok := d.passage.admit(c, now, len(data))
	barred := !l.cut && c.bars(data)
	if ok = ok && !l.cut && !barred && l.translate(d.way, data, now); ok {
		l.counts[d.way].Queued++
		l.counts[d.way].Waited += d.passage.waits
	} else {
		l.counts[d.way].Lost++
	}
	l.mu.Unlock()
	if barred && c.Refused {
		// A sender that is down takes no answer.
		_, _ = l.devices[d.way].Write(refusal(data))
	}
	if !ok {
		return
	}
	d.mu.Lock()
	d.sent++
	heap.Push(&d.queue, packet{due: due, number: d.sent, data: append([]byte(nil), data...)})
	first := d.queue[0].number == d.sent
	d.mu.Unlock()
	if first {
		select {
		case d.wake <- struct{}{}:
		default:
		}
	}
}

// deliver writes packets when they are due.
func (d *lane) deliver() {
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		select {
		case <-d.link.done:
			return
		case <-d.wake:
		case <-timer.C:
		}
		for {
			next, wait := d.next(time.Now())
			if next == nil {
				timer.Reset(wait)
				break
			}
			d.hand(next)
		}
	}
}

// next returns the packet that is due, or how long there is none.
func (d *lane) next(now time.Time) ([]byte, time.Duration) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if len(d.queue) == 0 {
		return nil, time.Hour
	}
	if wait := d.queue[0].due.Sub(now); wait > 0 {
		return nil, wait
	}
	return heap.Pop(&d.queue).(packet).data, 0
}

func (d *lane) hand(data []byte) {
	l := d.link
	l.mu.Lock()
	cut := l.cut
	l.mu.Unlock()
	ok := false
	if !cut {
		_, err := l.devices[1-d.way].Write(data) // a device that is down takes none
		ok = err == nil
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	c := &l.counts[d.way]
	if !ok {
		c.Lost++
		return
	}
	c.Packets++
	c.Bytes += int64(len(data))
}

// A packet is on its way.
type packet struct {
	due    time.Time
	number uint64
	data   []byte
}

// A queue is a heap of packets, the one that is due next on top.
type queue []packet

func (q queue) Len() int { return len(q) }

func (q queue) Less(i, j int) bool {
	if q[i].due.Equal(q[j].due) {
		return q[i].number < q[j].number
	}
	return q[i].due.Before(q[j].due)
}

func (q queue) Swap(i, j int) { q[i], q[j] = q[j], q[i] }

// Push adds a packet, for package heap.
func (q *queue) Push(x any) { *q = append(*q, x.(packet)) }

// Pop removes the last packet, for package heap.
func (q *queue) Pop() any {
	old := *q
	p := old[len(old)-1]
	old[len(old)-1] = packet{}
	*q = old[:len(old)-1]
	return p
}
