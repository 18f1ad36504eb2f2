package cli

import (
	"strings"
	"testing"
	"unicode/utf8"

	"quorate/engine/api"
)

func TestLogLineFitsTerminal(t *testing.T) {
	long := strings.Repeat("ö", 200)
	tests := []struct {
		name  string
		event api.LogEvent
	}{
		{"details", api.LogEvent{Seq: 7, Kind: "run_created", Run: 3, Event: map[string]string{"by": long}}},
		{"a reason", api.LogEvent{Seq: 1234567, Kind: "agent_approved", Void: true, VoidReason: long, Event: map[string]string{"by": long}}},
		{"a short reason", api.LogEvent{Seq: 7, Kind: "agent_approved", Void: true, VoidReason: "why", Event: map[string]string{"by": long}}},
	}
	for _, tt := range tests {
		for _, width := range []int{40, 60, 80, 132} {
			head, void, detail, err := logLine(tt.event, width)
			if err != nil {
				t.Fatal(err)
			}
			want := max(width, utf8.RuneCountInString(head))
			if got := utf8.RuneCountInString(head + void + detail); got != want {
				t.Errorf("%s at %d: %d columns, want %d: %q", tt.name, width, got, want, head+void+detail)
			}
		}
		if _, _, detail, err := logLine(tt.event, 0); err != nil || !strings.Contains(detail, long) {
			t.Errorf("%s: shortened without a terminal: %q, %v", tt.name, detail, err)
		}
	}
}
