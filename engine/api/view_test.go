package api

import (
	"testing"

	"quorate/engine"
	"quorate/eventlog"
	"quorate/planner"
)

// TestShipped: a step that waits for another host's at its agent is shown as shipped,
// with what it waits for, until its turn has come or something of it is known to be done.
func TestShipped(t *testing.T) {
	t.Parallel()
	s := engine.NewState()
	add := func(e eventlog.Event) uint64 {
		t.Helper()
		entry, err := eventlog.NewEntry(int64(s.Index)+1, e)
		if err != nil {
			t.Fatal(err)
		}
		if void, err := s.Fold(eventlog.Record{Index: s.Index + 1, Time: entry.Time, Kind: entry.Kind, Data: entry.Data}); err != nil || void != "" {
			t.Fatalf("%T: %v %s", e, err, void)
		}
		return s.Index
	}
	enrol := func(name, role string) uint64 {
		add(&eventlog.TokenCreated{TokenHash: name, Name: name, Role: role})
		return add(&eventlog.AgentEnrolled{TokenHash: name, Name: name, KeyDigest: name, JournalID: name})
	}
	add(&eventlog.ClusterCreated{ClusterID: "c"})
	add(&eventlog.LeaderEstablished{Replica: 1})
	relay := enrol("relay", engine.RelayRole)
	p := &eventlog.PlanRecorded{PlanID: "p"}
	for i, host := range []string{"h0", "h1"} {
		add(&eventlog.AgentConnected{Agent: enrol(host, "agent"), Session: host, JournalID: host, Relay: relay})
		p.Hosts = append(p.Hosts, host)
		p.HostSets = append(p.HostSets, []uint32{uint32(i)})
		p.Tasks = append(p.Tasks, eventlog.PlanTask{ID: "t" + host, Driver: string(planner.DriverDirectord), HostSet: uint32(i), Jobs: 1})
	}
	p.Tasks[1].Requires = []eventlog.PlanDep{{Task: 0, Scope: uint8(planner.ScopeAll)}}
	add(p)
	add(&eventlog.RunCreated{PlanID: "p", AheadMax: 8})
	for _, e := range s.Decide() {
		add(e)
	}
	second := func() Step { return RunView(s, s.Runs[0], true).Tasks[1].Steps[0] }
	if st := second(); st.Status != "shipped" || st.Reason != "waits for th0@h0" {
		t.Errorf("it is %s: %s", st.Status, st.Reason)
	}
	add(&eventlog.JobEnded{Attempt: second().Attempt, Outcome: eventlog.Succeeded})
	if st := second(); st.Status != "running" || st.Reason != "" {
		t.Errorf("a job of it has ended, and it is %s: %s", st.Status, st.Reason)
	}
}
