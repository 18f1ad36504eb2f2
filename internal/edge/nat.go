package edge

import (
	"bytes"
	"encoding/binary"
	"time"
)

// natFirst is the first port that a NAT gives out, of natPorts in turn: so many are never
// in use at a time.
const (
	natFirst = 20_000
	natPorts = 1 << 15
)

// A nat gives each port of UDP behind it another one to the outside. Who sends nothing
// for as long as Conditions.NATForgets gets a new one with the next packet, and what comes
// to the old one is lost. Addresses stay as they are.
type nat struct {
	next   uint16
	out    map[source]*binding
	in     map[uint16]*binding
	opened int
}

// A source is an address and a port, as they are in packets.
type source [6]byte

// A binding is a port to the outside, for somebody.
type binding struct {
	of      source
	outside uint16
	used    time.Time
}

// udpOf returns the header of UDP of a packet of IPv4, or nothing where there is none.
func udpOf(packet []byte) []byte {
	if len(packet) < headerIPBytes || packet[0]>>4 != 4 || packet[protocolAt] != protocolUDP {
		return nil
	}
	header := int(packet[0]&0xf) * 4
	if header < headerIPBytes || len(packet) < header+headerUDPBytes {
		return nil
	}
	return packet[header:]
}

// leaves changes a packet that goes to the outside.
func (n *nat) leaves(packet []byte, now time.Time, forgets time.Duration) {
	udp := udpOf(packet)
	if udp == nil {
		return
	}
	var from source
	copy(from[:4], packet[sourceAt:])
	copy(from[4:], udp[sourcePortAt:])
	b := n.out[from]
	if b == nil || now.Sub(b.used) >= forgets {
		b = n.open(from)
	}
	b.used = now
	readdress(udp, sourcePortAt, b.outside)
}

func (n *nat) open(from source) *binding {
	if n.out == nil {
		n.out, n.in = map[source]*binding{}, map[uint16]*binding{}
	}
	if old := n.out[from]; old != nil {
		delete(n.in, old.outside)
	}
	b := &binding{of: from, outside: natFirst + n.next%natPorts}
	n.next++
	n.opened++
	n.out[from], n.in[b.outside] = b, b
	return b
}

// comes changes a packet from the outside, and reports whether anybody is known who
// it is for.
func (n *nat) comes(packet []byte, now time.Time, forgets time.Duration) bool {
	udp := udpOf(packet)
	if udp == nil {
		return true
	}
	b := n.in[binary.BigEndian.Uint16(udp[targetPortAt:])]
	if b == nil || now.Sub(b.used) >= forgets || !bytes.Equal(packet[targetAt:targetAt+4], b.of[:4]) {
		return false
	}
	readdress(udp, targetPortAt, binary.BigEndian.Uint16(b.of[4:]))
	return true
}

// readdress changes a port, and leaves the packet without a checksum, as it may be in
// UDP over IPv4.
func readdress(udp []byte, at int, port uint16) {
	binary.BigEndian.PutUint16(udp[at:], port)
	binary.BigEndian.PutUint16(udp[checksumAt:], 0)
}

// forget drops all bindings, as a restart does.
func (n *nat) forget() { n.out, n.in = nil, nil }
