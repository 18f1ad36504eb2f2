package api

import (
	"encoding/json"
	"strings"
	"testing"
	"time"
)

// TestLineKeepsNanoseconds: a number of an event leaves the client as it came.
func TestLineKeepsNanoseconds(t *testing.T) {
	const nanos = "1795327240455790075" // not a float64
	e, err := decodeLine[LogEvent]([]byte(`{"seq":7,"kind":"token_created","event":{"expires_at":` + nanos + `}}`))
	if err != nil {
		t.Fatal(err)
	}
	again, err := json.Marshal(e)
	if err != nil {
		t.Fatal(err)
	}
	if e.Seq != 7 || !strings.Contains(string(again), nanos) {
		t.Errorf("became %s", again)
	}
}

// TestLiveRunLasts: a run under way has lasted until now, whatever the newest
// record says; one that ended has not.
func TestLiveRunLasts(t *testing.T) {
	created := time.Unix(1000, 0)
	ended := created.Add(time.Second)
	running := Run{CreatedAt: created, ElapsedMS: 5}
	over := Run{CreatedAt: created, ElapsedMS: 1000, EndedAt: &ended}
	running.live(created.Add(time.Minute))
	over.live(created.Add(time.Minute))
	if running.ElapsedMS != 60_000 || over.ElapsedMS != 1000 {
		t.Errorf("elapsed %d and %d ms, want 60000 and 1000", running.ElapsedMS, over.ElapsedMS)
	}
}
