package wire

import "fmt"

// What the agents of a site tell each other through its relay about the ends of their
// attempts, so that one goes on behind another while no orchestrator can be reached. The
// relay is not believed: whoever a notice is about has signed it.

// Bounds of notices.
const (
	// NoticesFrameBytesMax bounds a frame on a stream of notices, and NoticesBytesTarget
	// how much its sender puts into one: it stops adding when it is past that.
	NoticesFrameBytesMax = 256 << 10
	NoticesBytesTarget   = 32 << 10
	// WatchedMax bounds the attempts in one Watch.
	WatchedMax = 1024

	noticeKeyBytesMax       = 256
	noticeSignatureBytesMax = 256
	noticeTaskBytesMax      = 4096
	noticeHostBytesMax      = 512
	keyDigestBytes          = 64
)

// noticeDomain parts what is signed here from all else that an agent's key may sign.
const noticeDomain = "quorate: an attempt has ended, 2"

// Elsewhere says of an attempt of another agent whose word counts about its end, and
// what that word has to be about: numbers of attempts may be given away again in another
// history of the log. The zero value is of an attempt of the agent's own.
type Elsewhere struct {
	_msgpack struct{} `msgpack:",as_array"`

	// Key is the SHA-256 of the agent's public key (PKIX), in lower-case hex; empty for
	// an attempt of the agent's own.
	Key        string
	Run        uint64
	Task, Host string
}

// Ended tells an agent that the log has the end of an attempt of another agent, which it
// waits for. A repeat, or one for an attempt that nothing waits for, is without effect.
type Ended struct {
	_msgpack struct{} `msgpack:",as_array"`

	Fence   Fence
	Attempt uint64
	// Outcome is numbered as eventlog.Outcome.
	Outcome uint8
	// Output is that of the attempt, see [Report]; it may be empty.
	Output []byte
}

// A Notice is an agent's signed word that an attempt of its own has ended.
type Notice struct {
	_msgpack struct{} `msgpack:",as_array"`

	// Key is the agent's public key, PKIX.
	Key        []byte
	Run        uint64
	Task, Host string
	Attempt    uint64
	// Outcome is numbered as eventlog.Outcome.
	Outcome uint8
	// Output is that of the attempt, see [Report]; it may be empty.
	Output []byte
	// Signature is by the key, over what Signed returns: with ECDSA in ASN.1 over its
	// SHA-256, with Ed25519 over the bytes themselves.
	Signature []byte
}

// signedNotice is what a notice says, and in which cluster.
type signedNotice struct {
	_msgpack struct{} `msgpack:",as_array"`

	Domain, ClusterID string
	Key               []byte
	Run               uint64
	Task, Host        string
	Attempt           uint64
	Outcome           uint8
	Output            []byte
}

// Signed returns the bytes that the notice's agent signs in the cluster.
func (n *Notice) Signed(clusterID string) ([]byte, error) {
	return Marshal(&signedNotice{
		Domain: noticeDomain, ClusterID: clusterID, Key: n.Key,
		Run: n.Run, Task: n.Task, Host: n.Host, Attempt: n.Attempt, Outcome: n.Outcome, Output: n.Output,
	})
}

// Check refuses a notice beyond its bounds. It says nothing of the signature.
func (n *Notice) Check() error {
	switch {
	case n.Attempt == 0 || n.Outcome == 0:
		return fmt.Errorf("%w: a notice of no end", ErrMalformed)
	case len(n.Key) == 0 || len(n.Key) > noticeKeyBytesMax || len(n.Signature) == 0 || len(n.Signature) > noticeSignatureBytesMax:
		return fmt.Errorf("%w: a notice with a key of %d and a signature of %d bytes", ErrMalformed, len(n.Key), len(n.Signature))
	case len(n.Task) > noticeTaskBytesMax || len(n.Host) > noticeHostBytesMax:
		return fmt.Errorf("%w: a notice with names of %d and %d bytes", ErrMalformed, len(n.Task), len(n.Host))
	case len(n.Output) != 0 && len(n.Output) != OutputBytes:
		return fmt.Errorf("%w: a notice with an output of %d bytes", ErrMalformed, len(n.Output))
	}
	return nil
}

// Same reports whether both say the same, however they are signed.
func (n *Notice) Same(other *Notice) bool {
	return n.Run == other.Run && n.Task == other.Task && n.Host == other.Host && n.Attempt == other.Attempt &&
		n.Outcome == other.Outcome && string(n.Output) == string(other.Output) && string(n.Key) == string(other.Key)
}

// Bytes is about how much the notice takes in a frame.
func (n *Notice) Bytes() int {
	return 32 + len(n.Output) + len(n.Key) + len(n.Task) + len(n.Host) + len(n.Signature)
}

// A Watched is an attempt of the agent with the key that another one waits for.
type Watched struct {
	_msgpack struct{} `msgpack:",as_array"`

	// Key is as in Elsewhere.
	Key     string
	Attempt uint64
}

// Watch opens a stream of notices to a relay, and says what the agent waits for besides
// what it has said before on the stream; Afresh, instead of that. The relay answers with
// what it has of these, and with what it is told later. A relay of the version before
// refuses the stream.
type Watch struct {
	_msgpack struct{} `msgpack:",as_array"`

	Afresh bool
	Of     []Watched
}

// Check refuses what is beyond its bounds.
func (w *Watch) Check() error {
	if len(w.Of) > WatchedMax {
		return fmt.Errorf("%w: %d attempts are watched at once", ErrMalformed, len(w.Of))
	}
	for i := range w.Of {
		if len(w.Of[i].Key) != keyDigestBytes {
			return fmt.Errorf("%w: a key's digest of %d characters", ErrMalformed, len(w.Of[i].Key))
		}
	}
	return nil
}

// Announce hands an agent's own notices to a relay, for those who watch their attempts
// or will.
type Announce struct {
	_msgpack struct{} `msgpack:",as_array"`

	Notices []Notice
}

// Noticed passes on what other agents have announced.
type Noticed struct {
	_msgpack struct{} `msgpack:",as_array"`

	Notices []Notice
}

// Type implements Message.
func (*Ended) Type() Type { return TypeEnded }

// Type implements Message.
func (*Watch) Type() Type { return TypeWatch }

// Type implements Message.
func (*Announce) Type() Type { return TypeAnnounce }

// Type implements Message.
func (*Noticed) Type() Type { return TypeNoticed }
