package api

import (
	"context"
	"io"
	"net/http"
	"sync"
	"time"

	"quorate/engine/orchestrator"
	"quorate/eventlog"
)

// cluster shows the orchestrators, also where there is no majority.
func (h *Handler) cluster(w http.ResponseWriter, r *http.Request) error {
	return h.answerCluster(w, r)
}

func (h *Handler) answerCluster(w http.ResponseWriter, r *http.Request) error {
	ctx, cancel := context.WithTimeout(r.Context(), readBarrierTimeout)
	defer cancel()
	out := ClusterOf(h.o.Cluster(ctx))
	h.probe(r.Context(), out)
	if out.Stale {
		w.Header().Set(staleHeader, "true")
	}
	return answer(w, http.StatusOK, out)
}

// ClusterOf is what an orchestrator knows of its cluster, as a document.
func ClusterOf(v orchestrator.ClusterView) *Cluster {
	out := &Cluster{
		Schema: Schema, ClusterID: v.ClusterID, Replica: v.Self, Leader: v.Leader, Epoch: v.Epoch,
		Seq: v.Folded, Head: v.HeadHash.String(), Stale: v.Stale, Members: []Member{},
	}
	for _, a := range v.Alarms {
		out.Alarms = append(out.Alarms, a.String())
	}
	if z := v.Log; z != nil {
		out.Log = &LogSizes{
			LiveRecords: z.Live, LiveBytes: z.LiveBytes, FreeBytes: z.FreeBytes,
			Segments: z.Segments, SegmentBytes: z.SegmentBytes, Sealed: z.Sealed, HeldBy: v.HeldBy,
		}
	}
	for i := range v.Members {
		m := memberOf(&v, &v.Members[i])
		if m.Role == orchestrator.RoleVoter {
			out.Voters++
		}
		out.Members = append(out.Members, m)
	}
	out.Majority = out.Voters/2 + 1
	return out
}

func memberOf(v *orchestrator.ClusterView, m *orchestrator.MemberView) Member {
	out := Member{
		Replica: m.Replica, Name: m.Name, Role: m.Role, Leader: m.Replica == v.Leader, Self: m.Replica == v.Self,
		RaftAddress: m.RaftAddress, AgentAddress: m.AgentAddress, APIAddress: m.APIAddress,
		JoinedAt: time.Unix(0, m.JoinedAt).UTC(), Agents: m.Agents, Reason: m.Removed,
	}
	if m.Role == orchestrator.RoleLeader { // who leads has a vote
		out.Role = orchestrator.RoleVoter
	}
	if out.Role == orchestrator.RoleRemoved {
		out.Leader = false
		return out
	}
	if out.Self {
		out.Seq, out.Lag = new(uint64), new(uint64)
		*out.Seq = v.Folded
		version := eventlog.Version
		out.LogVersion = &version
		for _, a := range v.Alarms {
			out.Alarms = append(out.Alarms, a.String())
		}
	}
	return out
}

// Vitals are what an orchestrator says of itself.
type Vitals struct {
	Head       uint64   // the newest record that it holds
	Alarms     []string // what an operator has to look after there
	LogVersion uint32   // as [eventlog.Version]; 0 is from before that was told
}

// A Probe asks another orchestrator how it is.
type Probe func(ctx context.Context, replica uint64) (Vitals, error)

// WithProbe has the other orchestrators asked how they are.
func WithProbe(p Probe) Option { return func(h *Handler) { h.ask = p } }

// probeTimeout bounds the question to each of the other orchestrators, which are
// asked at once.
const probeTimeout = time.Second

// probe fills in what the other members say of themselves.
func (h *Handler) probe(ctx context.Context, c *Cluster) {
	if h.ask == nil {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, probeTimeout)
	defer cancel()
	var asked sync.WaitGroup
	for i := range c.Members {
		m := &c.Members[i]
		if m.Self || m.Role == orchestrator.RoleRemoved {
			continue
		}
		asked.Go(func() {
			its, err := h.ask(ctx, m.Replica)
			there := err == nil
			m.Reachable = &there
			if there {
				// Who answers may itself be the one that is behind.
				lag := c.Seq - min(its.Head, c.Seq)
				m.Seq, m.Lag, m.Alarms, m.LogVersion = &its.Head, &lag, its.Alarms, &its.LogVersion
			}
		})
	}
	asked.Wait()
}

func (h *Handler) removeMember(w http.ResponseWriter, r *http.Request) error {
	var in MemberRemove
	if err := decode(w, r, &in); err != nil {
		return err
	}
	if err := checkSchema(in.Schema); err != nil {
		return err
	}
	remove := h.o.RemoveMember
	if in.Force {
		remove = h.o.ForceRemoveMember
	}
	if err := remove(r.Context(), in.Replica, callerOf(r).name, in.Reason, in.RequestID); err != nil {
		return err
	}
	return h.answerCluster(w, r)
}

func (h *Handler) transferLead(w http.ResponseWriter, r *http.Request) error {
	var in LeadTransfer
	if err := decode(w, r, &in); err != nil {
		return err
	}
	if err := checkSchema(in.Schema); err != nil {
		return err
	}
	if err := h.o.Transfer(r.Context(), in.Replica); err != nil {
		return err
	}
	return h.answerCluster(w, r)
}

// A Backup writes everything that a cluster can be restored from: the log, the
// blobs of its plans, and the cluster's keys.
type Backup func(ctx context.Context, w io.Writer) error

// An Option changes what a [Handler] serves.
type Option func(*Handler)

// WithBackup serves backups. Without it there are none: where the log is no
// replicated one, a copy of the stopped orchestrator's directory is one.
func WithBackup(b Backup) Option { return func(h *Handler) { h.backup = b } }

// serveBackup streams a backup. One that fails on the way is cut off, so that
// nobody takes it for whole.
func (h *Handler) serveBackup(w http.ResponseWriter, r *http.Request) error {
	if h.backup == nil {
		return &Error{
			Code: "conflict", Message: "this orchestrator has no replicated log to back up",
			Hint: "stop it and copy its data directory",
		}
	}
	out := &backupWriter{w: w, control: http.NewResponseController(w)}
	err := h.backup(r.Context(), out)
	if err != nil && !out.begun {
		return err
	}
	if err != nil {
		if r.Context().Err() == nil {
			h.logger.Error("backup", "error", err)
		}
		panic(http.ErrAbortHandler)
	}
	return nil
}

// backupWriter writes each piece under a deadline of its own.
type backupWriter struct {
	w       http.ResponseWriter
	control *http.ResponseController
	begun   bool
}

// Write implements io.Writer.
func (b *backupWriter) Write(p []byte) (int, error) {
	if !b.begun {
		b.begun = true
		b.w.Header().Set("Content-Type", "application/x-tar")
		b.w.Header().Set("Cache-Control", "no-store")
	}
	if err := b.control.SetWriteDeadline(time.Now().Add(streamTimeout)); err != nil {
		return 0, err
	}
	return b.w.Write(p)
}
