package main

import (
	"bytes"
	"encoding/json"
	"os"
	"os/exec"
	"strings"
	"testing"

	"github.com/santhosh-tekuri/jsonschema/v6"

	"quorate/internal/component"
)

// TestComponentSchema holds the schema against the decoder and real messages.
func TestComponentSchema(t *testing.T) {
	text, err := os.ReadFile("component.json")
	if err != nil {
		t.Fatal(err)
	}
	doc, err := jsonschema.UnmarshalJSON(bytes.NewReader(text))
	if err != nil {
		t.Fatal(err)
	}
	c := jsonschema.NewCompiler()
	if err := c.AddResource("component.json", doc); err != nil {
		t.Fatal(err)
	}
	schemaOf := func(part string) *jsonschema.Schema {
		s, err := c.Compile("component.json#/$defs/" + part)
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	valid := func(s *jsonschema.Schema, text string) bool {
		v, err := jsonschema.UnmarshalJSON(strings.NewReader(text))
		return err == nil && s.Validate(v) == nil
	}
	described, err := exec.Command("../../testdata/components/motd.sh", "describe").Output()
	if err != nil {
		t.Fatal(err)
	}
	description, reply := schemaOf("description"), schemaOf("reply")
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
		if got := valid(description, tc.text); got != tc.ok || (err == nil) != tc.ok {
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
		if got := valid(reply, tc.text); got != tc.ok || (err == nil) != tc.ok {
			t.Errorf("%s: valid %v, decoded %v, want %v", tc.text, got, err, tc.ok)
		}
	}
	request := schemaOf("request")
	for _, r := range []component.Request{
		{Protocol: component.Version, Action: component.Describe},
		{Protocol: component.Version, Action: component.Run, Job: &component.Job{
			Options: map[string]any{"f": true, "l": []string{"a"}, "n": 3, "s": "t"}, Args: map[string]json.RawMessage{}, Environment: map[string]string{},
		}},
	} {
		text, err := json.Marshal(r)
		if err != nil || !valid(request, string(text)) {
			t.Errorf("%s is no request: %v", text, err)
		}
	}
}
