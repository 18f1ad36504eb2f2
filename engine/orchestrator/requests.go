package orchestrator

import (
	"regexp"
	"strings"

	"quorate/engine"
)

// Bounds of what a request may carry, in bytes.
const (
	requestIDBytesMax = 128
	reasonBytesMax    = 4096
	nameBytesMax      = 253 // a host name's limit
	labelsMax         = 32
)

// agentName is what may name an agent: a host name, with underscores allowed.
var agentName = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._-]*$`)

func checkName(what, name string) error {
	if len(name) > nameBytesMax || !agentName.MatchString(name) {
		return invalid("%s %.64q: want a host name: letters, digits, dots, dashes and underscores, at most %d of them", what, name, nameBytesMax)
	}
	return nil
}

func checkRequestID(id string) error {
	if id == "" || len(id) > requestIDBytesMax {
		return invalid("request id: want 1 to %d characters that no other request has", requestIDBytesMax)
	}
	return nil
}

// checkReason wants a reason where one is required.
func checkReason(reason string, required bool) error {
	if required && strings.TrimSpace(reason) == "" {
		return invalid("reason: say why, for those who read the log later")
	}
	if len(reason) > reasonBytesMax {
		return invalid("reason: %d bytes, more than %d", len(reason), reasonBytesMax)
	}
	return nil
}

// repeated reports whether a request was carried out before.
func (o *Orchestrator) repeated(requestID string) (again bool) {
	o.View(func(s *engine.State) { _, again = s.RequestIndex(requestID) })
	return again
}
