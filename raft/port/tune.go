package port

import (
	"fmt"
	"net"
	"time"

	"golang.org/x/sys/unix"
)

// probes is how many probes of an idle connection stay unanswered before it is
// taken for dead.
const probes = 3

// tune makes a TCP connection notice a peer that died silently: the kernel ends it
// when data stays unacknowledged for the protocol's time, or probes of an idle
// one do. Other connections, as in tests, are left alone.
func (p *Port) tune(conn net.Conn, protocol string) error {
	tcp, ok := conn.(*net.TCPConn)
	if !ok {
		return nil
	}
	silence := p.limits.BulkSilence
	if protocol == Raft {
		silence = p.limits.RaftSilence
	}
	every := max(silence/probes, time.Second)
	if err := tcp.SetKeepAliveConfig(net.KeepAliveConfig{Enable: true, Idle: every, Interval: every, Count: probes}); err != nil {
		return fmt.Errorf("keep-alive: %w", err)
	}
	raw, err := tcp.SyscallConn()
	if err != nil {
		return fmt.Errorf("user timeout: %w", err)
	}
	var set error
	err = raw.Control(func(fd uintptr) {
		set = unix.SetsockoptInt(int(fd), unix.IPPROTO_TCP, unix.TCP_USER_TIMEOUT, int(silence.Milliseconds()))
	})
	if err == nil {
		err = set
	}
	if err != nil {
		return fmt.Errorf("user timeout: %w", err)
	}
	return nil
}
