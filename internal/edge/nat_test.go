package edge

import (
	"encoding/binary"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/net/icmp"
	"golang.org/x/net/ipv4"
)

// datagram is a packet of UDP from a host to another one, each named by a number.
func datagram(from, to byte, sourcePort, targetPort uint16) []byte {
	p := make([]byte, headerIPBytes+headerUDPBytes+4)
	p[0], p[protocolAt] = 0x45, protocolUDP
	copy(p[sourceAt:], []byte{10, 0, 0, from})
	copy(p[targetAt:], []byte{10, 0, 0, to})
	udp := p[headerIPBytes:]
	binary.BigEndian.PutUint16(udp[sourcePortAt:], sourcePort)
	binary.BigEndian.PutUint16(udp[targetPortAt:], targetPort)
	binary.BigEndian.PutUint16(udp[checksumAt:], 0xbeef)
	return p
}

// ports returns what is in the packets that have come out of a device, source and target
// of each.
func (e *end) ports() (all [][2]uint16) {
	for len(e.out) > 0 {
		udp := (<-e.out)[headerIPBytes:]
		all = append(all, [2]uint16{binary.BigEndian.Uint16(udp[sourcePortAt:]), binary.BigEndian.Uint16(udp[targetPortAt:])})
	}
	return all
}

// TestNAT: who sends at times keeps its port, and who does not gets another one, as behind
// a restart; what comes to a port that is forgotten is lost.
func TestNAT(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		outside, inside := newEnd(), newEnd()
		l := Join(outside, inside, Conditions{NATForgets: 30 * time.Second}, 1)
		defer l.Close()
		says := func(after time.Duration, port uint16) {
			t.Helper()
			time.Sleep(after)
			inside.in <- datagram(2, 1, 5000, 7440)
			synctest.Wait()
			if got := outside.ports(); !slices.Equal(got, [][2]uint16{{port, 7440}}) {
				t.Fatalf("%s later the packet has the ports %v, want to be from %d", after, got, port)
			}
		}
		hears := func(after time.Duration, port uint16, want ...[2]uint16) {
			t.Helper()
			time.Sleep(after)
			outside.in <- datagram(1, 2, 7440, port)
			synctest.Wait()
			if got := inside.ports(); !slices.Equal(got, want) {
				t.Fatalf("what was sent to %d %s later has the ports %v, want %v", port, after, got, want)
			}
		}
		says(0, natFirst)
		says(29*time.Second, natFirst)
		hears(29*time.Second, natFirst, [2]uint16{7440, 5000})
		hears(time.Second, natFirst) // what comes from the outside keeps no port
		says(0, natFirst+1)
		hears(0, natFirst)
		hears(0, natFirst+1, [2]uint16{7440, 5000})
		l.Forget()
		hears(0, natFirst+1)
		says(0, natFirst+2)
		if n := l.Bindings(); n != 3 {
			t.Errorf("%d ports were given out, want 3", n)
		}
		inside.in <- []byte{0x45} // no packet at all
		synctest.Wait()
		if n := len(outside.out); n != 1 {
			t.Errorf("%d packets came through that are none of UDP, want 1", n)
		}
	})
}

// TestRefusal: who sends over UDP where that is blocked is told so, and nobody else.
func TestRefusal(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		outside, inside := newEnd(), newEnd()
		l := Join(outside, inside, Conditions{NoUDP: true}, 1)
		defer l.Close()
		sent := datagram(2, 1, 5000, 7440)
		inside.in <- sent
		synctest.Wait()
		if len(inside.out)+len(outside.out) != 0 {
			t.Error("what is dropped was heard of")
		}
		l.Set(Conditions{NoUDP: true, Refused: true})
		inside.in <- sent
		inside.in <- append([]byte{0x45, 0, 0, 21, 0, 0, 0, 0, 64, 6}, make([]byte, 11)...) // TCP
		synctest.Wait()
		if len(inside.out) != 1 || len(outside.out) != 1 {
			t.Fatalf("%d answers, and %d packets came through, want one of each", len(inside.out), len(outside.out))
		}
		answer := <-inside.out
		header, err := ipv4.ParseHeader(answer)
		if err != nil || header.Protocol != protocolICMP || header.TotalLen != len(answer) || header.Src.String() != "10.0.0.1" || header.Dst.String() != "10.0.0.2" {
			t.Fatalf("the header is %v, %v", header, err)
		}
		if sum := checksum(answer[:headerIPBytes]); sum != 0 {
			t.Errorf("the header's checksum is off by %#x", sum)
		}
		m, err := icmp.ParseMessage(protocolICMP, answer[headerIPBytes:])
		if err != nil {
			t.Fatal(err)
		}
		body, ok := m.Body.(*icmp.DstUnreach)
		if !ok || m.Code != portUnreachable || !slices.Equal(body.Data, sent[:headerIPBytes+headerUDPBytes]) {
			t.Errorf("the answer is %+v of %v", m, m.Body)
		}
	})
}
