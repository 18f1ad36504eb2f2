package edge

import (
	"fmt"
	"os"

	"golang.org/x/sys/unix"
)

// packetBytesMax bounds a packet of a device: Ethernet's payload is 1500 bytes, and a
// TUN device has that MTU.
const packetBytesMax = 1500

// OpenTUN makes a TUN device of a name of at most 15 bytes in the network namespace of
// the calling thread, and returns the end that packets are read from and written to.
// The device is down and goes when it is closed. Only root may; an error that wraps
// [os.ErrNotExist] says that the kernel has no such devices.
func OpenTUN(name string) (*os.File, error) {
	fd, err := unix.Open("/dev/net/tun", unix.O_RDWR|unix.O_CLOEXEC|unix.O_NONBLOCK, 0)
	if err != nil {
		return nil, &os.PathError{Op: "open", Path: "/dev/net/tun", Err: err}
	}
	request, err := unix.NewIfreq(name)
	if err == nil {
		request.SetUint16(unix.IFF_TUN | unix.IFF_NO_PI)
		err = unix.IoctlIfreq(fd, unix.TUNSETIFF, request)
	}
	if err != nil {
		_ = unix.Close(fd)
		return nil, fmt.Errorf("TUN device %s: %w", name, err)
	}
	// Only now: what has no device yet cannot be polled.
	return os.NewFile(uintptr(fd), name), nil
}
