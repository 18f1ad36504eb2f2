package mux

import (
	"math"
	"net"
	"sync/atomic"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// Stats are what the line shows.
type Stats struct {
	// Received, Sent and Lost count packets where the kernel counts them, as it does
	// for TCP, also those that bear no bytes of a stream; elsewhere Received counts
	// bytes, and the others are 0. Only whether they change, and how Lost is to Sent,
	// means something.
	Received, Sent, Lost uint64
	// Heard changes when the other side's process has done something, which packets do
	// not show: its kernel acknowledges what nobody reads. While more waits here than
	// may be sent, that some of it is taken counts, too.
	Heard uint64
	// RTT is the round trip, smoothed, and Deviation by how much it differs; Min is the
	// shortest of the last minutes. 0 where they are not known yet.
	RTT, Deviation, Min time.Duration
}

// What the kernel may take beside what is under way, since nothing overtakes it there:
// what the line takes in unsentTime, within the bounds. It is fitted every fitEvery.
const (
	unsentTime     = 10 * time.Millisecond
	unsentBytesMin = 4 << 10
	unsentBytesMax = 64 << 10
	unsentBytes    = 16 << 10 // where the line's rate is not known
	fitEvery       = 100 * time.Millisecond
)

// A path asks the kernel about a TCP connection; the zero value has nobody to ask.
type path struct {
	socket syscall.RawConn
	fitted atomic.Int64 // when, in nanoseconds of the epoch
}

// pathTo also keeps the kernel from taking more than is soon sent, where it is a
// connection over TCP.
func pathTo(raw net.Conn) *path {
	tcp, ok := raw.(*net.TCPConn)
	if !ok {
		return new(path)
	}
	socket, err := tcp.SyscallConn()
	if err != nil {
		return new(path)
	}
	p := &path{socket: socket}
	p.bound(unsentBytes)
	return p
}

// bound sets what the kernel takes; without it there is only more of a queue.
func (p *path) bound(bytes int) {
	_ = p.socket.Control(func(fd uintptr) {
		_ = unix.SetsockoptInt(int(fd), unix.IPPROTO_TCP, unix.TCP_NOTSENT_LOWAT, bytes)
	})
}

// fit has the kernel take what suits the rate at which the line takes it.
func (p *path) fit(now time.Time) {
	last := p.fitted.Load()
	if p.socket == nil || now.UnixNano()-last < int64(fitEvery) || !p.fitted.CompareAndSwap(last, now.UnixNano()) {
		return
	}
	if info := p.info(); info != nil && info.Delivery_rate > 0 {
		p.bound(unsentFor(info.Delivery_rate))
	}
}

// unsentFor is what the kernel may take at a rate in bytes per second.
func unsentFor(rate uint64) int {
	rate = min(rate, unsentBytesMax*uint64(time.Second/unsentTime))
	return max(int(rate*uint64(unsentTime)/uint64(time.Second)), unsentBytesMin)
}

// Stats returns what the line shows now.
func (c *Conn) Stats() Stats {
	heard := c.carrier.bytesIn.Load()
	info := c.path.info()
	if info == nil {
		return Stats{Received: heard, Heard: heard, RTT: c.session.RTT()}
	}
	s := Stats{
		Received: uint64(info.Segs_in), Sent: uint64(info.Segs_out), Lost: uint64(info.Total_retrans), Heard: heard,
		RTT: time.Duration(info.Rtt) * time.Microsecond, Deviation: time.Duration(info.Rttvar) * time.Microsecond,
	}
	if info.Notsent_bytes > 0 {
		s.Heard += info.Bytes_acked
	}
	if info.Min_rtt != math.MaxUint32 {
		s.Min = time.Duration(info.Min_rtt) * time.Microsecond
	}
	return s
}

// RTT is the round trip to the other side, smoothed; 0 where it is not known yet.
func (c *Conn) RTT() time.Duration { return c.Stats().RTT }

// Probe has the other side's process send something, without waiting for it.
func (c *Conn) Probe() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.probing || c.ctx.Err() != nil {
		return
	}
	c.probing = true
	c.tasks.Go(func() { // ends with the connection at the latest
		_, _ = c.session.Ping()
		c.mu.Lock()
		c.probing = false
		c.mu.Unlock()
	})
}

// info returns nil where the kernel does not say.
func (p *path) info() (info *unix.TCPInfo) {
	if p.socket == nil {
		return nil
	}
	var err error
	if controlled := p.socket.Control(func(fd uintptr) {
		info, err = unix.GetsockoptTCPInfo(int(fd), unix.IPPROTO_TCP, unix.TCP_INFO)
	}); controlled != nil || err != nil || info.Segs_in == 0 {
		return nil
	}
	return info
}
