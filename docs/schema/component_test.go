package main

import (
	"encoding/json"
	"os"
	"os/exec"
	"testing"

	"quorate/internal/component"
)

// TestComponentSchema holds the schema against the decoder and real messages.
func TestComponentSchema(t *testing.T) {
	text, err := os.ReadFile("component.json")
	if err != nil {
		t.Fatal(err)
	}
	c := compiler(t, "component.json", text)
	described, err := exec.Command("../../testdata/components/motd.sh", "describe").Output()
	if err != nil {
		t.Fatal(err)
	}
	description, reply := compile(t, c, "component.json#/$defs/description"), compile(t, c, "component.json#/$defs/reply")
	for _, tc := range []struct {
		text string
		ok   bool
	}{
		{string(described), true},
		{`{"protocol": 1, "action": "describe", "name": "x", "summary": "s", "exclusive": [[]], "timeout_seconds": 5}`, true},
		{`{"protocol": 2, "action": "describe", "name": "x", "summary": "s"}`, false},
		{`{"protocol": 1, "action": "describe", "name": "x-y", "summary": "s"}`, false},
		{`{"protocol": 1, "action": "describe", "name": "x", "summary": "s", "more": 1}`, false},
		{`{"protocol": 1, "action": "describe", "name": "x", "summary": "s", "text": {"kind": "any"}}`, false},
		{`{"protocol": 1, "action": "describe", "name": "x", "summary": "s", "timeout_seconds": 604801}`, false},
	} {
		_, err := component.DecodeDescription([]byte(tc.text))
		if got := check(description, tc.text) == nil; got != tc.ok || (err == nil) != tc.ok {
			t.Errorf("%s: valid %v, decoded %v, want %v", tc.text, got, err, tc.ok)
		}
	}
	for _, tc := range []struct {
		text string
		ok   bool
	}{
		{`{"protocol": 1, "action": "run", "outcome": "failed", "facts": {"a": null}}`, true},
		{`{"protocol": 1, "action": "run", "outcome": "ok"}`, false},
		{`{"protocol": 1, "action": "describe", "outcome": "failed"}`, false},
		{`{"protocol": 1, "action": "check", "outcome": "failed", "facts": {"": 1}}`, false},
	} {
		_, err := component.DecodeReply([]byte(tc.text))
		if got := check(reply, tc.text) == nil; got != tc.ok || (err == nil) != tc.ok {
			t.Errorf("%s: valid %v, decoded %v, want %v", tc.text, got, err, tc.ok)
		}
	}
	request := compile(t, c, "component.json#/$defs/request")
	for _, r := range []component.Request{
		{Protocol: component.Version, Action: component.Describe},
		{Protocol: component.Version, Action: component.Run, Job: &component.Job{
			Options: map[string]any{"f": true, "l": []string{"a"}, "n": 3, "s": "t"}, Args: map[string]json.RawMessage{}, Environment: map[string]string{},
		}},
	} {
		text, err := json.Marshal(r)
		if err != nil || check(request, string(text)) != nil {
			t.Errorf("%s is no request: %v", text, err)
		}
	}
}
