package gateway_test

import (
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"quorate/engine"
	"quorate/engine/gateway"
	"quorate/engine/gateway/gatewaytest"
	"quorate/eventlog"
	"quorate/nodeagent/verb"
)

// briefly is a cut that ends with the relay's welcome elsewhere, so that its gateway reads
// of that in the log before the relay tells.
const briefly = "the gateway was cut off"

// TestAgentsFollowTheirRelay: a relay whose gateway sends it away goes before its agents,
// and they follow it without having lost a connection: each is welcomed at the next
// gateway before it leaves the old one, and what runs goes on.
func TestAgentsFollowTheirRelay(t *testing.T) {
	t.Parallel()
	for what, part := range map[string]func(r *gatewaytest.Rig, stopped *sync.WaitGroup){
		"the gateway stops":      func(r *gatewaytest.Rig, stopped *sync.WaitGroup) { stopped.Go(r.Stop) },
		"the gateway is cut off": func(r *gatewaytest.Rig, _ *sync.WaitGroup) { r.Cut(true) },
		briefly:                  func(r *gatewaytest.Rig, _ *sync.WaitGroup) { r.Cut(true) },
	} {
		t.Run(what, func(t *testing.T) {
			t.Parallel()
			rigs := gatewaytest.Cluster(t, 2, gatewaytest.Options{
				Verbs: verb.Lookup, Limits: gateway.Limits{MajorityEvery: 200 * time.Millisecond},
			})
			relay := startRelay(t, rigs[1], "site1", 0)
			names, dirs := []string{}, []string{}
			for i := range 3 {
				names = append(names, fmt.Sprint("n", i))
				dirs = append(dirs, startBehind(t, rigs[1], names[i], relay.address))
			}
			at := func(gateway uint64) func(*engine.State) bool {
				return func(s *engine.State) bool {
					for _, name := range names {
						if !behind(s, name, "site1") || s.AgentByName(name).Gateway != gateway {
							return false
						}
					}
					return true
				}
			}
			rigs[0].Until(t, "the agents behind the relay", at(2))
			plan := rigs[0].Plan(t, names, gatewaytest.Task{ID: "svc-a", Jobs: 1})
			plan.Tasks[0].Jobs[0].Spec.Text = "echo x >>effects; until test -e gate; do sleep 0.05; done; test $(wc -l <effects) = 1"
			gatewaytest.Must(rigs[0].O.Blobs().PutBytes(plan.Encode()))
			run := rigs[0].Run(t, plan)
			rigs[0].Until(t, "all attempts begun", func(s *engine.State) bool {
				begun := 0
				for _, a := range s.Attempts {
					if a.Began {
						begun++
					}
				}
				return begun == len(names)
			})
			var lost, unasked []string
			stop := rigs[0].O.Observe(func(s *engine.State, _ *eventlog.Record, event eventlog.Event, void string) {
				for _, name := range names {
					if !s.AgentByName(name).Connected {
						lost = append(lost, name)
					}
				}
				e, ok := event.(*eventlog.AgentConnected)
				if !ok || void != "" {
					return
				}
				if e.Came != eventlog.Asked {
					unasked = append(unasked, s.Agent(e.Agent).Name)
				}
				if what == briefly && s.Agent(e.Agent).Relay {
					rigs[1].Cut(false)
				}
			}, nil)
			var stopped sync.WaitGroup
			defer stopped.Wait()
			part(rigs[1], &stopped)
			rigs[0].Until(t, "the agents at the other gateway", at(1))
			stop()
			rigs[0].O.View(func(s *engine.State) {
				if len(lost)+len(unasked) > 0 {
					t.Errorf("%q were without a connection, and %q were not asked to go", lost, unasked)
				}
				for _, name := range names {
					if a := s.AgentByName(name); a.Flaps != 0 {
						t.Errorf("%s: %+v", name, a.Steadiness)
					}
				}
			})
			for _, dir := range dirs {
				if err := os.WriteFile(filepath.Join(dir, "gate"), nil, 0o600); err != nil {
					t.Fatal(err)
				}
			}
			if status := rigs[0].UntilEnded(t, run); status != "succeeded" {
				t.Errorf("run is %s", status)
			}
		})
	}
}
