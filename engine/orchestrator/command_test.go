package orchestrator_test

import (
	"errors"
	"strings"
	"sync"
	"testing"
	"time"

	"quorate/engine"
	"quorate/engine/orchestrator"
	"quorate/eventlog"
	"quorate/internal/job"
	"quorate/planner"
)

// Many that propose and wait at once all get their own indexes, in order, and
// observers see every record once.
func TestConcurrentProposals(t *testing.T) {
	log := newElectable(t)
	log.elect(true)
	o := start(t, log, nil)
	until(t, o, "the epoch", func(s *engine.State) bool { return s.Epoch != 0 })
	var last uint64
	stop := o.Observe(func(s *engine.State, rec *eventlog.Record, event eventlog.Event, void string) {
		if rec.Index != last+1 || s.Index != rec.Index || event.Kind() != rec.Kind {
			t.Errorf("observed record %d after %d in the state of %d", rec.Index, last, s.Index)
		}
		last = rec.Index
	}, func(s *engine.State) { last = s.Index })
	const writers, each = 8, 50
	seen := make(map[uint64]bool)
	var mu sync.Mutex
	var wait sync.WaitGroup
	for range writers {
		wait.Go(func() {
			for range each {
				indexes, voids, err := o.Propose(t.Context(), &eventlog.AgentApproved{Agent: 99}, &eventlog.AgentApproved{Agent: 98})
				if err != nil || len(indexes) != 2 || indexes[1] != indexes[0]+1 || voids[0] == "" || voids[1] == "" {
					t.Errorf("proposal: %v %q %v", indexes, voids, err)
					return
				}
				folded, _ := o.Watch()
				mu.Lock()
				if seen[indexes[0]] || folded < indexes[1] {
					t.Errorf("index %d again, or not folded at %d", indexes[0], folded)
				}
				seen[indexes[0]] = true
				mu.Unlock()
			}
		})
	}
	wait.Wait()
	stop()
	if len(seen) != writers*each {
		t.Errorf("%d proposals, want %d", len(seen), writers*each)
	}
}

// Racing requests with one id make one run.
func TestOneRunPerRequest(t *testing.T) {
	log := newElectable(t)
	o := start(t, log, nil)
	first := runOf(t, o, "same")
	var planID string
	o.View(func(s *engine.State) { planID = s.Run(first).PlanID })
	var wait sync.WaitGroup
	for range 16 {
		wait.Go(func() {
			run, err := o.CreateRun(t.Context(), orchestrator.RunRequest{PlanID: planID, RequestID: "raced"})
			if err != nil || run != 2 {
				t.Errorf("run %d, %v", run, err)
			}
		})
	}
	wait.Wait()
	o.View(func(s *engine.State) {
		if len(s.Runs) != 2 {
			t.Errorf("%d runs", len(s.Runs))
		}
	})
}

func lookup(verb string) (*job.Declaration, bool) {
	switch verb {
	case "RUN":
		return &job.Declaration{Verb: verb, Executable: true}, true
	case "POD":
		return &job.Declaration{Verb: verb}, true
	}
	return nil, false
}

// Plans that agents could not carry out are refused before they are on record.
func TestPlansRefused(t *testing.T) {
	log := newElectable(t)
	o := start(t, log, lookup)
	absent := strings.Repeat("ab", 32)
	for name, tc := range map[string]struct {
		change func(*planner.Plan)
		want   string
	}{
		"a verb that cannot be run": {func(p *planner.Plan) { p.Tasks[0].Jobs[0].Spec.Verb = "POD" }, "svc-a job 1 (POD)"},
		"no verb":                   {func(p *planner.Plan) { p.Tasks[0].Jobs[0].Spec.Verb = "FROB" }, "FROB"},
		"a driver of others": {func(p *planner.Plan) {
			p.Tasks[0].Driver, p.Tasks[0].Jobs = planner.DriverAnsible, nil
		}, "ansible_runner"},
		"a file that is not here": {func(p *planner.Plan) {
			p.Tasks[0].Jobs[0].Spec.Files = []job.File{{Name: "f", Digest: absent}}
		}, "not uploaded: f (abababababab)"},
		"an input that is not here": {func(p *planner.Plan) {
			p.Inputs = []planner.Input{{Role: planner.RoleService, Name: "s.yaml", Digest: absent}}
		}, "not uploaded: s.yaml"},
		"jobs that are not counted from 0": {func(p *planner.Plan) { p.Tasks[0].Jobs[0].Spec.Index = 3 }, "has index 3"},
	} {
		t.Run(name, func(t *testing.T) {
			p := &planner.Plan{Format: planner.FormatVersion, PlannerVersion: "test", Hosts: []string{"n1"}, HostSets: [][]uint32{{0}}}
			p.Tasks = []planner.Task{{ID: "svc-a", Service: "svc", Name: "a", Driver: planner.DriverDirectord, Jobs: []planner.Job{
				{Spec: job.Job{Verb: "RUN", Text: "true", Fingerprint: strings.Repeat("0", 56)}},
			}}}
			tc.change(p)
			id, err := o.Blobs().PutBytes(p.Encode())
			if err != nil {
				t.Fatal(err)
			}
			err = o.RecordPlan(t.Context(), id, "test")
			var refused *orchestrator.Error
			if !errors.As(err, &refused) || refused.Code != orchestrator.Invalid || !strings.Contains(err.Error(), tc.want) {
				t.Errorf("recorded: %v, want a refusal with %q", err, tc.want)
			}
			o.View(func(s *engine.State) {
				if s.Plans[id] != nil {
					t.Error("the plan is on record")
				}
			})
		})
	}
	if head, _ := log.Head(); head != 0 {
		t.Errorf("%d records were written", head)
	}
}

// Tokens are checked before they are made, and kept as hashes.
func TestTokens(t *testing.T) {
	o := start(t, newElectable(t), nil)
	for name, req := range map[string]orchestrator.TokenRequest{
		"a role": {Role: "root"}, "an operator": {Role: "operator"},
		"a name": {Name: "../etc"}, "a label": {Labels: []string{"a b"}},
		"a life": {TTL: 365 * 24 * time.Hour}, "a past": {TTL: -time.Second},
	} {
		if _, _, err := o.CreateToken(t.Context(), req); err == nil {
			t.Errorf("%s was accepted", name)
		}
	}
	token, expires, err := o.CreateToken(t.Context(), orchestrator.TokenRequest{Name: "n1", Labels: []string{"edge"}})
	if err != nil || time.Until(expires) > time.Hour {
		t.Fatalf("token until %s, %v", expires, err)
	}
	o.View(func(s *engine.State) {
		for hash, kept := range s.Tokens {
			if strings.Contains(token, hash) || kept.Name != "n1" {
				t.Errorf("kept %+v", kept)
			}
		}
	})
}

// A run that could not go on is refused before it is on record, and the operator
// is told what to enrol: a controller is found by its label, a host by its name.
func TestRunsRefusedWithoutAgents(t *testing.T) {
	o := start(t, newElectable(t), lookup)
	run := []planner.Job{{Spec: job.Job{Verb: "RUN", Text: "true", Fingerprint: strings.Repeat("0", 56)}}}
	for driver, want := range map[planner.Driver][2]string{
		planner.DriverDirectord: {"1 host without an approved agent: n1", `enrol each with "quorate token create --name HOST"`},
		planner.DriverLocal:     {"1 host without an approved agent: controller", "--label controller"},
	} {
		p := &planner.Plan{Format: planner.FormatVersion, PlannerVersion: "test", Hosts: []string{"n1"}, HostSets: [][]uint32{{0}}}
		p.Tasks = []planner.Task{{ID: "svc-a", Service: "svc", Name: "a", Driver: driver, Jobs: run}}
		id, err := o.Blobs().PutBytes(p.Encode())
		if err != nil {
			t.Fatal(err)
		}
		if err := o.RecordPlan(t.Context(), id, "test"); err != nil {
			t.Fatal(err)
		}
		_, err = o.CreateRun(t.Context(), orchestrator.RunRequest{PlanID: id, RequestID: string(driver)})
		refused := new(orchestrator.Error)
		if !errors.As(err, &refused) || refused.Code != orchestrator.Conflict || refused.Message != want[0] || !strings.Contains(refused.Hint, want[1]) {
			t.Errorf("%s: %v (hint %q), want %q", driver, err, refused.Hint, want)
		}
	}
	o.View(func(s *engine.State) {
		if len(s.Runs) != 0 {
			t.Errorf("%d runs are on record", len(s.Runs))
		}
	})
}
