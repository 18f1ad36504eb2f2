package main

import (
	"encoding/json"
	"os"
	"strings"
	"testing"
	"time"

	"quorate/eventlog"
	"quorate/eventlog/cloudevent"
)

// TestCloudEventSchema holds the schema against what is written, and against what is not.
func TestCloudEventSchema(t *testing.T) {
	text, err := os.ReadFile("cloudevent.json")
	if err != nil {
		t.Fatal(err)
	}
	schema := compile(t, compiler(t, "cloudevent.json", text), "cloudevent.json")
	record := cloudevent.Record{Cluster: "0123456789abcdef0123456789abcdef", Time: time.Unix(0, 1_700_000_000_000_000_001), Hash: strings.Repeat("0a", 32)}
	var written []string
	for i, kind := range eventlog.Kinds() {
		r := record
		r.Seq, r.Kind, r.Run, r.Event = uint64(i)+1, kind.String(), uint64(i%2), map[string]any{"agent": i, "started_at": 1_700_000_000_000_000_001}
		if i%3 == 0 {
			r.Void = "no such agent"
		}
		e, err := cloudevent.Of(r)
		if err != nil {
			t.Fatal(err)
		}
		line, err := json.Marshal(e)
		if err != nil {
			t.Fatal(err)
		}
		if err := check(schema, string(line)); err != nil {
			t.Errorf("%s: %v", line, err)
		}
		written = append(written, string(line))
	}
	for _, change := range [][2]string{
		{`"specversion":"1.0"`, `"specversion":"0.3"`}, {`"type":"org.quorate.`, `"type":"`}, {`"id":"1-`, `"id":"`}, {`"source":"quorate/`, `"source":"`},
		{`"time":"2023-11-14T22:13:20.000000001Z"`, `"time":1700000000000000001`}, {`"sequence":"0000`, `"sequence":"`}, {`"cursor":"v1:`, `"cursor":"`},
		{`"datacontenttype":"application/json",`, ``}, {`"data":{`, `"more":1,"data":{`}, {`"voidreason":"no such agent"`, `"voidreason":""`},
	} {
		if text := strings.Replace(written[0], change[0], change[1], 1); text == written[0] || check(schema, text) == nil {
			t.Errorf("with %s in place of %s it is valid: %s", change[1], change[0], text)
		}
	}
}
