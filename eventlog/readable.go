package eventlog

import (
	"encoding/json"
	"strconv"
)

// String returns the outcome in a word, such as not_started.
func (o Outcome) String() string {
	switch o {
	case Succeeded:
		return "succeeded"
	case Failed:
		return "failed"
	case Skipped:
		return "skipped"
	case Cancelled:
		return "cancelled"
	case NotStarted:
		return "not_started"
	case Unknown:
		return "unknown"
	case 0:
		return "none"
	}
	return "outcome_" + strconv.Itoa(int(o))
}

// MarshalJSON writes the outcome in a word.
func (o Outcome) MarshalJSON() ([]byte, error) {
	return strconv.AppendQuote(nil, o.String()), nil
}

// MarshalJSON writes what a job printed as text; bytes that are not UTF-8 are
// replaced by U+FFFD.
func (o Output) MarshalJSON() ([]byte, error) {
	return json.Marshal(struct {
		Head string `json:"head"`
		Tail string `json:"tail,omitempty"`
		Size int64  `json:"size"`
	}{string(o.Head), string(o.Tail), o.Size})
}
