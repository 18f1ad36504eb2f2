package eventlog

// AgentDrained says that an agent is given no new steps until an operator says
// otherwise: what it has not started it gives back, and what it has goes on to its end.
type AgentDrained struct {
	_msgpack struct{} `msgpack:",as_array"`

	Agent     uint64 `json:"agent"`
	By        string `json:"by"`
	Reason    string `json:"reason"`
	RequestID string `json:"request_id"`
}

// AgentUndrained says that an agent which was drained is given steps again.
type AgentUndrained struct {
	_msgpack struct{} `msgpack:",as_array"`

	Agent     uint64 `json:"agent"`
	By        string `json:"by"`
	Reason    string `json:"reason"`
	RequestID string `json:"request_id"`
}

// Kind implements Event.
func (*AgentDrained) Kind() Kind { return KindAgentDrained }

// Kind implements Event.
func (*AgentUndrained) Kind() Kind { return KindAgentUndrained }
