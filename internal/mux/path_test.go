package mux

import (
	"testing"

	"golang.org/x/sys/unix"
)

// TestUnsentIsBounded: what is written here and not sent yet is in the way of what is
// written later, so the kernel may not take much of it.
func TestUnsentIsBounded(t *testing.T) {
	client, server := pair(t)
	for name, c := range map[string]*Conn{"client": client, "server": server} {
		var bytes int
		var err error
		if controlled := c.path.socket.Control(func(fd uintptr) {
			bytes, err = unix.GetsockoptInt(int(fd), unix.IPPROTO_TCP, unix.TCP_NOTSENT_LOWAT)
		}); controlled != nil || err != nil || bytes < unsentBytesMin || bytes > unsentBytesMax {
			t.Errorf("the kernel takes %d bytes of the %s: %v, %v", bytes, name, controlled, err)
		}
	}
}

// TestUnsentFor: the slower the line, the less the kernel takes.
func TestUnsentFor(t *testing.T) {
	for rate, want := range map[uint64]int{
		1: unsentBytesMin, 256e3: unsentBytesMin, 2e6: 20e3, 100e6: unsentBytesMax, 1 << 63: unsentBytesMax,
	} {
		if got := unsentFor(rate); got != want {
			t.Errorf("%d bytes at %d a second, want %d", got, rate, want)
		}
	}
}
