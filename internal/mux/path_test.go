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
		}); controlled != nil || err != nil || bytes != unsentBytesMax {
			t.Errorf("the kernel takes %d bytes of the %s: %v, %v", bytes, name, controlled, err)
		}
	}
}
