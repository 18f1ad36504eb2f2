package mux

import (
	"net"
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
	// RTT is the round trip, smoothed, and Deviation by how much it differs; 0 where it
	// is not known yet.
	RTT, Deviation time.Duration
}

// A path asks the kernel about a TCP connection; the zero value has nobody to ask.
type path struct{ socket syscall.RawConn }

// pathTo also keeps the kernel from taking more than is soon sent, where it is a
// connection over TCP.
func pathTo(raw net.Conn) path {
	tcp, ok := raw.(*net.TCPConn)
	if !ok {
		return path{}
	}
	socket, err := tcp.SyscallConn()
	if err != nil {
		return path{}
	}
	// Without it there is only more of a queue.
	_ = socket.Control(func(fd uintptr) {
		_ = unix.SetsockoptInt(int(fd), unix.IPPROTO_TCP, unix.TCP_NOTSENT_LOWAT, unsentBytesMax)
	})
	return path{socket}
}

// Stats returns what the line shows now.
func (c *Conn) Stats() Stats {
	if s, ok := c.path.stats(); ok {
		return s
	}
	return Stats{Received: c.carrier.bytesIn.Load(), RTT: c.session.RTT()}
}

// RTT is the round trip to the other side, smoothed; 0 where it is not known yet.
func (c *Conn) RTT() time.Duration { return c.Stats().RTT }

// stats reports false where the kernel does not say.
func (p path) stats() (Stats, bool) {
	if p.socket == nil {
		return Stats{}, false
	}
	var info *unix.TCPInfo
	var err error
	if controlled := p.socket.Control(func(fd uintptr) {
		info, err = unix.GetsockoptTCPInfo(int(fd), unix.IPPROTO_TCP, unix.TCP_INFO)
	}); controlled != nil || err != nil || info.Segs_in == 0 {
		return Stats{}, false
	}
	return Stats{
		Received: uint64(info.Segs_in), Sent: uint64(info.Segs_out), Lost: uint64(info.Total_retrans),
		RTT: time.Duration(info.Rtt) * time.Microsecond, Deviation: time.Duration(info.Rttvar) * time.Microsecond,
	}, true
}
