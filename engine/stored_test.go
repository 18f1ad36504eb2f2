package engine

import (
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
	newest := filepath.Join(storedLogs, "cluster.log")
	if _, err := os.Stat(newest); err != nil && *updateFlag {
		storeLog(t, newest)
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

// storeLog writes a log with something of everything.
func storeLog(t *testing.T, path string) {
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
