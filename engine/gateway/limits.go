package gateway

import (
	"runtime"
	"time"

	"quorate/internal/admission"
)

// Limits bound what agents, known and unknown, may use.
type Limits struct {
	// Connections in total and from one address.
	Connections, ConnectionsPerAddress int
	// Overflow is how many more connections there may be at a time that are told that
	// there are too many; who comes after that is refused without a word.
	Overflow int
	// Handshakes under way from which on an address has to prove itself first,
	// in total and for one address.
	HandshakesUnproven, HandshakesUnprovenPerAddress int
	// HandshakesAtOnce bounds the handshakes that are worked on at a time, over QUIC, over
	// TCP and through relays each. Over QUIC who comes after that is refused and comes
	// again, otherwise it waits for its turn.
	HandshakesAtOnce int
	// Handshakes under way over TCP at most, in total and for one address: who comes
	// after that is turned away, and comes again.
	HandshakesTCP, HandshakesTCPPerAddress int
	// GuessesPerAddress and Guesses bound enrolments per minute that show no token
	// which can be spent, from one address and in total.
	GuessesPerAddress, Guesses int
	// BlobStreams bounds the blobs that are being sent at once, of which the sites that
	// want any have their shares.
	BlobStreams int
	// BulkRate bounds the bytes per second of all blobs together, and BulkRatePerSite
	// those to one connection, which is an agent's or a relay's; 0 is no bound.
	BulkRate, BulkRatePerSite int64
	// BalanceEvery is how often the gateway compares its share of the agents with
	// the others', MajorityEvery how often it makes sure that it is not cut off.
	BalanceEvery, MajorityEvery time.Duration
	// MembershipWithin is how long the gateway waits at its start to hear that it is
	// still one of the cluster's, before it serves agents all the same.
	MembershipWithin time.Duration
	// PartingHold is how long the end of a connection of an agent that flaps is kept
	// from the log: it is not written where the agent is back by then.
	PartingHold time.Duration
	// CheckpointEvery is how often agents are told how far the log is signed.
	CheckpointEvery time.Duration
}

func (l Limits) orDefault() Limits {
	or := func(v *int, def int) {
		if *v == 0 {
			*v = def
		}
	}
	or(&l.Connections, 20_000)
	or(&l.ConnectionsPerAddress, 4_096) // agents behind one NAT share an address
	or(&l.Overflow, 256)
	or(&l.HandshakesUnproven, 64)
	or(&l.HandshakesUnprovenPerAddress, 8)
	or(&l.HandshakesAtOnce, handshakesPerProcessor*runtime.GOMAXPROCS(0))
	or(&l.HandshakesTCP, 512)
	or(&l.HandshakesTCPPerAddress, 128)
	or(&l.GuessesPerAddress, 60)
	or(&l.Guesses, 3_000)
	or(&l.BlobStreams, 64)
	if l.BalanceEvery == 0 {
		l.BalanceEvery = balanceEvery
	}
	if l.MajorityEvery == 0 {
		l.MajorityEvery = majorityEvery
	}
	if l.MembershipWithin == 0 {
		l.MembershipWithin = membershipWithin
	}
	if l.PartingHold == 0 {
		l.PartingHold = partingHold
	}
	if l.CheckpointEvery == 0 {
		l.CheckpointEvery = checkpointEvery
	}
	return l
}

// admission are those on connections that begin.
func (l Limits) admission() admission.Limits {
	return admission.Limits{
		Connections: l.Connections, ConnectionsPerAddress: l.ConnectionsPerAddress, Overflow: l.Overflow,
		Unproven: l.HandshakesUnproven, UnprovenPerAddress: l.HandshakesUnprovenPerAddress,
		TCP:              admission.Handshakes{All: l.HandshakesTCP, PerAddress: l.HandshakesTCPPerAddress},
		HandshakeTimeout: handshakeTimeout, AtOnce: l.HandshakesAtOnce,
	}
}

// Deadlines and sizes of what happens on a connection.
const (
	helloTimeout     = 10 * time.Second // from the handshake to a complete Hello or Enrol
	writeTimeout     = 30 * time.Second // for a peer to take what is written
	farewellTimeout  = 3 * time.Second  // for a peer to read the last answer
	handshakeTimeout = 10 * time.Second
	// handshakesPerProcessor are some 20 ms of work.
	handshakesPerProcessor = 8
	recordTimeout          = 4 * time.Second  // for the log to take a connection: an election and a half
	membershipWithin       = 10 * time.Second // for a majority to answer at the start
	partingHold            = 20 * time.Second
	challengesMax          = 4 // times that an agent is asked for its journal

	dispatchesMax      = 64      // per turn of a sender, so that acknowledgements get through
	pendingBytesMax    = 2 << 20 // of a session's reports that wait for a commit
	commitEventsMax    = 2048
	commitBytesMax     = 4 << 20
	queuedBytesMax     = 64 << 20 // of all sessions' reports that wait for a commit
	commitLinger       = 100 * time.Millisecond
	lingerBytesMax     = 512 << 10 // of reports that wait for others to be committed with
	reportsPerJobMax   = 4         // its end, and the values that it publishes before
	reportsSpareMax    = 8         // reports of an attempt beyond those of its jobs
	lateReportsMax     = 1 << 16   // reports of a session on attempts that are settled
	attemptsHeldMax    = 1 << 16   // attempts that a Hello may list
	textBytesMax       = 16 << 10  // of a report's Info or Reason
	nameBytesMax       = 256       // of a version, boot id, address
	retryDelay         = time.Second
	busyRetryDelay     = 2 * time.Second
	rejectedRetryDelay = 10 * time.Second
	presenceEventMax   = 512
	packFrom           = 20 * time.Millisecond // the round trip from which on bytes cost more than packing them
)
