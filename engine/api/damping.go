package api

import (
	"context"
	"net/http"
	"net/url"
	"time"

	"quorate/engine"
	"quorate/eventlog"
)

// Damping is the answer to GET and POST /v1/damping: how the cluster deals with agents
// that flap.
type Damping struct {
	Schema string `json:"schema"`
	// Flapping is what they are given: hold, last or normal.
	Flapping string `json:"flapping"`
	// HalfLifeSeconds is how long it takes until half of what counts against an agent
	// is forgotten.
	HalfLifeSeconds float64 `json:"half_life_seconds"`
	// Threshold is how many reconnections at once make an agent one that flaps.
	Threshold uint32 `json:"threshold"`
	// ConnectionsPerHour is how many connections of one agent are put on record in an
	// hour at most.
	ConnectionsPerHour int `json:"connections_per_hour"`
	// By and Seq are who set it last, and the record; absent where it is the default.
	By  string `json:"by,omitempty"`
	Seq uint64 `json:"seq,omitempty"`
}

// DampingChange is the body of POST /v1/damping. What is absent stays as it is.
type DampingChange struct {
	Schema          string  `json:"schema"`
	RequestID       string  `json:"request_id"`
	Flapping        string  `json:"flapping,omitempty"`
	HalfLifeSeconds float64 `json:"half_life_seconds,omitempty"`
	Threshold       uint32  `json:"threshold,omitempty"`
}

// Steadiness is how an agent's connection has behaved.
type Steadiness struct {
	// Penalty is what counts against the agent now, in reconnections; from Threshold on
	// it flaps, and below half of that it does not any more.
	Penalty   float64 `json:"penalty"`
	Threshold uint32  `json:"threshold"`
	// Since is since when it flaps, and CalmInSeconds how long it has to stay connected
	// from now on until it does not any more.
	Since         *time.Time `json:"since,omitempty"`
	CalmInSeconds float64    `json:"calm_in_seconds,omitempty"`
	// ConnectInSeconds is how long it would have to wait if it came again now.
	ConnectInSeconds float64 `json:"connect_in_seconds,omitempty"`
	// Given is what it is given while it flaps: hold, last or normal.
	Given       string             `json:"given"`
	Connections uint64             `json:"connections"`
	Flaps       uint64             `json:"flaps"`
	Changes     []ConnectionChange `json:"changes,omitempty"` // newest last
}

// ConnectionChange is one change of an agent's connection.
type ConnectionChange struct {
	Time    time.Time `json:"time"`
	Change  string    `json:"change"` // connected or disconnected
	Gateway uint64    `json:"gateway"`
	Address string    `json:"address,omitempty"`
	Reason  string    `json:"reason,omitempty"`
	// AwaySeconds is how long the agent was off the record that has connected, where its
	// end before is on record. It was gone for longer: an end is on record when it is
	// noticed, and nothing may have been heard for up to a minute by then.
	AwaySeconds float64 `json:"away_seconds,omitempty"`
	// Counts is true where it counts against the agent.
	Counts bool `json:"counts,omitempty"`
}

func seconds(nanoseconds int64) float64 { return time.Duration(nanoseconds).Seconds() }

// DampingView shows what is in force.
func DampingView(s *engine.State) Damping {
	d := s.Damping()
	return Damping{
		Schema: Schema, Flapping: d.Work, HalfLifeSeconds: seconds(d.HalfLife), Threshold: d.Threshold,
		ConnectionsPerHour: d.ConnectionsMax(int64(time.Hour)), By: d.By, Seq: d.Index,
	}
}

// SteadinessView shows how an agent's connection has behaved until now, by the clock of
// who asks.
func SteadinessView(s *engine.State, a *engine.Agent, now time.Time) *Steadiness {
	d, at := s.Damping(), now.UnixNano()
	view := &Steadiness{
		Penalty: float64(s.PenaltyAt(a, at)) / 1000, Threshold: d.Threshold, Given: d.Work, Connections: a.Connections, Flaps: a.Flaps,
		ConnectInSeconds: seconds(s.ConnectPause(a, at)),
	}
	if a.Flapping {
		since := timeOf(a.FlappingSince)
		view.Since, view.CalmInSeconds = &since, seconds(s.CalmIn(a, at))
	}
	for i, c := range a.Changes {
		v := ConnectionChange{Time: timeOf(c.Time), Change: "disconnected", Gateway: c.Gateway, Reason: c.Text, Counts: c.Counts}
		if c.Kind == eventlog.KindAgentConnected {
			v.Change, v.Address, v.Reason = "connected", c.Text, ""
			if i > 0 && a.Changes[i-1].Kind == eventlog.KindAgentDisconnected {
				v.AwaySeconds = seconds(c.Time - a.Changes[i-1].Time)
			}
		}
		view.Changes = append(view.Changes, v)
	}
	return view
}

func (h *Handler) damping(w http.ResponseWriter, _ *http.Request) error {
	var out Damping
	h.o.View(func(s *engine.State) { out = DampingView(s) })
	return answer(w, http.StatusOK, out)
}

func (h *Handler) setDamping(w http.ResponseWriter, r *http.Request) error {
	var in DampingChange
	if err := decode(w, r, &in); err != nil {
		return err
	}
	if err := checkSchema(in.Schema); err != nil {
		return err
	}
	if most := seconds(engine.HalfLifeMax); in.HalfLifeSeconds < 0 || in.HalfLifeSeconds > most {
		return badRequest("half_life_seconds %g: want %g to %g", in.HalfLifeSeconds, seconds(engine.HalfLifeMin), most)
	}
	to := engine.Damping{
		Work: in.Flapping, HalfLife: int64(in.HalfLifeSeconds * float64(time.Second)), Threshold: in.Threshold,
	}
	if err := h.o.SetDamping(r.Context(), to, changeBy(r, in.RequestID, "")); err != nil {
		return err
	}
	return h.damping(w, r)
}

func (h *Handler) calm(w http.ResponseWriter, r *http.Request) error {
	return h.changeAgent(w, r, h.o.Calm)
}

// Damping returns how the cluster deals with agents that flap.
func (c *Client) Damping(ctx context.Context) (*Damping, error) {
	return get[Damping](ctx, c, "/v1/damping", nil)
}

// SetDamping changes that. What the change does not hold stays as it is.
func (c *Client) SetDamping(ctx context.Context, in DampingChange) (*Damping, error) {
	in.Schema = Schema
	return post[Damping](ctx, c, "/v1/damping", &in)
}

// Calm forgives an agent its reconnections: it does not flap any more.
func (c *Client) Calm(ctx context.Context, name string, in AgentChange) (*Agent, error) {
	in.Schema = Schema
	return post[Agent](ctx, c, "/v1/agents/"+url.PathEscape(name)+"/calm", &in)
}
