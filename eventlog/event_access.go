package eventlog

// AccessDenied says that an orchestrator refused somebody, and how often: what is alike
// is told once at first, and then counted for a while.
type AccessDenied struct {
	_msgpack struct{} `msgpack:",as_array"`

	Replica uint64 `json:"replica"` // the orchestrator that refused
	// Entry is where: "api" and a route, agents, relays, enrolment, orchestrators or join.
	Entry string `json:"entry"`
	// Caller is whose certificate of the cluster was shown, such as operator:alice or
	// agent:7; empty for a stranger. Behind "claimed " it was refused before it had shown
	// that it has the certificate's key.
	Caller string `json:"caller"`
	Reason string `json:"reason"` // in a word, such as no-right, expired or revoked
	// Addresses are the first few that it came from, without their ports, and Relay is
	// the number of the relay that it came through, or 0.
	Addresses []string `json:"addresses"`
	Relay     uint64   `json:"relay"`
	// Count is how many were refused alike from From until Until, by the clock of the
	// orchestrator in unix nanoseconds.
	Count uint64 `json:"count"`
	From  int64  `json:"from"`
	Until int64  `json:"until"`
}

// OperatorRevoked ends the right of all certificates that an operator's name was issued
// before. One that is issued later counts again.
type OperatorRevoked struct {
	_msgpack struct{} `msgpack:",as_array"`

	Name      string `json:"name"`
	By        string `json:"by"`
	Reason    string `json:"reason"`
	RequestID string `json:"request_id"`
}

// Kind implements Event.
func (*AccessDenied) Kind() Kind { return KindAccessDenied }

// Kind implements Event.
func (*OperatorRevoked) Kind() Kind { return KindOperatorRevoked }
