package engine

import (
	"bytes"
	"encoding/hex"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"quorate/eventlog"
	"quorate/planner"
)

const storedLogs = "testdata/logs"

// TestStoredLogs folds logs that earlier versions wrote: each means what it meant
// then, record by record. Files are added, by -update where the newest is
// missing, and never changed.
func TestStoredLogs(t *testing.T) {
	t.Parallel()
	for name, story := range map[string]func(*testing.T) *lab{"cluster": clusterStory, "everything": everythingStory, "damping": dampingStory} {
		path := filepath.Join(storedLogs, name+".log")
		if _, err := os.Stat(path); err != nil && *updateFlag {
			storeLog(t, path, story(t))
		}
	}
	for path, text := range storedLogsText(t) {
		want, err := os.ReadFile(strings.TrimSuffix(path, ".log") + ".want")
		if err != nil {
			t.Fatal(err)
		}
		if got := retold(t, readLog(t, text)); got != string(want) {
			t.Errorf("%s means something else now:\n%s\nwant:\n%s", path, got, want)
		}
	}
}

// TestStoredStates reads states that earlier versions wrote behind the stored logs.
// One of this encoding is what the log folds to: where the fold makes something else of
// records that are written already, raise encodingVersion, so that nobody goes on from
// a snapshot that another fold made, and let -update add a file of the new version.
func TestStoredStates(t *testing.T) {
	t.Parallel()
	for path, text := range storedLogsText(t) {
		s := NewState()
		for _, rec := range readLog(t, text) {
			if _, err := s.Fold(rec); err != nil {
				t.Fatal(err)
			}
		}
		stem := strings.TrimSuffix(path, ".log")
		own := fmt.Sprintf("%s.v%d.state", stem, encodingVersion)
		if _, err := os.Stat(own); err != nil && *updateFlag {
			if err := os.WriteFile(own, encoded(t, s), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		states, err := filepath.Glob(stem + ".v*.state")
		if err != nil || !slices.Contains(states, own) {
			t.Fatalf("%s is not there: %v, %v", own, states, err)
		}
		for _, path := range states {
			data, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			stored, err := DecodeState(bytes.NewReader(data))
			if err != nil {
				t.Fatalf("%s: %v", path, err)
			}
			if !stored.EncodedAs(data) {
				t.Errorf("%s is not taken for what its version encodes: what of it was proven is no more", path)
			}
			if stored.Index != s.Index || stored.ClusterID != s.ClusterID {
				t.Errorf("%s is of record %d of %s", path, stored.Index, stored.ClusterID)
			}
			if path == own && stored.Hash() != s.Hash() {
				t.Errorf("%s is not what the log folds to now: raise encodingVersion", path)
			}
		}
	}
}

// storedLogsText returns the stored logs by their paths.
func storedLogsText(t *testing.T) map[string]string {
	t.Helper()
	logs, err := filepath.Glob(filepath.Join(storedLogs, "*.log"))
	if err != nil || len(logs) == 0 {
		t.Fatal("no stored logs", err)
	}
	all := map[string]string{}
	for _, path := range logs {
		text, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		all[path] = string(text)
	}
	return all
}

// readLog reads lines of index, time, kind and data.
func readLog(t *testing.T, text string) (records []eventlog.Record) {
	t.Helper()
	for line := range strings.Lines(text) {
		var rec eventlog.Record
		var data string
		if _, err := fmt.Sscan(line, &rec.Index, &rec.Time, &rec.Kind, &data); err != nil {
			t.Fatalf("%q: %v", line, err)
		}
		var err error
		if rec.Data, err = hex.DecodeString(data); err != nil {
			t.Fatal(err)
		}
		records = append(records, rec)
	}
	return records
}

// retold is what the records amount to, in words.
func retold(t *testing.T, records []eventlog.Record) string {
	t.Helper()
	var b strings.Builder
	s := NewState()
	for _, rec := range records {
		void, err := s.Fold(rec)
		if err != nil {
			t.Fatal(err)
		}
		if void != "" {
			fmt.Fprintf(&b, "void %d\n", rec.Index)
		}
	}
	fmt.Fprintf(&b, "cluster %s epoch %d leader %d members %v former %v\n", s.ClusterID, s.Epoch, s.Leader, s.Members(), s.FormerMembers())
	for _, id := range slices.Sorted(maps.Keys(s.Agents)) {
		a := s.Agents[id]
		fmt.Fprintf(&b, "agent %d %s report %d gateway %d connected %v quarantined %q open %v\n", id, a.Name, a.JournalSeq, a.Gateway, a.Connected, a.Quarantined, a.Open)
	}
	for _, r := range s.Runs {
		fmt.Fprintf(&b, "run %d %s\n", r.ID, r.Status())
		for i := range r.Tasks {
			fmt.Fprintf(&b, "  %s %s", r.Graph.Tasks[i].ID, r.Tasks[i].Status)
			for pos := range r.Graph.StepCount(uint32(i)) {
				st := r.Step(uint32(i), pos)
				fmt.Fprintf(&b, " [%s attempt %d of %d]", st.Status, st.Attempt, st.Attempts)
			}
			b.WriteByte('\n')
		}
	}
	return b.String()
}

// clusterStory is a log with what befalls runs, agents and orchestrators.
func clusterStory(t *testing.T) *lab {
	t.Helper()
	l := cluster(t, 3)
	l.agent("h0")
	l.agent("h1", ControllerLabel)
	for i, a := range []*Agent{l.s.AgentByName("h0"), l.s.AgentByName("h1")} {
		l.ok(&eventlog.AgentConnected{Agent: a.ID, Session: "s", JournalID: a.JournalID, Gateway: uint64(i) + 2})
	}
	p := plan(2, eventlog.PlanTask{Jobs: 2}, eventlog.PlanTask{Requires: sameHost(0)}, eventlog.PlanTask{Requires: all(1)},
		eventlog.PlanTask{Driver: string(planner.DriverPrint), Messages: []string{"m"}}, eventlog.PlanTask{Driver: string(planner.DriverLocal), Requires: all(3)})
	r := l.run(p)
	l.decide()
	first := l.attempt(r, 0, 0).ID
	l.ok(&eventlog.AttemptBegan{Attempt: first, Seq: 1})
	l.ok(&eventlog.JobEnded{Attempt: first, Outcome: eventlog.Succeeded, Seq: 2})
	l.ok(&eventlog.AttemptEnded{Attempt: first, Outcome: eventlog.Unknown, Seq: 3})
	l.ok(&eventlog.LeaderEstablished{Replica: 2})
	l.void(&eventlog.StepScheduled{Run: 1, Task: 1, Host: 0, Agent: l.s.AgentByName("h0").ID, Epoch: 2})
	l.ok(&eventlog.OrchestratorRemoved{Replica: 3, By: "ann"})
	l.ok(&eventlog.StepResolved{Attempt: first, As: "retry", Reason: "looked", By: "ann"})
	l.decide()
	l.end(r, 0, 0, eventlog.Succeeded)
	l.end(r, 0, 1, eventlog.Failed)
	l.end(r, 4, 0, eventlog.Succeeded)
	l.decide()
	l.end(r, 1, 0, eventlog.Succeeded)
	l.decide()
	l.run(p)
	l.decide()
	l.ok(&eventlog.RunCancelled{Run: 2, Reason: "no"})
	l.ok(&eventlog.AgentQuarantined{Agent: l.s.AgentByName("h0").ID, Reason: "an old journal"})
	l.decide()
	l.say(1, 5, "c", "v:s")
	l.ok(&eventlog.ClusterRecovered{Replica: 4, Source: "backup", At: l.s.Index})
	return l
}

// everythingStory goes on with each kind of event, in effect at least once.
func everythingStory(t *testing.T) *lab {
	t.Helper()
	l := clusterStory(t)
	h1 := l.s.AgentByName("h1")
	l.ok(&eventlog.OrchestratorMoved{Replica: 4, Name: "d", RaftAddress: "d:7"})
	l.ok(&eventlog.LeaderEstablished{Replica: 4, Version: "v"})
	l.ok(&eventlog.AgentConnected{Agent: h1.ID, Session: "s4", JournalID: h1.JournalID, Gateway: 4, Attempts: h1.Open})
	for _, id := range slices.Clone(h1.Open) {
		l.ok(&eventlog.AttemptEnded{Attempt: id, Outcome: eventlog.Cancelled, Reason: "told"})
	}
	l.decide()
	l.ok(&eventlog.OperatorIssued{Name: "ann", KeyDigest: "k", By: "bob", ExpiresAt: 1 << 40})
	l.ok(&eventlog.TokenCreated{TokenHash: "any", Role: "agent", Labels: []string{"edge"}, By: "ann", Until: 1 << 40, ExpiresAt: 1 << 40})
	h2 := l.ok(&eventlog.AgentEnrolled{TokenHash: "any", Name: "h2", KeyDigest: "k2", JournalID: "j2", Hostname: "h2.example"})
	l.ok(&eventlog.AgentApproved{Agent: h2, By: "ann", RequestID: "approve"})
	l.ok(&eventlog.AgentConnected{Agent: h2, Session: "s2", JournalID: "j2", Gateway: 4, Version: "v", BootID: "b", Address: "a"})
	p := plan(3, eventlog.PlanTask{HostSet: 4, Jobs: 3}, eventlog.PlanTask{HostSet: 4, Requires: all(0), Idempotent: true})
	p.PlanID, p.Inputs = "other", []eventlog.PlanInput{{Role: "service", Name: "a.yaml", Digest: "d"}}
	r := l.run(p, func(e *eventlog.RunCreated) { e.RequestID, e.By, e.StepsMax = "create", "ann", 4 })
	l.decide()
	id := l.attempt(r, 0, 0).ID
	l.ok(&eventlog.AttemptBegan{Attempt: id, Seq: 1, Connection: l.s.Agents[h2].Connection})
	l.ok(&eventlog.JobEnded{Attempt: id, Outcome: eventlog.Succeeded, Changed: true, Exit: 0, Duration: 5, Stdout: eventlog.Output{Head: []byte("x"), Size: 1}, Seq: 2})
	l.ok(&eventlog.ValuesPublished{Attempt: id, Job: 1, Values: []eventlog.PublishedValue{{Key: "k", Value: []byte("s\x01v")}, {Key: "gone", Absent: true}}, Waits: true, Seq: 3})
	l.ok(&eventlog.JobEnded{Attempt: id, Job: 1, Outcome: eventlog.Failed, Exit: -7, Seq: 4})
	l.ok(&eventlog.AgentDisconnected{Agent: h2, Session: "s2", Reason: "gone"})
	l.ok(&eventlog.CheckpointSigned{Size: l.s.Index, Note: []byte("a note")})
	l.ok(&eventlog.ClusterRecovered{Replica: 5, Source: "member", At: l.s.Index, Generation: 7})
	l.ok(&eventlog.AgentRevoked{Agent: h1.ID, By: "ann", Reason: "sold", RequestID: "revoke"})
	l.void(&eventlog.AgentRevoked{Agent: h1.ID, By: "ann", Reason: "sold", RequestID: "revoke"})
	took := map[eventlog.Kind]bool{}
	s := NewState()
	for _, rec := range l.recs {
		void, err := s.Fold(rec)
		if err != nil {
			t.Fatal(err)
		}
		took[rec.Kind] = took[rec.Kind] || void == ""
	}
	for _, kind := range eventlog.Kinds() {
		if !took[kind] {
			t.Errorf("the log has no %s in effect", kind)
		}
	}
	return l
}

// storeLog writes a log, and what it means.
func storeLog(t *testing.T, path string, l *lab) {
	t.Helper()
	var b strings.Builder
	for _, rec := range l.recs {
		fmt.Fprintf(&b, "%d %d %d %x\n", rec.Index, rec.Time, rec.Kind, rec.Data)
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	for name, text := range map[string]string{path: b.String(), strings.TrimSuffix(path, ".log") + ".want": retold(t, l.recs)} {
		if err := os.WriteFile(name, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
}
