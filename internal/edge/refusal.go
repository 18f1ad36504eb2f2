package edge

import (
	"encoding/binary"

	"golang.org/x/net/icmp"
	"golang.org/x/net/ipv4"
)

const (
	portUnreachable = 3  // the code of such a message
	timeToLive      = 64 // of what a link sends itself
)

// refusal is the ICMP message that the port which a packet of IPv4 was sent to cannot be
// reached, as if its host said so. It is empty where the packet is none.
func refusal(packet []byte) []byte {
	udp := udpOf(packet)
	if udp == nil {
		return nil
	}
	quoted := packet[:len(packet)-len(udp)+headerUDPBytes]
	m := icmp.Message{Type: ipv4.ICMPTypeDestinationUnreachable, Code: portUnreachable, Body: &icmp.DstUnreach{Data: quoted}}
	body, err := m.Marshal(nil)
	if err != nil {
		return nil
	}
	answer := make([]byte, headerIPBytes, headerIPBytes+len(body))
	answer[0] = 4<<4 | headerIPBytes/4
	binary.BigEndian.PutUint16(answer[2:], uint16(headerIPBytes+len(body)))
	answer[8], answer[protocolAt] = timeToLive, protocolICMP
	copy(answer[sourceAt:], packet[targetAt:targetAt+4])
	copy(answer[targetAt:], packet[sourceAt:sourceAt+4])
	binary.BigEndian.PutUint16(answer[headerChecksumAt:], checksum(answer))
	return append(answer, body...)
}

// checksum is that of a header of IPv4 whose own is 0.
func checksum(header []byte) uint16 {
	var sum uint32
	for i := 0; i < len(header); i += 2 {
		sum += uint32(binary.BigEndian.Uint16(header[i:]))
	}
	for sum > 0xffff {
		sum = sum>>16 + sum&0xffff
	}
	return ^uint16(sum)
}
