package engine

import (
	"reflect"
	"testing"
	"unsafe"

	"quorate/eventlog"
)

// full returns a state in which every kind of thing is there.
func full(t *testing.T) *State {
	l := newLab(t)
	l.agent("h0")
	l.agent("h1", "controller", "x")
	p := plan(2, eventlog.PlanTask{Jobs: 2, JobHostSets: []uint32{0, 2}, Messages: []string{"m"}},
		eventlog.PlanTask{Requires: sameHost(0)}, eventlog.PlanTask{Requires: all(0)}, eventlog.PlanTask{Requires: after(0)},
		eventlog.PlanTask{Driver: "print", Messages: []string{"m"}}, eventlog.PlanTask{}, eventlog.PlanTask{Driver: "noop"})
	p.Inputs = []eventlog.PlanInput{{Role: "service", Name: "a", Digest: "d"}}
	r := l.run(p, func(e *eventlog.RunCreated) { e.RequestID, e.StepsPerHostMax = "r", 1 })
	for _, e := range l.s.Decide() {
		l.ok(e)
	}
	l.ok(&eventlog.JobEnded{Attempt: l.attempt(r, 0, 0).ID, Outcome: eventlog.Failed})
	l.end(r, 0, 0, eventlog.Failed)
	r2 := l.run(p)
	l.ok(&eventlog.RunCancelled{Run: r2.ID, Reason: "no"})
	l.ok(&eventlog.OperatorIssued{Name: "ann", KeyDigest: "k"})
	l.ok(&eventlog.OperatorRevoked{Name: "ann", By: "local:root", Reason: "lost"})
	l.ok(&eventlog.OperatorIssued{Name: "ann", KeyDigest: "k2", ExpiresAt: 1 << 60})
	l.ok(&eventlog.OperatorIssued{Name: "ann", KeyDigest: "k3", ExpiresAt: 1 << 60})
	l.ok(&eventlog.OrchestratorJoined{Replica: 1, Name: "o1"})
	l.join(2)
	l.say(1, 3, "c", "v:s")
	l.ok(&eventlog.OrchestratorRemoved{Replica: 2, RequestID: "gone"})
	for _, e := range l.s.Decide() {
		l.ok(e)
	}
	open := l.s.AgentByName("h1").Open
	l.ok(&eventlog.AttemptBegan{Attempt: open[len(open)-1], Seq: 1})
	l.ok(&eventlog.ValuesPublished{Attempt: open[len(open)-1], Values: []eventlog.PublishedValue{{Key: "k", Value: []byte("v")}}, Waits: true, Seq: 2})
	l.ok(&eventlog.CheckpointSigned{Size: 3, Note: []byte("n")})
	l.ok(&eventlog.DampingSet{Work: WorkLast, HalfLife: HalfLifeMin, Threshold: 7, By: "ann"})
	for _, name := range []string{"h0", "h1"} { // whichever is visited first
		a := l.s.AgentByName(name)
		l.ok(&eventlog.AgentConnected{Agent: a.ID, Session: "s", JournalID: a.JournalID, JournalSeq: a.JournalSeq, Gateway: 1, Address: "a", Came: eventlog.ByItself})
	}
	l.ok(&eventlog.AgentDisconnected{Agent: l.s.AgentByName("h0").ID, Session: "s", Reason: "gone"})
	l.s.Recoveries = []Recovery{{Index: 1, Generation: 1}}
	l.s.trimAt = 1
	l.s.Runs[0].Tasks[0].outputs = &outputs{of: []output{{told: true, value: [16]byte{1}}, {}}}
	l.s.Runs[0].deriveOutputs()
	l.s.Head[0], l.s.voided[0] = 1, 1
	return l.s
}

// TestHashCoversEverything changes every number, text and flag of a state, one
// at a time, and expects another hash each time.
func TestHashCoversEverything(t *testing.T) {
	t.Parallel()
	s := full(t)
	want := s.Hash()
	if full(t).Hash() != want {
		t.Fatal("equal states have different hashes")
	}
	n := 0
	seen := map[string]bool{}
	walk(reflect.ValueOf(s).Elem(), "State", seen, func(path string) {
		n++
		if s.Hash() == want {
			t.Errorf("the hash does not cover %s", path)
		}
	})
	if s.Hash() != want {
		t.Error("the test left the state changed")
	}
	if n < 150 {
		t.Errorf("only %d values were changed", n)
	}
	for _, path := range []string{
		"State.members[].OrchestratorMoved.RaftAddress", "State.members[].hashes[].Chain", "State.Agents[].begun[]", "State.voided[]",
		"State.Agents[].values[].Task", "State.changes[].key", "State.trimAt", "State.Checkpoint.Note[]", "State.Recoveries[].Generation",
		"State.Runs[].Tasks[].outputs.of[].value[]", "State.Runs[].Tasks[].outputs.of[].told", "State.Plans[].PlanRecorded.Tasks[].Narrowed",
		"State.Operators[].Earlier[].KeyDigest", "State.Operators[].Revocation.Time",
	} {
		if !seen[path] {
			t.Errorf("no %s was there to be changed", path)
		}
	}
}

// derived is what newGraph makes of the rest of a graph, what the newest of packed
// results is, and what State.derive finds.
var derived = map[string]bool{
	"Dependents": true, "needs": true, "out": true, "steps": true, "used": true, "local": true, "fault": true,
	"relays": true, "elsewhere": true, "openBytes": true, "crowded": true, "tight": true, "deals": true, "dealt": true, "holders": true, "rest": true, "open": true, "aheadMax": true,
	"tells": true, "barren": true, "known": true, "sum": true, "lastJob": true, "lastIndex": true, "_msgpack": true,
}

// walk changes each scalar in turn, calls check, and changes it back. Of equal
// places, such as the elements of a list, it visits the first.
func walk(v reflect.Value, path string, seen map[string]bool, check func(string)) {
	v = reflect.NewAt(v.Type(), unsafe.Pointer(v.UnsafeAddr())).Elem()
	change := func(to any) {
		if seen[path] {
			return
		}
		seen[path] = true
		old := reflect.New(v.Type()).Elem()
		old.Set(v)
		v.Set(reflect.ValueOf(to).Convert(v.Type()))
		check(path)
		v.Set(old)
	}
	switch v.Kind() {
	case reflect.Struct:
		for i := range v.NumField() {
			f := v.Type().Field(i)
			if !derived[f.Name] {
				walk(v.Field(i), path+"."+f.Name, seen, check)
			}
		}
	case reflect.Pointer:
		// Runs point to their plan, which has its own place, and keeps it.
		if v.IsNil() || v.Type() == reflect.TypeFor[*Graph]() {
			return
		}
		walk(v.Elem(), path, seen, check)
	case reflect.Slice, reflect.Array:
		for i := range v.Len() {
			walk(v.Index(i), path+"[]", seen, check)
		}
	case reflect.Map:
		for it := v.MapRange(); it.Next(); {
			if e := it.Value(); e.Kind() == reflect.Pointer {
				walk(e.Elem(), path+"[]", seen, check)
				continue
			}
			old := it.Value().Uint()
			v.SetMapIndex(it.Key(), reflect.ValueOf(old+1))
			check(path + "[]")
			v.SetMapIndex(it.Key(), reflect.ValueOf(old))
		}
	case reflect.String:
		change(v.String() + "x")
	case reflect.Bool:
		change(!v.Bool())
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64:
		change(v.Int() + 1)
	default:
		change(v.Uint() + 1)
	}
}
