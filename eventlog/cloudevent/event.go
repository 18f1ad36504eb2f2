// Package cloudevent writes events of the log as CloudEvents 1.0, for the tools that
// collect such, with a cursor by which a reader goes on where it stopped.
package cloudevent

import (
	"encoding/json"
	"fmt"
	"strconv"
	"time"

	"quorate/eventlog"
)

const (
	// SpecVersion is the version of CloudEvents.
	SpecVersion = "1.0"
	// typePrefix stands before the kind of an event.
	typePrefix = "org.quorate."
	// idHashLength is how much of a record's hash is part of an event's id, in hex digits.
	idHashLength = 16
)

// A Record is what is known of an event on record.
type Record struct {
	Cluster string // its id
	Seq     uint64
	Time    time.Time
	Kind    string // such as step_scheduled
	Hash    string // of the log's chain up to here, lower-case hex
	Run     uint64 // that it is about, or 0
	Void    string // why it changed nothing; empty where it did
	// Event holds the event's fields: anything that encoding/json makes an object of.
	Event any
}

// An Event is a CloudEvent in the JSON format, structured mode. sequence, cursor and
// voidreason are extensions.
type Event struct {
	SpecVersion string `json:"specversion"`
	// ID is unique in the source, also where a log that was recovered gives a place away
	// again: the place and the hash of the record.
	ID     string `json:"id"`
	Source string `json:"source"`
	Type   string `json:"type"`
	Time   string `json:"time"` // RFC 3339, UTC
	// Subject is run/N or agent/N, or empty.
	Subject         string `json:"subject,omitempty"`
	DataContentType string `json:"datacontenttype"`
	// Sequence is the record's place in 20 digits: as text it sorts as the log does.
	Sequence string `json:"sequence"`
	// Cursor is where a reader that has this event goes on.
	Cursor string `json:"cursor"`
	// VoidReason is why the event changed nothing, where it did not.
	VoidReason string         `json:"voidreason,omitempty"`
	Data       map[string]any `json:"data"`
}

// Of makes the event of a record. Times in its data become RFC 3339. The error is of
// encoding/json.
func Of(r Record) (*Event, error) {
	data, err := fields(r.Event)
	if err != nil {
		return nil, fmt.Errorf("event %d: %w", r.Seq, err)
	}
	e := &Event{
		SpecVersion: SpecVersion, ID: fmt.Sprintf("%d-%.*s", r.Seq, idHashLength, r.Hash), Source: "quorate/" + r.Cluster + "/", Type: typePrefix + r.Kind,
		Time: r.Time.UTC().Format(time.RFC3339Nano), DataContentType: "application/json", Sequence: fmt.Sprintf("%020d", r.Seq),
		Cursor: Cursor{Cluster: r.Cluster, Seq: r.Seq, Hash: r.Hash}.String(), VoidReason: r.Void, Data: data,
	}
	switch agent, _ := data["agent"].(json.Number); {
	case r.Run != 0:
		e.Subject = "run/" + strconv.FormatUint(r.Run, 10)
	case agent != "" && agent != "0":
		e.Subject = "agent/" + agent.String()
	}
	RFC3339(r.Kind, data)
	return e, nil
}

// timesOf are the fields of each kind that hold a time, in unix nanoseconds.
func timesOf(kind string) []string {
	switch kind {
	case eventlog.KindTokenCreated.String():
		return []string{"expires_at", "until"}
	case eventlog.KindOperatorIssued.String():
		return []string{"expires_at"}
	case eventlog.KindJobEnded.String():
		return []string{"started_at"}
	case eventlog.KindAccessDenied.String():
		return []string{"from", "until"}
	}
	return nil
}

// RFC3339 turns the times among the fields of an event of a kind into text. Fields are as
// a [json.Decoder] that uses numbers reads them. 0, which is no time, stays.
func RFC3339(kind string, fields map[string]any) {
	for _, name := range timesOf(kind) {
		number, ok := fields[name].(json.Number)
		if !ok {
			continue
		}
		if nanos, err := number.Int64(); err == nil && nanos != 0 {
			fields[name] = time.Unix(0, nanos).UTC().Format(time.RFC3339Nano)
		}
	}
}
