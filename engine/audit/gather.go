package audit

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"slices"

	"golang.org/x/mod/sumdb/note"

	"quorate/engine"
	"quorate/eventlog"
	"quorate/eventlog/bundle"
	"quorate/internal/checkpoint"
	"quorate/planner"
)

const (
	// agentsMax is of how many agents the records of their enrolment go along: those
	// of a fleet are better found in a bundle of everything.
	agentsMax      = 2000
	readRecordsMax = 1024
	planBytesMax   = 1 << 30
)

// ErrNoRun is wrapped by errors for a run that is not on record.
var ErrNoRun = errors.New("no such run")

// Wish says what a bundle is to hold.
type Wish struct {
	// Run is the run whose records are wanted; 0 is for the whole log.
	Run uint64
	// Files has the files that jobs ship go along with plans and inputs.
	Files bool
}

// A Place is what records are gathered from: a running orchestrator, or the files of a
// stopped one.
type Place struct {
	Source  bundle.Source
	Program string // version of the one who gathers
	// View shows the newest state, At makes the one behind the record of an index, and
	// 0 is the empty one.
	View func(func(*engine.State))
	At   func(ctx context.Context, index uint64) (*engine.State, error)
	// Key verifies the log's checkpoints, and Certificate is the authority's word for
	// it; both are empty where they are not known.
	Key         string
	Certificate []byte
	// Unsigned has records behind the newest checkpoint go along with all others, where
	// nobody can sign them any more.
	Unsigned bool
}

// Gather finds out what belongs into a bundle. The error wraps [ErrNoRun], or is of the
// place.
func (p *Place) Gather(ctx context.Context, wish Wish) (*bundle.Content, error) {
	g := &gathering{Place: p, ctx: ctx, wish: wish, agents: map[uint64]bool{}, blobs: map[string]bool{}}
	g.content = &bundle.Content{Program: p.Program, Run: wish.Run, Key: p.Key, Certificate: p.Certificate, Checkpoints: map[uint64][]byte{}}
	if err := g.look(); err != nil {
		return nil, err
	}
	for _, step := range []func() error{g.findEnd, g.findCheckpoints, g.findStanding, g.findBlobs, g.encodeState} {
		if err := step(); err != nil {
			return nil, fmt.Errorf("export: %w", err)
		}
	}
	slices.Sort(g.content.Missing)
	return g.content, nil
}

// A gathering is one look at a place. The records up to head do not change any more.
type gathering struct {
	*Place
	ctx     context.Context
	wish    Wish
	content *bundle.Content
	head    uint64
	newest  engine.Checkpoint
	plan    uint64 // index of the run's PlanRecorded
	endedAt int64  // of the run, 0 while it is under way
	agents  map[uint64]bool
	keys    map[string]bool // of the agents
	plans   []*eventlog.PlanRecorded
	blobs   map[string]bool // seen
}

// look takes from the newest state what is needed.
func (g *gathering) look() error {
	found := true
	g.View(func(s *engine.State) {
		g.head, g.newest, g.content.Cluster = s.Index, s.Checkpoint, s.ClusterID
		if g.wish.Run == 0 {
			return
		}
		run := s.Run(g.wish.Run)
		if found = run != nil; found {
			g.content.From, g.plan, g.endedAt = run.Index, run.Graph.Index, run.EndedAt
		}
	})
	if !found {
		return fmt.Errorf("run %d: %w", g.wish.Run, ErrNoRun)
	}
	if g.head == 0 {
		return errors.New("export: the log is empty")
	}
	return nil
}

// each calls f with the records from one index to another until it returns false.
func (g *gathering) each(from, to uint64, f func(r *eventlog.Record) bool) error {
	for next := from; next <= to; {
		page, err := g.Source.Records(g.ctx, next, int(min(readRecordsMax, to-next+1)))
		if err != nil {
			return err
		}
		if len(page) == 0 {
			return fmt.Errorf("there is no record %d", next)
		}
		for i := range page {
			if !f(&page[i]) {
				return nil
			}
		}
		next += uint64(len(page))
	}
	return nil
}

// findEnd finds the last record, and which agents had to do with the run.
func (g *gathering) findEnd() error {
	c := g.content
	if g.wish.Run == 0 {
		c.From, c.To = 1, g.head
		if g.newest.Size == 0 || g.Key == "" {
			return nil
		}
		c.To = g.newest.Size
		if !g.Unsigned {
			return nil
		}
		return g.each(c.To+1, g.head, func(r *eventlog.Record) bool {
			// What the cluster says of itself is no news.
			if r.Kind != eventlog.KindCheckpointSigned && r.Kind != eventlog.KindStateHashed {
				c.To = g.head
			}
			return c.To < g.head
		})
	}
	c.To = g.head
	return g.each(c.From, g.head, func(r *eventlog.Record) bool {
		if g.endedAt != 0 && r.Time > g.endedAt {
			return false
		}
		if r.Kind != eventlog.KindStepScheduled && r.Kind != eventlog.KindRunEnded {
			return true
		}
		event, err := eventlog.Decode(r.Kind, r.Data)
		if err != nil {
			return true
		}
		switch e := event.(type) {
		case *eventlog.StepScheduled:
			if e.Run == g.wish.Run {
				g.agents[e.Agent] = true
			}
		case *eventlog.RunEnded:
			if e.Run == g.wish.Run && r.Time == g.endedAt {
				c.To = r.Index
			}
		}
		return true
	})
}

// findCheckpoints takes those within the records, the first that covers all of them,
// and the newest.
func (g *gathering) findCheckpoints() error {
	c := g.content
	if g.Key == "" {
		return nil
	}
	verify, err := note.NewVerifier(g.Key)
	if err != nil {
		return fmt.Errorf("key of the log: %w", err)
	}
	var failed error
	take := func(signed []byte) (size uint64) {
		said, err := checkpoint.Open(signed, verify)
		if err != nil || said.Size > g.head || c.Checkpoints[said.Size] != nil {
			return 0
		}
		tree, err := g.Source.Tree(said.Size)
		if err == nil {
			var root eventlog.Hash
			if root, err = tree.Root(); err == nil && root != said.Root {
				return 0 // which is for who checks the log to complain about
			}
		}
		if err != nil {
			failed = err
			return 0
		}
		c.Checkpoints[said.Size] = bytes.Clone(signed)
		return said.Size
	}
	err = g.each(c.From, g.head, func(r *eventlog.Record) bool {
		if r.Kind != eventlog.KindCheckpointSigned {
			return true
		}
		event, err := eventlog.Decode(r.Kind, r.Data)
		if err != nil {
			return true
		}
		e, ok := event.(*eventlog.CheckpointSigned)
		if !ok || e.Size >= r.Index || e.Size < c.From || g.wish.Run == 0 && e.Size > c.To {
			return true
		}
		return take(e.Note) < c.To
	})
	if len(g.newest.Note) > 0 && g.newest.Size >= c.From {
		take(g.newest.Note)
	}
	return errors.Join(err, failed)
}

// findStanding finds what the run's records stand on: the cluster's beginning and its
// recoveries, the leader at the time, the plan, and the agents.
func (g *gathering) findStanding() error {
	c := g.content
	if g.wish.Run == 0 {
		return nil
	}
	g.View(func(s *engine.State) {
		if len(g.agents) > agentsMax {
			return
		}
		g.keys = make(map[string]bool, len(g.agents))
		for id := range g.agents {
			if a := s.Agents[id]; a != nil {
				g.keys[a.KeyDigest] = true
			}
		}
	})
	leader := uint64(0)
	err := g.each(1, c.From-1, func(r *eventlog.Record) bool {
		if r.Kind == eventlog.KindLeaderEstablished {
			leader = r.Index
		}
		if g.stands(r) {
			c.Also = append(c.Also, r.Index)
		}
		return true
	})
	if leader > 0 && !slices.Contains(c.Also, leader) {
		c.Also = append(c.Also, leader)
		slices.Sort(c.Also)
	}
	return err
}

func (g *gathering) stands(r *eventlog.Record) bool {
	switch r.Kind {
	case eventlog.KindClusterCreated, eventlog.KindClusterRecovered:
		return true
	case eventlog.KindPlanRecorded:
		return r.Index == g.plan
	case eventlog.KindAgentEnrolled, eventlog.KindAgentApproved:
	default:
		return false
	}
	event, err := eventlog.Decode(r.Kind, r.Data)
	if err != nil {
		return false
	}
	switch e := event.(type) {
	case *eventlog.AgentEnrolled:
		return g.keys[e.KeyDigest]
	case *eventlog.AgentApproved:
		return g.keys != nil && g.agents[e.Agent]
	}
	return false
}

// findBlobs finds the plans, their inputs, and the files that they ship.
func (g *gathering) findBlobs() error {
	c := g.content
	err := g.each(1, c.To, func(r *eventlog.Record) bool {
		if r.Kind != eventlog.KindPlanRecorded || r.Index < c.From && !slices.Contains(c.Also, r.Index) {
			return true
		}
		if event, err := eventlog.Decode(r.Kind, r.Data); err == nil {
			if e, ok := event.(*eventlog.PlanRecorded); ok {
				g.plans = append(g.plans, e)
			}
		}
		return true
	})
	if err != nil {
		return err
	}
	for _, e := range g.plans {
		if err := g.blob(e.PlanID); err != nil {
			return err
		}
		for _, in := range e.Inputs {
			if err := g.blob(in.Digest); err != nil {
				return err
			}
		}
	}
	if !g.wish.Files {
		return nil
	}
	for _, e := range g.plans {
		if err := g.shipped(e.PlanID); err != nil {
			return err
		}
	}
	return nil
}

// blob adds one, as there or as missing.
func (g *gathering) blob(digest string) error {
	if g.blobs[digest] {
		return nil
	}
	g.blobs[digest] = true
	content, size, err := g.Source.Blob(g.ctx, digest)
	var damaged *eventlog.BlobError
	switch {
	case errors.Is(err, fs.ErrNotExist), errors.As(err, &damaged), errors.Is(err, eventlog.ErrDigest):
		g.content.Missing = append(g.content.Missing, digest)
		return nil
	case err != nil:
		return err
	}
	g.content.Blobs = append(g.content.Blobs, bundle.Blob{SHA256: digest, Bytes: size})
	return content.Close()
}

// shipped adds the files of a plan that is there.
func (g *gathering) shipped(id string) error {
	if slices.Contains(g.content.Missing, id) {
		return nil
	}
	text, err := readBlob(g.ctx, g.Source, id)
	if err != nil {
		return err
	}
	plan, err := planner.Decode(text)
	if err != nil {
		return fmt.Errorf("plan %.12s: %w", id, err)
	}
	for t := range plan.Tasks {
		for j := range plan.Tasks[t].Jobs {
			for _, f := range plan.Tasks[t].Jobs[j].Spec.Files {
				if err := g.blob(f.Digest); err != nil {
					return err
				}
			}
		}
	}
	return nil
}

// encodeState adds the state that the first record is folded into.
func (g *gathering) encodeState() error {
	if g.wish.Run == 0 || g.content.From == 1 {
		return nil
	}
	s, err := g.At(g.ctx, g.content.From-1)
	if err != nil {
		return err
	}
	var buf bytes.Buffer
	if err := s.Encode(&buf); err != nil {
		return err
	}
	g.content.State = buf.Bytes()
	return nil
}
