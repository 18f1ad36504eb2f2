// Package component is how user-defined verbs are spoken to: executables in any
// language that read one JSON request from their standard input and write one
// JSON reply to their standard output.
//
// A [Directory] finds them on the operator's machine and asks them, at plan time,
// for their [Description], from which a declaration is made like that of any
// built-in verb. The executable and its description travel with the plan; agents
// run what they brought. The package runs components for their description only:
// jobs are run by the agent, in its own way.
package component

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"unicode/utf8"
)

// Version is the version of the protocol.
const Version = 1

// An Action is what a component is asked for. It is also its first argument.
type Action string

// The actions.
const (
	Describe Action = "describe" // at plan time, on the operator's machine
	Check    Action = "check"    // on the host: what would run change?
	Run      Action = "run"      // on the host
)

const (
	// ReplyBytesMax bounds a reply. It is what an agent keeps of an output.
	ReplyBytesMax = 64 << 10
	// DescriptionBytesMax bounds a description.
	DescriptionBytesMax = 64 << 10
	// quotedBytesMax is how much of what is no reply an error shows.
	quotedBytesMax = 80
)

// A Request is what a component reads.
type Request struct {
	Protocol int    `json:"protocol"`
	Action   Action `json:"action"`
	// Job is nil for [Describe].
	*Job
}

// A Job is the part of a request that says what to do, and where.
type Job struct {
	// Verb is the component's name in upper case, Text the job's text, rendered.
	Verb string `json:"verb"`
	Text string `json:"text"`
	// Options are all that were given or have a default: flags as true or false,
	// integers as numbers, lists as lists of words, all else as text.
	Options map[string]any `json:"options"`
	// Args are the host's arguments, those of the run included.
	Args map[string]json.RawMessage `json:"args"`
	// Environment is what was added to the process's environment.
	Environment map[string]string `json:"environment"`
	WorkDir     string            `json:"work_dir"`
	// TimeoutSeconds bounds check and run together; 0 is no limit.
	TimeoutSeconds uint32 `json:"timeout_seconds"`
	Run            uint64 `json:"run"`
	Task           string `json:"task"`
	Attempt        uint64 `json:"attempt"`
	Index          uint32 `json:"job"`
}

// Outcomes of a reply.
const (
	Succeeded = "succeeded"
	Failed    = "failed"
)

// A Reply is what a component answers a check or a run with.
type Reply struct {
	Protocol int    `json:"protocol"`
	Action   Action `json:"action"`
	Outcome  string `json:"outcome"`
	// Changed: the host is not as it was before, or after a check would not be.
	Changed bool   `json:"changed"`
	Info    string `json:"info,omitempty"`
	Stdout  string `json:"stdout,omitempty"`
	Stderr  string `json:"stderr,omitempty"`
	// Facts become arguments of the host where the job succeeded.
	Facts map[string]json.RawMessage `json:"facts,omitempty"`
}

// A VersionError is a component that speaks another version of the protocol.
type VersionError struct{ Theirs int }

func (e *VersionError) Error() string {
	if e.Theirs == 0 {
		return fmt.Sprintf("the component names no version of the protocol: \"protocol\": %d is missing", Version)
	}
	return fmt.Sprintf("the component speaks version %d of the protocol, and not %d", e.Theirs, Version)
}

var (
	errSilent  = errors.New("the component replied nothing")
	errTooLong = errors.New("the component's reply is too long")
)

// DecodeReply reads a reply to a check or a run.
func DecodeReply(data []byte) (*Reply, error) {
	r := &Reply{}
	if err := decode(data, ReplyBytesMax, r); err != nil {
		return nil, err
	}
	switch {
	case r.Action != Check && r.Action != Run:
		return nil, fmt.Errorf("the component's reply is to the action %q, which was not asked for", r.Action)
	case r.Outcome != Succeeded && r.Outcome != Failed:
		return nil, fmt.Errorf("the component's reply has the outcome %q: it may be %s or %s", r.Outcome, Succeeded, Failed)
	}
	for name := range r.Facts {
		if name == "" {
			return nil, errors.New("the component's reply has a fact without a name")
		}
	}
	return r, nil
}

// decode reads one JSON object and nothing else. The version is looked at first:
// what another version means by the rest nobody here knows.
func decode(data []byte, bytesMax int, into any) error {
	text := bytes.TrimSpace(data)
	switch {
	case len(data) > bytesMax:
		return fmt.Errorf("%w: %d bytes, more than %d", errTooLong, len(data), bytesMax)
	case len(text) == 0:
		return errSilent
	case !utf8.Valid(text):
		return fmt.Errorf("the component's reply is not UTF-8: %s", quoted(text))
	}
	var version struct {
		Protocol *int `json:"protocol"`
	}
	if err := json.Unmarshal(text, &version); err != nil {
		return fmt.Errorf("the component replied what is no JSON object of the protocol: %s: %w", quoted(text), err)
	}
	switch {
	case version.Protocol == nil:
		return &VersionError{}
	case *version.Protocol != Version:
		return &VersionError{Theirs: *version.Protocol}
	}
	dec := json.NewDecoder(bytes.NewReader(text))
	dec.DisallowUnknownFields()
	if err := dec.Decode(into); err != nil {
		return fmt.Errorf("the component's reply: %s", strings.TrimPrefix(err.Error(), "json: "))
	}
	if _, err := dec.Token(); err != io.EOF {
		return errors.New("the component's reply goes on behind its end")
	}
	return nil
}

// quoted is the beginning of what came instead of a reply.
func quoted(text []byte) string {
	if len(text) > quotedBytesMax {
		return fmt.Sprintf("%q...", text[:quotedBytesMax])
	}
	return fmt.Sprintf("%q", text)
}
