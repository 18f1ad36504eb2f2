package nodeagent

import (
	"testing"
	"testing/synctest"
	"time"
)

// TestHoming: an agent tries its relay at once when that answers, and every few seconds
// however long that takes; where it is no sooner home than it has to go again, more and
// more rarely, until a relay has done for a while.
func TestHoming(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		a := &agent{homing: newHoming()}
		waits := func(most time.Duration) {
			t.Helper()
			began := time.Now()
			if !a.awaitHome(t.Context()) {
				t.Fatal("it has given up")
			}
			if took := time.Since(began); took > most {
				t.Errorf("it waited %v, want %v at most", took, most)
			}
		}
		a.homing.strayed(time.Now())
		for range 100 {
			waits(homeEvery * 3 / 2)
		}
		a.relayBack()
		waits(homeSpread)
		for _, want := range []time.Duration{2 * homeEvery, 4 * homeEvery, 8 * homeEvery, 16 * homeEvery, homeMax, homeMax} {
			a.homing.went = time.Now()
			<-time.After(homeSteady / 2)
			a.homing.strayed(time.Now())
			a.homing.strayed(time.Now()) // from one orchestrator to another
			if a.homing.pause != want {
				t.Errorf("behind a relay that does not last it pauses for %v, want %v", a.homing.pause, want)
			}
		}
		a.relayBack()
		began := time.Now()
		a.awaitHome(t.Context())
		if took := time.Since(began); took < homeMax/2 {
			t.Errorf("a relay that comes and goes is tried after %v", took)
		}
		a.homing.went = time.Now()
		<-time.After(homeSteady)
		a.homing.strayed(time.Now())
		waits(homeSpread) // the token is still there
	})
}
