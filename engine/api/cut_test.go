package api

import (
	"context"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"quorate/engine/denial"
)

// A request under way ends with its identity, by the clock or by the time that has gone
// by, whichever is first, and not while the clock only looked wrong between two looks.
func TestIdentityEndsUnderWay(t *testing.T) {
	for _, tt := range []struct {
		name  string
		jumps map[time.Duration]time.Duration // how far the clock is off from when on
		ends  time.Duration
	}{
		{"the clock is right", nil, time.Hour},
		{"it jumps behind the end", map[time.Duration]time.Duration{10*time.Minute + lookEvery/2: 365 * 24 * time.Hour}, 10*time.Minute + lookEvery},
		{"it jumps, but not so far", map[time.Duration]time.Duration{10*time.Minute + lookEvery/2: 20 * time.Minute}, 40*time.Minute + lookEvery},
		{"it is set back", map[time.Duration]time.Duration{10 * time.Minute: -365 * 24 * time.Hour}, time.Hour},
		{"it jumps forth and back", map[time.Duration]time.Duration{10*time.Minute + lookEvery/4: 365 * 24 * time.Hour, 10*time.Minute + lookEvery/2: 0}, time.Hour},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				begin := time.Now()
				var off atomic.Int64
				u := &underWay{now: func() time.Time { return time.Now().Add(time.Duration(off.Load())) }}
				for at, by := range tt.jumps {
					time.AfterFunc(at, func() { off.Store(int64(by)) })
				}
				identity := caller{role: operator, operator: "alice", until: begin.Add(time.Hour)}
				ctx, done := u.admit(t.Context(), identity)
				identity.until = begin.Add(365 * 24 * time.Hour * 10)
				other, otherDone := u.admit(t.Context(), identity)
				<-ctx.Done()
				if got := time.Since(begin); got != tt.ends || cutOff(ctx) != denial.Expired {
					t.Errorf("ended after %s: %v", got, context.Cause(ctx))
				}
				done()
				if other.Err() != nil {
					t.Error("one that is in force was cut off")
				}
				otherDone()
				<-time.After(lookEvery)
				synctest.Wait()
				if u.looking {
					t.Error("the clock is looked at for nobody")
				}
			})
		})
	}
}
