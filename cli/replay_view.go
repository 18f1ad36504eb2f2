package cli

import (
	"encoding/hex"
	"fmt"
	"maps"
	"slices"
	"time"

	"quorate/engine"
	"quorate/engine/api"
)

// A stateView is the state at one place of the log, as replay prints it.
type stateView struct {
	Schema     string       `json:"schema"`
	Seq        uint64       `json:"seq"`
	Time       time.Time    `json:"time"`
	Head       string       `json:"head"`
	StateHash  string       `json:"state_hash"`
	ClusterID  string       `json:"cluster_id"`
	Epoch      uint64       `json:"epoch"`
	Leader     uint64       `json:"leader"`
	Generation uint64       `json:"generation,omitempty"`
	Checkpoint uint64       `json:"checkpoint,omitempty"` // size of the newest
	Members    []memberView `json:"members"`
	Agents     []api.Agent  `json:"agents"`
	Facts      []factView   `json:"facts"`
	Runs       []api.Run    `json:"runs"`
	// Told are the attempts under way: what agents were to do, and what was known of it.
	Told []toldView `json:"told"`
}

// A memberView is an orchestrator as it was on record.
type memberView struct {
	Replica      uint64    `json:"replica"`
	Name         string    `json:"name"`
	Leader       bool      `json:"leader,omitempty"`
	RaftAddress  string    `json:"raft_address"`
	AgentAddress string    `json:"agent_address,omitempty"`
	APIAddress   string    `json:"api_address,omitempty"`
	JoinedAt     time.Time `json:"joined_at"`
	Removed      string    `json:"removed,omitempty"` // why it is none any more
}

// A factView is what a host had published.
type factView struct {
	Agent string `json:"agent"`
	api.Fact
}

// A toldView is an attempt: when it was put on record for its agent, and what of it had
// come back. What was on record had been sent where the agent was connected.
type toldView struct {
	Attempt     uint64    `json:"attempt"`
	Run         uint64    `json:"run"`
	Step        string    `json:"step"`
	Agent       string    `json:"agent"`
	Gateway     uint64    `json:"gateway,omitempty"` // that had the agent's connection, or 0
	FromJob     uint32    `json:"from_job"`
	Supersedes  uint64    `json:"supersedes,omitempty"`
	Epoch       uint64    `json:"epoch"`
	ScheduledAt time.Time `json:"scheduled_at"`
	// Begun: the agent's journal is known to hold it.
	Begun bool `json:"begun"`
	// CancelAsked: the agent was to be told to cancel it.
	CancelAsked bool `json:"cancel_asked,omitempty"`
	// JobsEnded are the results on record, each of which was acknowledged to the agent
	// once it was.
	JobsEnded int    `json:"jobs_ended"`
	Outcome   string `json:"outcome,omitempty"`
	Reason    string `json:"reason,omitempty"`
	// Acknowledged is the agent's newest report on record.
	Acknowledged uint64     `json:"acknowledged"`
	EndedAt      *time.Time `json:"ended_at,omitempty"`
}

func toldOf(s *engine.State, a *engine.Attempt) toldView {
	r, agent := s.Run(a.Run), s.Agent(a.Agent)
	v := toldView{
		Attempt: a.ID, Run: a.Run, Step: r.Graph.Tasks[a.Task].ID + "@" + r.Graph.HostName(a.Task, a.Host), Agent: agent.Name,
		FromJob: a.FromJob, Supersedes: a.Supersedes, Epoch: a.Epoch, ScheduledAt: time.Unix(0, a.ScheduledAt).UTC(),
		Begun: a.Began, CancelAsked: a.Cancel, JobsEnded: a.Jobs.Len(), Reason: a.Reason, Acknowledged: agent.JournalSeq,
	}
	if agent.Connected {
		v.Gateway = agent.Gateway
	}
	if a.Outcome != 0 {
		v.Outcome = a.Outcome.String()
	}
	if a.EndedAt != 0 {
		at := time.Unix(0, a.EndedAt).UTC()
		v.EndedAt = &at
	}
	return v
}

func viewOf(s *engine.State) stateView {
	hash := s.Hash()
	v := stateView{
		Schema: api.Schema, Seq: s.Index, Time: time.Unix(0, s.Time).UTC(), Head: hex.EncodeToString(s.Head[:]),
		StateHash: hex.EncodeToString(hash[:]), ClusterID: s.ClusterID, Epoch: s.Epoch, Leader: s.Leader,
		Generation: s.Generation, Checkpoint: s.Checkpoint.Size,
		Members: []memberView{}, Agents: []api.Agent{}, Facts: []factView{}, Runs: []api.Run{}, Told: []toldView{},
	}
	for _, id := range slices.Concat(s.Members(), s.FormerMembers()) {
		m := s.Member(id)
		v.Members = append(v.Members, memberView{
			Replica: id, Name: m.Name, Leader: id == s.Leader && m.Removed == "", RaftAddress: m.RaftAddress,
			AgentAddress: m.AgentAddress, APIAddress: m.APIAddress, JoinedAt: time.Unix(0, m.JoinedAt).UTC(), Removed: m.Removed,
		})
	}
	var open []uint64
	for _, id := range slices.Sorted(maps.Keys(s.Agents)) {
		a := s.Agents[id]
		v.Agents = append(v.Agents, api.AgentView(s, a))
		open = append(open, a.Open...)
		for _, value := range a.Values() {
			v.Facts = append(v.Facts, factView{a.Name, api.PublishedView(s, value)})
		}
	}
	for _, r := range s.Runs {
		v.Runs = append(v.Runs, api.RunView(s, r, false))
	}
	slices.Sort(open)
	for _, id := range open {
		v.Told = append(v.Told, toldOf(s, s.Attempts[id]))
	}
	return v
}

func (p *program) printState(s *engine.State) error {
	v := viewOf(s)
	return p.emit(v, func() error {
		if v.Seq == 0 {
			_, err := fmt.Fprintln(p.con.out, "at 0, before the first event")
			return err
		}
		fmt.Fprintf(p.con.out, "at %d, %s, cluster %.12s\nhead  %s\nstate %s\n", v.Seq, stamp(v.Time), v.ClusterID, v.Head, v.StateHash)
		members := &grid{header: []any{"ORCHESTRATOR", "NAME", "ROLE", "RAFT", "AGENTS", "API"}}
		for _, m := range v.Members {
			role := "member"
			switch {
			case m.Removed != "":
				role = m.Removed
			case m.Leader:
				role = "leader"
			}
			members.add(m.Replica, m.Name, role, orDash(m.RaftAddress), orDash(m.AgentAddress), orDash(m.APIAddress))
		}
		agents := &grid{header: []any{"AGENT", "STATUS", "LABELS", "OPEN", "SEEN"}}
		for _, a := range v.Agents {
			agents.add(a.Name, a.Status, some(a.Labels, 4), a.Open, stamp(a.SeenAt))
		}
		facts := &grid{header: []any{"AGENT", "FACT", "RUN", "TASK", "SINCE", "VALUE"}}
		for _, f := range v.Facts {
			value := shortened(string(f.Value), factColumnsMax)
			if f.Absent {
				value = "(absent)"
			}
			facts.add(f.Agent, f.Name, f.Run, f.Task, stamp(f.Time), value)
		}
		return p.printGrids(members, agents, facts, runGrid(v.Runs), toldGrid(v.Told))
	})
}

// factColumnsMax bounds a value in a table; -o json has all of it.
const factColumnsMax = 60

// printGrids prints the tables that have rows, with a line in between.
func (p *program) printGrids(grids ...*grid) error {
	for _, g := range grids {
		if len(g.rows) == 0 {
			continue
		}
		fmt.Fprintln(p.con.out)
		if err := p.printGrid(g); err != nil {
			return err
		}
	}
	return nil
}

func toldGrid(told []toldView) *grid {
	g := &grid{header: []any{"ATTEMPT", "RUN", "STEP", "AGENT", "ON RECORD SINCE", "TOLD", "JOBS", "OUTCOME"}}
	for _, t := range told {
		state := "on record, the agent is not connected"
		switch {
		case t.Outcome != "":
			state = "settled"
		case t.Begun || t.JobsEnded > 0:
			state = "begun"
		case t.Gateway != 0:
			state = fmt.Sprintf("by orchestrator %d", t.Gateway)
		}
		if t.CancelAsked && t.Outcome == "" {
			state += ", to be cancelled"
		}
		g.add(t.Attempt, t.Run, t.Step, t.Agent, stamp(t.ScheduledAt), state, t.JobsEnded, orDash(t.Outcome))
	}
	return g
}

// A pastRun is a run as it was, with all its attempts.
type pastRun struct {
	api.Run
	Seq      uint64     `json:"seq"`
	Attempts []toldView `json:"attempts"`
}

// attemptsListedMax bounds the attempts in a table; -o json has all of them.
const attemptsListedMax = 200

// printPastRun shows a run at the state's point.
func (p *program) printPastRun(s *engine.State, r *engine.Run) error {
	v := pastRun{Run: api.RunView(s, r, true), Seq: s.Index, Attempts: []toldView{}}
	for _, id := range slices.Sorted(maps.Keys(s.Attempts)) {
		if a := s.Attempts[id]; a.Run == r.ID {
			v.Attempts = append(v.Attempts, toldOf(s, a))
		}
	}
	return p.emit(v, func() error {
		if err := p.printRun(&v.Run); err != nil {
			return err
		}
		if err := p.printGrids(toldGrid(v.Attempts[max(0, len(v.Attempts)-attemptsListedMax):])); err != nil {
			return err
		}
		if n := len(v.Attempts) - attemptsListedMax; n > 0 {
			p.con.note("and %d earlier attempts: -o json has all of them", n)
		}
		return nil
	})
}
