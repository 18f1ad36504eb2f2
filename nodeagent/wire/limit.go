package wire

// Limits of what is accepted from a peer. A frame's length counts its type byte.
const (
	// AgentFrameBytesMax bounds a frame that an agent sends.
	AgentFrameBytesMax = 4 << 20
	// OrchestratorFrameBytesMax bounds a frame that an orchestrator sends.
	OrchestratorFrameBytesMax = 16 << 20
	// ResultsBytesTarget is how much an agent puts into one Results frame: it
	// stops adding reports when it is past it.
	ResultsBytesTarget = 1 << 20
	// OutputHeadBytesMax and OutputTailBytesMax bound what is kept of an output.
	OutputHeadBytesMax = 32 << 10
	OutputTailBytesMax = 32 << 10
	// InfoBytesMax bounds Report.Info and Report.Reason.
	InfoBytesMax = 16 << 10
	// ServersMax bounds the addresses in a Welcome, Move or Servers, and AddressBytesMax each.
	ServersMax      = 64
	AddressBytesMax = 300
	// ElementsMax bounds every list in a message.
	ElementsMax = 1 << 20

	headerBytes      = 5        // length and type
	growBytes        = 64 << 10 // first allocation for a frame's body
	blobSizeBytes    = 8
	digestHexBytes   = 64
	expansionPerByte = 32 // bytes of memory that a decoded byte may cost in list elements
)

// BlobUnknown is the size that answers a request for a blob that is not there.
const BlobUnknown = ^uint64(0)

// A Side is one of the two ends of a connection.
type Side uint8

// The sides.
const (
	Agent Side = iota + 1
	Orchestrator
)

// sender says who may send messages of a type.
func (t Type) sender() (Side, bool) {
	switch t {
	case TypeHello, TypeResults, TypeReply, TypeEnrol, TypeBlob, TypePing, TypeAsk, TypeFactsReply,
		TypeDistrust, TypeTunnel, TypeWatch, TypeAnnounce:
		return Agent, true
	case TypePackedAgent:
		return Agent, true
	case TypePackedOrchestrator:
		return Orchestrator, true
	case TypeWelcome, TypeDispatch, TypeCancel, TypeAck, TypeRefuse, TypeEnrolled, TypePong, TypeMove, TypeChallenge, TypeServers,
		TypeLearn, TypeAnswer, TypeFactsAsk, TypeCheckpoint, TypeTunnelled,
		TypeEnded, TypeNoticed:
		return Orchestrator, true
	}
	return 0, false
}

// packed reports whether frames of the type carry others.
func (t Type) packed() bool { return t == TypePackedAgent || t == TypePackedOrchestrator }

// frameBytesMax is the limit of a frame of the type.
func (t Type) frameBytesMax() int {
	switch side, _ := t.sender(); {
	case t == TypeWatch || t == TypeAnnounce || t == TypeNoticed:
		return NoticesFrameBytesMax
	case side == Agent:
		return AgentFrameBytesMax
	}
	return OrchestratorFrameBytesMax
}

// newMessage returns an empty message of the type.
func newMessage(t Type) (Message, bool) {
	switch t {
	case TypeHello:
		return new(Hello), true
	case TypeWelcome:
		return new(Welcome), true
	case TypeDispatch:
		return new(Dispatch), true
	case TypeCancel:
		return new(Cancel), true
	case TypeResults:
		return new(Results), true
	case TypeAck:
		return new(Ack), true
	case TypeReply:
		return new(Reply), true
	case TypeRefuse:
		return new(Refuse), true
	case TypeEnrol:
		return new(Enrol), true
	case TypeEnrolled:
		return new(Enrolled), true
	case TypeBlob:
		return new(BlobRequest), true
	case TypePing:
		return new(Ping), true
	case TypePong:
		return new(Pong), true
	case TypeMove:
		return new(Move), true
	case TypeChallenge:
		return new(Challenge), true
	case TypeServers:
		return new(Servers), true
	case TypeLearn:
		return new(Learn), true
	case TypeAsk:
		return new(Ask), true
	case TypeAnswer:
		return new(Answer), true
	case TypeFactsAsk:
		return new(FactsAsk), true
	case TypeFactsReply:
		return new(FactsReply), true
	case TypeCheckpoint:
		return new(Checkpoint), true
	case TypeDistrust:
		return new(Distrust), true
	case TypeTunnel:
		return new(Tunnel), true
	case TypeTunnelled:
		return new(Tunnelled), true
	case TypeEnded:
		return new(Ended), true
	case TypeWatch:
		return new(Watch), true
	case TypeAnnounce:
		return new(Announce), true
	case TypeNoticed:
		return new(Noticed), true
	}
	return nil, false
}
