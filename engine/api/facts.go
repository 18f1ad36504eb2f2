package api

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"quorate/engine"
	"quorate/engine/orchestrator"
	"quorate/internal/pyvalue"
	"quorate/nodeagent/wire"
)

// Facts is the answer to GET /v1/agents/{name}/facts: what the agent remembers of
// its host, and what the host has published. With ?published=1 the agent is not
// asked.
type Facts struct {
	Schema string `json:"schema"`
	Agent  string `json:"agent"`
	// Asked is true where the agent itself has answered; Note says why it has not.
	Asked bool   `json:"asked"`
	Note  string `json:"note,omitempty"`
	// Truncated: the agent has more than an answer holds.
	Truncated bool   `json:"truncated,omitempty"`
	Facts     []Fact `json:"facts"`
}

// Fact is one value with the job that it came by.
type Fact struct {
	// Kind is arg, env or published.
	Kind  string          `json:"kind"`
	Name  string          `json:"name"`
	Value json.RawMessage `json:"value"`
	// Absent: the host has published that it has no such argument.
	Absent  bool      `json:"absent,omitempty"`
	Run     uint64    `json:"run"`
	Task    string    `json:"task,omitempty"`
	Attempt uint64    `json:"attempt"`
	Job     uint32    `json:"job"`
	Time    time.Time `json:"time"`
}

// facts answers with what is known of an agent's host. Where another orchestrator
// has the agent's connection, that one is asked.
func (h *Handler) facts(w http.ResponseWriter, r *http.Request) error {
	ref := r.PathValue("name")
	out := Facts{Schema: Schema, Facts: []Fact{}}
	var id uint64
	var away string
	h.o.View(func(s *engine.State) {
		a := orchestrator.FindAgent(s, ref)
		if a == nil {
			return
		}
		id, out.Agent = a.ID, a.Name
		out.Note = "the agent is not connected"
		if a.Connected {
			away = fmt.Sprintf("agent %s is connected to orchestrator %d", a.Name, a.Gateway)
			out.Note = ""
		}
		for _, v := range a.Values() {
			out.Facts = append(out.Facts, PublishedView(s, v))
		}
	})
	if id == 0 {
		return &Error{Code: "not-found", Message: "no agent " + strconv.Quote(ref), Hint: `"quorate agent ls" lists them`}
	}
	if r.URL.Query().Get("published") != "" {
		out.Note = "the agent was not asked"
		return answer(w, http.StatusOK, out)
	}
	reply, err := h.o.AgentFacts(r.Context(), id)
	switch {
	case err == nil:
		out.Asked, out.Note, out.Truncated = true, "", reply.Truncated
		own := make([]Fact, 0, len(reply.Facts)+len(out.Facts))
		for i := range reply.Facts {
			own = append(own, ownFact(&reply.Facts[i]))
		}
		out.Facts = append(own, out.Facts...)
	case errors.Is(err, orchestrator.ErrNotHere) && away != "":
		return &Error{Code: "unavailable", Message: away, Hint: `try again, since it may just be moving, or ask for what is on record with --published`}
	case !errors.Is(err, orchestrator.ErrNotHere):
		return &Error{Code: "unavailable", Message: err.Error(), Hint: "try again, or ask for what is on record with --published"}
	}
	return answer(w, http.StatusOK, out)
}

// PublishedView shows a value that a host has published.
func PublishedView(s *engine.State, v *engine.Published) Fact {
	f := Fact{Kind: "published", Name: v.Key, Value: valueJSON(v.Value), Absent: v.Absent,
		Run: v.Run, Attempt: v.Attempt, Job: v.Job, Time: timeOf(v.Time)}
	if run := s.Run(v.Run); run != nil {
		f.Task = run.Graph.Tasks[v.Task].ID
	}
	return f
}

func ownFact(w *wire.Fact) Fact {
	f := Fact{Kind: "arg", Name: w.Name, Value: valueJSON(w.Value),
		Run: w.Run, Task: w.Task, Attempt: w.Attempt, Job: w.Job, Time: timeOf(w.Time)}
	if w.Env {
		f.Kind = "env"
	}
	return f
}

// valueJSON is a value as JSON. What JSON has no number for is text.
func valueJSON(encoded []byte) json.RawMessage {
	v, err := pyvalue.Decode(encoded)
	if err != nil {
		return json.RawMessage("null")
	}
	if text := pyvalue.JSON(v); json.Valid([]byte(text)) {
		return json.RawMessage(text)
	}
	return json.RawMessage(strconv.Quote(pyvalue.Repr(v)))
}

// Facts returns what is known of an agent's host; with published, without asking
// the agent.
func (c *Client) Facts(ctx context.Context, name string, published bool) (*Facts, error) {
	query := url.Values{}
	if published {
		query.Set("published", "1")
	}
	return get[Facts](ctx, c, "/v1/agents/"+url.PathEscape(name)+"/facts", query)
}
