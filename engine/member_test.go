package engine

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"quorate/eventlog"
)

// cluster returns a lab with so many members, 1 being the founder.
func cluster(t reporter, members int) *lab {
	l := newLab(t)
	l.ok(&eventlog.OrchestratorJoined{Replica: 1, Name: "o1", RaftAddress: "o1:7", AgentAddress: "o1:8", APIAddress: "o1:9"})
	for id := uint64(2); id <= uint64(members); id++ {
		l.join(id)
	}
	return l
}

// join makes an orchestrator a member.
func (l *lab) join(replica uint64, with ...func(*eventlog.OrchestratorJoined)) {
	l.t.Helper()
	hash := fmt.Sprintf("join-%d", len(l.recs))
	l.ok(&eventlog.TokenCreated{TokenHash: hash, Role: "orchestrator"})
	host := fmt.Sprintf("o%d", replica)
	e := &eventlog.OrchestratorJoined{
		Replica: replica, TokenHash: hash, RequestID: hash, Name: host,
		RaftAddress: host + ":7", AgentAddress: host + ":8", APIAddress: host + ":9",
	}
	for _, f := range with {
		f(e)
	}
	l.ok(e)
}

func wantMembers(t *testing.T, l *lab, want ...uint64) {
	t.Helper()
	if got := l.s.Members(); !slices.Equal(got, want) {
		t.Errorf("members %v, want %v", got, want)
	}
}

func TestJoins(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	l.void(&eventlog.OrchestratorJoined{Replica: 1, TokenHash: "nobody's"})
	l.ok(&eventlog.OrchestratorJoined{Replica: 1, Name: "o1"})
	l.void(&eventlog.OrchestratorJoined{Replica: 2, Name: "another founder"})
	l.ok(&eventlog.TokenCreated{TokenHash: "good", Role: "orchestrator"})
	l.ok(&eventlog.TokenCreated{TokenHash: "more", Role: "orchestrator"})
	l.ok(&eventlog.TokenCreated{TokenHash: "agent", Role: "agent"})
	l.ok(&eventlog.TokenCreated{TokenHash: "short", Role: "orchestrator", ExpiresAt: l.now + 2})
	l.now += 10
	join := eventlog.OrchestratorJoined{Replica: 2, TokenHash: "good", RequestID: "r", Name: "o2"}
	for name, spoil := range map[string]func(*eventlog.OrchestratorJoined){
		"used number":           func(e *eventlog.OrchestratorJoined) { e.Replica = 1 },
		"no number":             func(e *eventlog.OrchestratorJoined) { e.Replica = 0 },
		"unknown token":         func(e *eventlog.OrchestratorJoined) { e.TokenHash = "bad" },
		"token of an agent":     func(e *eventlog.OrchestratorJoined) { e.TokenHash = "agent" },
		"expired token":         func(e *eventlog.OrchestratorJoined) { e.TokenHash = "short" },
		"replaces none there":   func(e *eventlog.OrchestratorJoined) { e.Replaces = 9 },
		"replaces itself, then": func(e *eventlog.OrchestratorJoined) { e.Replaces = 2 },
	} {
		e := join
		spoil(&e)
		if void := l.void(&e); void == "" {
			t.Errorf("%s took effect", name)
		}
	}
	at := l.ok(&join)
	if m := l.s.Member(2); m.Index != at || m.Name != "o2" || m.JoinedAt != l.s.Time || l.s.Tokens["good"].SpentBy != at {
		t.Errorf("joined as %+v", m)
	}
	if m, ok := l.s.Joined("good", "r"); !ok || m.Replica != 2 {
		t.Error("a repeat does not find its number")
	}
	if _, ok := l.s.Joined("more", "r"); ok {
		t.Error("another token finds it")
	}
	again := join
	again.Replica, again.TokenHash = 3, "more"
	l.void(&again) // the request was granted
	again.RequestID = "s"
	again.TokenHash = "good"
	l.void(&again) // the token is spent
	again.TokenHash, again.Replaces = "more", 2
	l.ok(&again)
	wantMembers(t, l, 1, 3)
	if got, want := l.s.Member(2).Removed, "replaced by 3"; got != want {
		t.Errorf("%q, want %q", got, want)
	}
	if got := l.s.NextReplica(); got != 4 {
		t.Errorf("next is %d", got)
	}
}

func TestMovesAndRemovals(t *testing.T) {
	t.Parallel()
	l := cluster(t, 3)
	moved := &eventlog.OrchestratorMoved{Replica: 2, Name: "o2", RaftAddress: "new:7", AgentAddress: "new:8"}
	l.void(&eventlog.OrchestratorMoved{Replica: 9})
	l.ok(moved)
	l.void(moved)
	if got := l.s.Member(2).OrchestratorMoved; got != *moved {
		t.Errorf("on record is %+v", got)
	}
	l.void(&eventlog.OrchestratorRemoved{Replica: 9, RequestID: "a"})
	l.ok(&eventlog.OrchestratorRemoved{Replica: 2, By: "ann", Reason: "its disk", RequestID: "a"})
	l.void(&eventlog.OrchestratorRemoved{Replica: 3, RequestID: "a"})
	l.void(&eventlog.OrchestratorRemoved{Replica: 2, RequestID: "b"})
	l.void(moved)
	l.void(&eventlog.StateHashed{Replica: 2, At: 1})
	wantMembers(t, l, 1, 3)
	if got := l.s.Member(2).Removed; got != "removed by ann: its disk" {
		t.Errorf("removed: %q", got)
	}
	l.ok(&eventlog.OrchestratorRemoved{Replica: 1, RequestID: "c"})
	l.void(&eventlog.OrchestratorRemoved{Replica: 3, RequestID: "d"}) // the last one
	if got := l.s.FormerMembers(); !slices.Equal(got, []uint64{1, 2}) {
		t.Errorf("former members %v", got)
	}
}

func TestRecovered(t *testing.T) {
	t.Parallel()
	l := cluster(t, 3)
	l.void(&eventlog.ClusterRecovered{Replica: 3})
	l.ok(&eventlog.ClusterRecovered{Replica: 4, Source: "member", Name: "o4", RaftAddress: "o4:7"})
	l.void(&eventlog.ClusterRecovered{Replica: 4})
	wantMembers(t, l, 4)
	l.join(5)
	wantMembers(t, l, 4, 5)
}

// The agents of a member that is gone are connected nowhere, whatever it still
// says, until another one says so.
func TestAgentsOfDismissedMembers(t *testing.T) {
	t.Parallel()
	dismissals := map[string]func(l *lab){
		"removed":   func(l *lab) { l.ok(&eventlog.OrchestratorRemoved{Replica: 2}) },
		"replaced":  func(l *lab) { l.join(4, func(e *eventlog.OrchestratorJoined) { e.Replaces = 2 }) },
		"recovered": func(l *lab) { l.ok(&eventlog.ClusterRecovered{Replica: 4}) },
	}
	for name, dismiss := range dismissals {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			l := cluster(t, 3)
			var agents [2]*Agent
			connect := func(i int, gateway uint64, session string) *eventlog.AgentConnected {
				return &eventlog.AgentConnected{Agent: agents[i].ID, Session: session, JournalID: agents[i].JournalID, Gateway: gateway}
			}
			for i := range agents {
				agents[i] = l.s.Agents[l.agent(fmt.Sprintf("h%d", i))]
				l.ok(connect(i, uint64(i)+2, "s"))
			}
			if got := l.s.ConnectedAgents(); got[2] != 1 || got[3] != 1 {
				t.Errorf("connected %v", got)
			}
			dismiss(l)
			if agents[0].Connected || agents[0].Session != "" || agents[0].SeenAt != l.s.Time {
				t.Errorf("its agent is %+v", agents[0])
			}
			if other := name != "recovered"; agents[1].Connected != other {
				t.Errorf("another's agent is connected: %v", agents[1].Connected)
			}
			l.void(connect(0, 2, "late"))
			l.void(&eventlog.AgentDisconnected{Agent: agents[0].ID, Session: "s"})
			l.ok(connect(0, 4, "next"))
		})
	}
}

// Agents spread evenly, and when a gateway leaves only its own agents move.
func TestAgentServers(t *testing.T) {
	t.Parallel()
	const agents = 3000
	l := cluster(t, 3)
	l.join(4, func(e *eventlog.OrchestratorJoined) { e.AgentAddress = "" }) // serves no agents
	first := map[uint64]string{}
	count := map[string]int{}
	for id := uint64(1); id <= agents; id++ {
		order := l.s.AgentServers(id)
		if len(order) != 3 || slices.Contains(order, "") {
			t.Fatalf("agent %d: %v", id, order)
		}
		first[id] = order[0]
		count[order[0]]++
	}
	for server, n := range count {
		if n < agents/3-agents/20 || n > agents/3+agents/20 {
			t.Errorf("%s is the first of %d of %d agents", server, n, agents)
		}
	}
	l.ok(&eventlog.OrchestratorRemoved{Replica: 2})
	count = map[string]int{}
	for id := uint64(1); id <= agents; id++ {
		now := l.s.AgentServers(id)[0]
		if first[id] == "o2:8" {
			count[now]++
		} else if now != first[id] {
			t.Fatalf("agent %d moved from %s to %s", id, first[id], now)
		}
	}
	if a, b := count["o1:8"], count["o3:8"]; a < b/2 || b < a/2 {
		t.Errorf("the agents of the one that left went %v", count)
	}
}

// say puts what a replica says of a record onto the log.
func (l *lab) say(replica, at uint64, chain, state string) {
	l.t.Helper()
	l.ok(&eventlog.StateHashed{Replica: replica, At: at, Chain: chain, State: state})
}

func TestOddHash(t *testing.T) {
	t.Parallel()
	type said struct {
		replica, at  uint64
		chain, state string
	}
	for name, tc := range map[string]struct {
		members int
		said    []said
		odd     uint64 // who is outvoted, or 0
		at      uint64
		why     string
	}{
		"all agree":                 {3, []said{{1, 4, "c", "v:s"}, {2, 4, "c", "v:s"}, {3, 4, "c", "v:s"}}, 0, 0, ""},
		"a chain":                   {3, []said{{1, 4, "x", "v:s"}, {2, 4, "c", "v:s"}, {3, 4, "c", "v:s"}}, 1, 4, "chain has hash x"},
		"a state":                   {3, []said{{1, 4, "c", "v:s"}, {2, 4, "c", "v:s"}, {3, 4, "c", "v:t"}}, 3, 4, "state has hash t"},
		"a state of other versions": {3, []said{{1, 4, "c", "v:s"}, {2, 4, "c", "v:s"}, {3, 4, "c", "w:t"}}, 0, 0, ""},
		"a chain of other versions": {3, []said{{1, 4, "c", "v:s"}, {2, 4, "c", "v:s"}, {3, 4, "d", "w:t"}}, 3, 4, "chain"},
		"one against one":           {3, []said{{1, 4, "x", "v:s"}, {2, 4, "c", "v:s"}}, 0, 0, ""},
		"a cluster of two":          {2, []said{{1, 4, "x", "v:s"}, {2, 4, "c", "v:s"}}, 0, 0, ""},
		"two of five are too few":   {5, []said{{1, 4, "x", "v:s"}, {2, 4, "c", "v:s"}, {3, 4, "c", "v:s"}}, 0, 0, ""},
		"three of five": {5, []said{
			{1, 4, "x", "v:s"}, {2, 4, "c", "v:s"}, {3, 4, "c", "v:s"}, {4, 4, "c", "v:s"},
		}, 1, 4, "3 of 5"},
		"of different records": {3, []said{{1, 4, "x", "v:s"}, {2, 5, "c", "v:s"}, {3, 5, "c", "v:s"}}, 0, 0, ""},
		"one is ahead": {3, []said{
			{1, 4, "x", "v:s"}, {1, 5, "y", "v:s"}, {2, 4, "c", "v:s"}, {2, 5, "d", "v:s"}, {3, 4, "c", "v:s"},
		}, 1, 4, "chain has hash x"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			l := cluster(t, tc.members)
			for _, s := range tc.said {
				l.say(s.replica, s.at, s.chain, s.state)
			}
			for id := uint64(1); id <= uint64(tc.members); id++ {
				at, why := l.s.OddHash(id)
				if id != tc.odd && (at != 0 || why != "") {
					t.Errorf("%d is outvoted at %d: %s", id, at, why)
				}
				if id == tc.odd && (at != tc.at || !strings.Contains(why, tc.why)) {
					t.Errorf("%d is outvoted at %d for %q, want %d for %q", id, at, why, tc.at, tc.why)
				}
			}
		})
	}
}

func TestStateHashed(t *testing.T) {
	t.Parallel()
	l := cluster(t, 3)
	l.void(&eventlog.StateHashed{Replica: 9, At: 2})
	l.void(&eventlog.StateHashed{Replica: 1, At: l.s.Index + 1}) // of itself
	l.void(&eventlog.StateHashed{Replica: 1})
	for at := uint64(1); at <= 2*hashesKeptMax; at++ {
		l.say(1, at, fmt.Sprint(at), "")
		l.void(&eventlog.StateHashed{Replica: 1, At: at})
	}
	m := l.s.Member(1)
	if len(m.hashes) != hashesKeptMax || m.Hashed != m.hashes[hashesKeptMax-1] || m.Hashed.At != 2*hashesKeptMax {
		t.Errorf("kept %d, the newest at %d", len(m.hashes), m.Hashed.At)
	}
}

// What a replica says of its state covers every judgement, and where the state
// is small enough all of it.
func TestHashed(t *testing.T) {
	t.Parallel()
	a, b := cluster(t, 3), cluster(t, 3)
	if x, y := a.s.Hashed(1, "v"), b.s.Hashed(1, "v"); x != y || x.At != a.s.Index || !strings.HasPrefix(x.State, "v:") {
		t.Errorf("%+v and %+v", x, y)
	}
	a.void(&eventlog.OrchestratorMoved{Replica: 9})
	b.ok(&eventlog.OrchestratorMoved{Replica: 2})
	if x, y := a.s.Hashed(1, "v"), b.s.Hashed(1, "v"); !Contradict(x, y) {
		t.Errorf("one void, the other not: %+v and %+v", x, y)
	}
	a, b = cluster(t, 3), cluster(t, 3)
	a.s.Index, b.s.Index = stateHashEvery, stateHashEvery
	b.s.members[2].Name = "flipped"
	if x, y := a.s.Hashed(1, "v"), b.s.Hashed(1, "v"); !Contradict(x, y) {
		t.Error("the hash of the whole state does not cover a name")
	}
	for index, want := range map[uint64]bool{0: false, 1: false, HashEvery: true, HashEvery + 1: false, 16 * HashEvery: true} {
		a.s.Index = index
		if a.s.HashDue() != want {
			t.Errorf("due at %d: %v", index, !want)
		}
	}
}
