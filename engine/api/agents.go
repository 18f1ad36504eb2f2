package api

import (
	"context"
	"fmt"
	"net/http"
	"sort"
	"strconv"
	"time"

	"quorate/engine"
	"quorate/engine/orchestrator"
)

// agents lists the agents, or with kind=relay the relays of sites.
func (h *Handler) agents(w http.ResponseWriter, r *http.Request) error {
	relays := false
	switch kind := r.URL.Query().Get("kind"); kind {
	case "", "agent":
	case engine.RelayRole:
		relays = true
	default:
		return badRequest("kind %.32q: want agent or relay", kind)
	}
	out := Agents{Schema: Schema, Agents: []Agent{}}
	h.o.View(func(s *engine.State) {
		for _, a := range s.Agents {
			if a.Relay == relays {
				out.Agents = append(out.Agents, h.agentView(s, a))
			}
		}
	})
	sort.Slice(out.Agents, func(i, j int) bool {
		a, b := &out.Agents[i], &out.Agents[j]
		return a.Name < b.Name || a.Name == b.Name && a.ID < b.ID
	})
	return answer(w, http.StatusOK, out)
}

// agentView is [AgentView] with what is known here alone.
func (h *Handler) agentView(s *engine.State, a *engine.Agent) Agent {
	view := AgentView(s, a)
	if why := h.o.Distrust(a.ID); why != "" && view.Reason == "" {
		view.Reason = fmt.Sprintf("refuses the log of orchestrator %d: %s", h.o.Replica(), why)
	}
	return view
}

func (h *Handler) agent(w http.ResponseWriter, r *http.Request) error {
	return h.answerAgent(w, r.PathValue("name"))
}

func (h *Handler) answerAgent(w http.ResponseWriter, ref string) error {
	var out Agent
	h.o.View(func(s *engine.State) {
		if a := orchestrator.FindAgent(s, ref); a != nil {
			out = h.agentView(s, a)
			out.Steadiness = SteadinessView(s, a, h.o.Now())
		}
	})
	if out.ID == 0 {
		return &Error{Code: "not-found", Message: "no agent " + strconv.Quote(ref), Hint: `"quorate agent ls" lists them`}
	}
	return answer(w, http.StatusOK, out)
}

func (h *Handler) approve(w http.ResponseWriter, r *http.Request) error {
	return h.changeAgent(w, r, h.o.Approve)
}

func (h *Handler) revoke(w http.ResponseWriter, r *http.Request) error {
	return h.changeAgent(w, r, h.o.Revoke)
}

func (h *Handler) changeAgent(w http.ResponseWriter, r *http.Request, change func(context.Context, string, orchestrator.Change) error) error {
	var in AgentChange
	if err := decode(w, r, &in); err != nil {
		return err
	}
	if err := checkSchema(in.Schema); err != nil {
		return err
	}
	name := r.PathValue("name")
	if err := change(r.Context(), name, changeBy(r, in.RequestID, in.Reason)); err != nil {
		return err
	}
	return h.answerAgent(w, name)
}

// orchestratorRole is of tokens for orchestrators, see [TokenCreate].
const orchestratorRole = "orchestrator"

func (h *Handler) createToken(w http.ResponseWriter, r *http.Request) error {
	var in TokenCreate
	if err := decode(w, r, &in); err != nil {
		return err
	}
	if err := checkSchema(in.Schema); err != nil {
		return err
	}
	if by := callerOf(r); in.Role == orchestratorRole && !by.role.may(appoint) {
		// Whoever joins as an orchestrator gets the cluster's keys.
		h.deny(w, r, "POST /v1/tokens", by)
		return nil
	}
	const secondsMax = int64(1<<63-1) / int64(time.Second)
	if in.TTLSeconds < 0 || in.TTLSeconds > secondsMax {
		return badRequest("ttl_seconds %d is out of range", in.TTLSeconds)
	}
	token, expires, err := h.o.CreateToken(r.Context(), orchestrator.TokenRequest{
		Name: in.Name, Role: in.Role, Labels: in.Labels, TTL: time.Duration(in.TTLSeconds) * time.Second,
		AutoApprove: in.AutoApprove, By: callerOf(r).name,
	})
	if err != nil {
		return err
	}
	w.Header().Set("Cache-Control", "no-store")
	return answer(w, http.StatusCreated, Token{Schema: Schema, Token: token, Name: in.Name, ExpiresAt: expires})
}
