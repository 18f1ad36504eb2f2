package eventlog

// An Arrival is why an agent connects.
type Arrival uint8

// The arrivals. Numbers are part of the log's format.
const (
	ByItself Arrival = 1 // for the first time, or it, its host or its link lost the connection before
	Asked    Arrival = 2 // the agent says that its gateway before had asked it to go
	Dropped  Arrival = 3 // this gateway knows that it is what lost the connection before
)

// DampingSet changes how the cluster deals with agents that flap: those whose
// connection comes and goes. A field that is empty or 0 stays as it was.
type DampingSet struct {
	_msgpack struct{} `msgpack:",as_array"`

	// Work says what an agent is given while it flaps: hold, last or normal.
	Work string `json:"work"`
	// HalfLife is how long it takes until half of what an agent's reconnections count
	// for is forgotten, in nanoseconds.
	HalfLife int64 `json:"half_life"`
	// Threshold is how many reconnections at once make an agent one that flaps.
	Threshold uint32 `json:"threshold"`
	By        string `json:"by"`
	RequestID string `json:"request_id"`
}

// AgentCalmed says that an agent does not flap any more.
type AgentCalmed struct {
	_msgpack struct{} `msgpack:",as_array"`

	Agent uint64 `json:"agent"`
	// By is the operator who forgives what is on record against the agent; empty where
	// that was forgotten in time.
	By        string `json:"by"`
	Reason    string `json:"reason"`
	RequestID string `json:"request_id"`
}

// GatewayLost says that a gateway's connections ended because of itself: its process has
// died, or it answers nobody. Agents that left it then are not to blame.
type GatewayLost struct {
	_msgpack struct{} `msgpack:",as_array"`

	Gateway uint64 `json:"gateway"` // replica
	Reason  string `json:"reason"`
}

// AgentsSent says that a gateway asks agents that are connected to it to go to another.
type AgentsSent struct {
	_msgpack struct{} `msgpack:",as_array"`

	Gateway uint64   `json:"gateway"` // replica
	To      uint64   `json:"to"`      // likewise
	Agents  []uint64 `json:"agents"`
}

// Kind implements Event.
func (*GatewayLost) Kind() Kind { return KindGatewayLost }

// Kind implements Event.
func (*AgentsSent) Kind() Kind { return KindAgentsSent }

// Kind implements Event.
func (*DampingSet) Kind() Kind { return KindDampingSet }

// Kind implements Event.
func (*AgentCalmed) Kind() Kind { return KindAgentCalmed }
