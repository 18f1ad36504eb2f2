package cloudevent_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"strings"
	"testing"
	"time"

	"quorate/eventlog"
	"quorate/eventlog/cloudevent"
)

func hash(digit string) string { return strings.Repeat(digit, 64) }

func TestOf(t *testing.T) {
	at := time.Date(2026, 1, 2, 3, 4, 5, 6, time.UTC)
	record := func(seq, run uint64, e eventlog.Event) cloudevent.Record {
		return cloudevent.Record{Cluster: "c1", Seq: seq, Time: at, Kind: e.Kind().String(), Hash: hash("a"), Run: run, Event: e}
	}
	void := record(7, 0, &eventlog.AgentApproved{Agent: 3, By: "uid 0"})
	void.Void = "no such agent"
	for _, tt := range []struct {
		name   string
		record cloudevent.Record
		want   string
	}{
		{"a run", record(12, 4, &eventlog.RunEnded{Run: 4, Outcome: eventlog.Failed}),
			`{"specversion":"1.0","id":"12-aaaaaaaaaaaaaaaa","source":"quorate/c1/","type":"org.quorate.run_ended","time":"2026-01-02T03:04:05.000000006Z",` +
				`"subject":"run/4","datacontenttype":"application/json","sequence":"00000000000000000012","cursor":"v1:c1:12:` + hash("a")[:32] + `","data":{"outcome":"failed","run":4}}`},
		{"an agent, void", void,
			`{"specversion":"1.0","id":"7-aaaaaaaaaaaaaaaa","source":"quorate/c1/","type":"org.quorate.agent_approved","time":"2026-01-02T03:04:05.000000006Z",` +
				`"subject":"agent/3","datacontenttype":"application/json","sequence":"00000000000000000007","cursor":"v1:c1:7:` + hash("a")[:32] + `","voidreason":"no such agent","data":{"agent":3,"by":"uid 0","request_id":""}}`},
		{"a time, and none", record(9, 0, &eventlog.TokenCreated{Name: "n", ExpiresAt: at.UnixNano()}),
			`{"specversion":"1.0","id":"9-aaaaaaaaaaaaaaaa","source":"quorate/c1/","type":"org.quorate.token_created","time":"2026-01-02T03:04:05.000000006Z",` +
				`"datacontenttype":"application/json","sequence":"00000000000000000009","cursor":"v1:c1:9:` + hash("a")[:32] + `","data":{"auto_approve":false,"by":"","expires_at":"2026-01-02T03:04:05.000000006Z","labels":null,"name":"n","role":"","token_hash":"","until":0}}`},
	} {
		e, err := cloudevent.Of(tt.record)
		if err != nil {
			t.Fatal(err)
		}
		if got, _ := json.Marshal(e); string(got) != tt.want {
			t.Errorf("%s:\n%s, want\n%s", tt.name, got, tt.want)
		}
	}
}

// TestTimes: no field of any event that holds a time stays a number. Who adds a field of
// 64 bits with a sign has to say here what it is.
func TestTimes(t *testing.T) {
	notTimes := map[string]bool{"job_ended.duration": true, "damping_set.half_life": true}
	for _, kind := range eventlog.Kinds() {
		typ := eventType(t, kind)
		for i := range typ.NumField() {
			f := typ.Field(i)
			if f.Type.Kind() != reflect.Int64 {
				continue
			}
			name := f.Tag.Get("json")
			fields := map[string]any{name: json.Number("1700000000000000001")}
			cloudevent.RFC3339(kind.String(), fields)
			if text, ok := fields[name].(string); (ok && text == "2023-11-14T22:13:20.000000001Z") == notTimes[kind.String()+"."+name] {
				t.Errorf("%s.%s becomes %v", kind, name, fields[name])
			}
		}
	}
}

// eventType is the Go type of a kind's event, which decoding an event of zeroes tells.
func eventType(t *testing.T, kind eventlog.Kind) reflect.Type {
	t.Helper()
	for _, e := range []eventlog.Event{
		&eventlog.ClusterCreated{}, &eventlog.LeaderEstablished{}, &eventlog.TokenCreated{}, &eventlog.AgentEnrolled{}, &eventlog.AgentApproved{},
		&eventlog.AgentRevoked{}, &eventlog.AgentConnected{}, &eventlog.AgentDisconnected{}, &eventlog.AgentQuarantined{}, &eventlog.PlanRecorded{},
		&eventlog.RunCreated{}, &eventlog.RunCancelled{}, &eventlog.StepScheduled{}, &eventlog.JobEnded{}, &eventlog.AttemptEnded{}, &eventlog.TaskRecorded{},
		&eventlog.TaskSkipped{}, &eventlog.StepResolved{}, &eventlog.RunEnded{}, &eventlog.OperatorIssued{}, &eventlog.OrchestratorJoined{},
		&eventlog.OrchestratorMoved{}, &eventlog.OrchestratorRemoved{}, &eventlog.StateHashed{}, &eventlog.ClusterRecovered{}, &eventlog.AttemptBegan{},
		&eventlog.ValuesPublished{}, &eventlog.CheckpointSigned{}, &eventlog.DampingSet{}, &eventlog.AgentCalmed{},
		&eventlog.GatewayLost{}, &eventlog.AgentsSent{},
		&eventlog.AgentDrained{}, &eventlog.AgentUndrained{},
		&eventlog.AccessDenied{}, &eventlog.OperatorRevoked{},
	} {
		if e.Kind() == kind {
			return reflect.TypeOf(e).Elem()
		}
	}
	t.Fatalf("this test does not know the event of kind %s", kind)
	return nil
}

func TestCursor(t *testing.T) {
	c := cloudevent.Cursor{Cluster: "0123abcd", Seq: 41, Hash: hash("b")}
	again, err := cloudevent.ParseCursor(c.String())
	if err != nil || again.Seq != 41 || again.Cluster != "0123abcd" || !again.Is(hash("b")) || again.Is(hash("c")) {
		t.Errorf("%+v, %v", again, err)
	}
	short := hash("b")[:32]
	for _, text := range []string{
		"", "41", "v2:c:41:" + short, "v1:c:41:" + short[1:], "v1:c:41:" + strings.ToUpper(short), "v1::41:" + short, "v1:c:0:" + short,
		"v1:c:041:" + short, "v1:c:-1:" + short, "v1:c:41:" + short + ":", "v1:c:41:" + hash("b"), "v1:c:41:" + short[1:] + "%", fmt.Sprintf("v1:%s:41:%s", strings.Repeat("c", 65), short),
		"v1:c:99999999999999999999:" + short,
	} {
		if c, err := cloudevent.ParseCursor(text); !errors.Is(err, cloudevent.ErrCursor) {
			t.Errorf("%q is %+v, %v", text, c, err)
		}
	}
}

func FuzzParseCursor(f *testing.F) {
	f.Add("v1:c:41:" + hash("b")[:32])
	f.Add("v1:::")
	f.Fuzz(func(t *testing.T, text string) {
		c, err := cloudevent.ParseCursor(text)
		if err == nil && c.String() != text || err != nil && !errors.Is(err, cloudevent.ErrCursor) {
			t.Errorf("%q is %+v, %v", text, c, err)
		}
	})
}
