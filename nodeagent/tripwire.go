package nodeagent

import (
	"context"
	"errors"
	"net"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

// A host whose orchestrator's process has died says so: what is sent to the port is
// answered with an ICMP message that nobody listens there. QUIC's socket does not hear
// of it, since it is not connected to one address; a socket that is does.
//
// The message proves nothing: anybody on the way can send it, and a filter may let
// QUIC pass and refuse what is not. So it only makes the agent ask, and where the
// answer does not come at once it looks for another orchestrator, as it does after a
// longer silence. It keeps the connection meanwhile. Where no message comes, because
// the whole host is gone or a filter drops it, silence tells as before.

const (
	// pokeMax is how often at least the host is asked, however rare heartbeats are:
	// that costs an orchestrator no more than a datagram that it drops.
	pokeMax = 2 * time.Second
	// settleMin is what an answer gets beside its round trips.
	settleMin = 50 * time.Millisecond
	// strikesMax is how many refusals of an orchestrator that answers it takes until
	// they are not looked at any more.
	strikesMax = 3
)

// watchRefusals raises the alarm when the orchestrator's host says that the process
// is gone and the connection has nothing to say against it.
func (s *session) watchRefusals(ctx context.Context) {
	if s.pulse.every == 0 || s.link.overTCP() { // TCP says so itself
		return
	}
	probe, err := net.Dial("udp", s.link.remote())
	if err != nil {
		return // silence tells
	}
	stop := context.AfterFunc(ctx, func() { probe.Close() })
	defer stop()
	heard := make(chan struct{}, 1)
	var reading sync.WaitGroup
	defer reading.Wait()
	defer probe.Close()
	reading.Go(func() { readRefusals(probe, heard) })
	poke := time.NewTicker(min(s.pulse.every, pokeMax))
	defer poke.Stop()
	for strikes := 0; strikes < strikesMax; {
		select {
		case <-ctx.Done():
			return
		case <-poke.C:
			// One byte is no QUIC: the other side drops it. An error is read, too.
			_, _ = probe.Write([]byte{0})
			continue
		case <-heard:
		}
		before := s.link.signs()
		s.askNow()
		if !sleep(ctx, settleMin+roundTrips*before.trip()) {
			return
		}
		if s.link.signs().heard != before.heard {
			strikes++
			continue
		}
		offer(s.refused)
	}
}

// readRefusals passes on what the socket hears until it is closed.
func readRefusals(probe net.Conn, heard chan<- struct{}) {
	buffer := make([]byte, 1)
	for {
		_, err := probe.Read(buffer)
		switch {
		case errors.Is(err, unix.ECONNREFUSED):
			offer(heard)
		case err != nil: // closed, or of no use
			return
		}
	}
}
