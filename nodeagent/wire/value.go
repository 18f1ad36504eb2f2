package wire

import "fmt"

// Bounds of what is published, and of what is asked.
const (
	// ValueBytesMax bounds a value, KeyBytesMax its name, and ValuesMax how many
	// values one report, or one Learn, carries.
	ValueBytesMax = 64 << 10
	KeyBytesMax   = 256
	ValuesMax     = 64
	// ValuesBytesTarget is how much goes into one report or one Learn: no value is
	// added behind it.
	ValuesBytesTarget = 256 << 10
	// AskHostsMax bounds the hosts that a question names.
	AskHostsMax = 4096
	// FactsMax and FactsBytesMax bound the answer about an agent's facts.
	FactsMax      = 4096
	FactsBytesMax = 2 << 20
)

// A Value is an argument of a host, as pyvalue encodes it; Absent where the host
// has none of that name.
type Value struct {
	_msgpack struct{} `msgpack:",as_array"`

	Key    string
	Value  []byte
	Absent bool
}

// Bytes is about how much the value takes in a frame.
func (v *Value) Bytes() int { return 8 + len(v.Key) + len(v.Value) }

// CheckValues refuses what is beyond the bounds of one report.
func CheckValues(values []Value) error {
	if len(values) > ValuesMax {
		return fmt.Errorf("%d values are more than %d", len(values), ValuesMax)
	}
	for i := range values {
		v := &values[i]
		switch {
		case v.Key == "" || len(v.Key) > KeyBytesMax:
			return fmt.Errorf("the name of a value has %d bytes", len(v.Key))
		case len(v.Value) > ValueBytesMax:
			return fmt.Errorf("the value of %s has %d bytes, more than %d", v.Key, len(v.Value), ValueBytesMax)
		}
	}
	return nil
}

// A Learned value is one that a host has published, with the job that did it.
type Learned struct {
	_msgpack struct{} `msgpack:",as_array"`

	Host    string
	Value   Value
	Run     uint64
	Task    string
	Attempt uint64
	Job     uint32
	Time    int64 // unix nanoseconds
}

// Learn tells values of hosts, the agent's own among them. It comes before the
// dispatches that follow from them, on the same stream.
type Learn struct {
	_msgpack struct{} `msgpack:",as_array"`

	Values []Learned
}

// Want is what an [Ask] waits for.
type Want uint8

// What can be waited for.
const (
	// WantQuery: all hosts of the QUERY at Attempt and Job have published Key.
	WantQuery Want = 1
	// WantValue: Hosts, or any host where there are none, have Key.
	WantValue Want = 2
	// WantJob: Hosts have done the job whose fingerprint Key is.
	WantJob Want = 3
)

// Ask asks for an Answer as soon as something is there. Both are forgotten with
// the connection: the agent asks again on the next one.
type Ask struct {
	_msgpack struct{} `msgpack:",as_array"`

	ID      uint64 // the agent's own number
	Want    Want
	Attempt uint64
	Job     uint32
	Key     string
	Hosts   []string
}

// Answer answers an Ask; what was learned of Key came before it.
type Answer struct {
	_msgpack struct{} `msgpack:",as_array"`

	ID uint64
	// Error says why there is no answer; Note what is worth knowing of it.
	Error, Note string
}

// Unask takes back an [Ask]: it is an Ask that wants nothing.
func Unask(id uint64) *Ask { return &Ask{ID: id} }

// FactsAsk asks for the agent's arguments and environment variables.
type FactsAsk struct {
	_msgpack struct{} `msgpack:",as_array"`

	ID uint64
}

// FactsReply answers it. Truncated says that there are more.
type FactsReply struct {
	_msgpack struct{} `msgpack:",as_array"`

	ID        uint64
	Facts     []Fact
	Truncated bool
}

// A Fact is an argument, or an environment variable, with the job it came by.
type Fact struct {
	_msgpack struct{} `msgpack:",as_array"`

	Env     bool
	Name    string
	Value   []byte // as pyvalue encodes it
	Run     uint64
	Task    string
	Attempt uint64
	Job     uint32
	Time    int64 // unix nanoseconds
}
