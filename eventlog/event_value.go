package eventlog

import "encoding/json"

// ValuesPublished says that a host has these arguments, for QUERY and the templates
// of other hosts. It comes before the end of the job that brought them about.
type ValuesPublished struct {
	_msgpack struct{} `msgpack:",as_array"`

	Attempt uint64           `json:"attempt"`
	Job     uint32           `json:"job"`
	Values  []PublishedValue `json:"values"`
	// Waits is true where the job does nothing from here on but wait for other hosts.
	Waits bool   `json:"waits"`
	Seq   uint64 `json:"seq"` // of the agent's report
	// Connection is as in JobEnded.
	Connection uint64 `json:"connection"`
}

// A PublishedValue is one argument, as pyvalue encodes it. Absent says that the
// host has none of that name.
type PublishedValue struct {
	_msgpack struct{} `msgpack:",as_array"`

	Key    string `json:"key"`
	Value  []byte `json:"value"`
	Absent bool   `json:"absent"`
}

// MarshalJSON writes the value's encoding as text; bytes that are not UTF-8 are
// replaced by U+FFFD.
func (v PublishedValue) MarshalJSON() ([]byte, error) {
	return json.Marshal(struct {
		Key    string `json:"key"`
		Value  string `json:"value"`
		Absent bool   `json:"absent,omitempty"`
	}{v.Key, string(v.Value), v.Absent})
}

// Kind implements Event.
func (*ValuesPublished) Kind() Kind { return KindValuesPublished }
