package api

import (
	"net/http"
	"strconv"
	"time"

	"quorate/engine"
	"quorate/engine/orchestrator"
)

func (h *Handler) runs(w http.ResponseWriter, r *http.Request) error {
	limit, err := numberIn(r, "limit", runsListedMax)
	if err != nil {
		return err
	}
	out := Runs{Schema: Schema, Runs: []Run{}}
	h.o.View(func(s *engine.State) {
		for i := len(s.Runs) - 1; i >= 0 && uint64(len(out.Runs)) < min(limit, runsListedMax); i-- {
			out.Runs = append(out.Runs, RunView(s, s.Runs[i], false))
		}
	})
	for i := range out.Runs {
		out.Runs[i].live(time.Now())
	}
	return answer(w, http.StatusOK, out)
}

// numberIn reads a number of the query; absent and 0 are the default.
func numberIn(r *http.Request, name string, def uint64) (uint64, error) {
	text := r.URL.Query().Get(name)
	if text == "" {
		return def, nil
	}
	n, err := strconv.ParseUint(text, 10, 64)
	if err != nil {
		return 0, badRequest("%s=%.32q: want a number", name, text)
	}
	if n == 0 {
		return def, nil
	}
	return n, nil
}

// aheadDefault is how many attempts an agent holds where the client does not say.
const aheadDefault = 1024

func (h *Handler) createRun(w http.ResponseWriter, r *http.Request) error {
	var in RunSubmit
	if err := decode(w, r, &in); err != nil {
		return err
	}
	if err := checkSchema(in.Schema); err != nil {
		return err
	}
	ahead := uint32(aheadDefault)
	if in.Ahead != nil {
		ahead = *in.Ahead
	}
	run, err := h.o.CreateRun(r.Context(), orchestrator.RunRequest{
		PlanID: in.PlanID, RequestID: in.RequestID, By: callerOf(r).name,
		StepsMax: in.Parallel, StepsPerHostMax: in.ParallelPerHost,
		FailFast: in.FailFast, IgnoreCache: in.IgnoreCache, Controller: in.Controller, Check: in.Check, AheadMax: ahead,
	})
	if err != nil {
		return err
	}
	return h.answerRun(w, http.StatusCreated, run, false)
}

// runIn returns the run that the path names: a number, or "latest".
func (h *Handler) runIn(r *http.Request) (id uint64, err error) {
	text := r.PathValue("id")
	id, parsed := strconv.ParseUint(text, 10, 64)
	var newest uint64
	h.o.View(func(s *engine.State) { newest = uint64(len(s.Runs)) })
	switch {
	case text == "latest" && newest > 0:
		return newest, nil
	case text == "latest":
		return 0, &Error{Code: "not-found", Message: "there is no run yet"}
	case parsed != nil:
		return 0, badRequest("run %.32q: want a number or latest", text)
	case id == 0 || id > newest:
		return 0, &Error{Code: "not-found", Message: "no run " + strconv.FormatUint(id, 10), Hint: `"quorate run ls" lists them`}
	}
	return id, nil
}

func (h *Handler) run(w http.ResponseWriter, r *http.Request) error {
	id, err := h.runIn(r)
	if err != nil {
		return err
	}
	return h.answerRun(w, http.StatusOK, id, true)
}

func (h *Handler) answerRun(w http.ResponseWriter, status int, id uint64, detail bool) error {
	var out Run
	h.o.View(func(s *engine.State) { out = RunView(s, s.Run(id), detail) })
	out.live(time.Now())
	return answer(w, status, out)
}

func (h *Handler) cancelRun(w http.ResponseWriter, r *http.Request) error {
	id, err := h.runIn(r)
	if err != nil {
		return err
	}
	var in Cancel
	if err := decode(w, r, &in); err != nil {
		return err
	}
	if err := checkSchema(in.Schema); err != nil {
		return err
	}
	if err := h.o.Cancel(r.Context(), id, changeBy(r, in.RequestID, in.Reason)); err != nil {
		return err
	}
	return h.answerRun(w, http.StatusOK, id, false)
}

func (h *Handler) resolve(w http.ResponseWriter, r *http.Request) error {
	id, err := h.runIn(r)
	if err != nil {
		return err
	}
	var in Resolve
	if err := decode(w, r, &in); err != nil {
		return err
	}
	if err := checkSchema(in.Schema); err != nil {
		return err
	}
	if err := h.o.Resolve(r.Context(), id, in.Step, in.As, changeBy(r, in.RequestID, in.Reason)); err != nil {
		return err
	}
	return h.answerRun(w, http.StatusOK, id, false)
}

func changeBy(r *http.Request, requestID, reason string) orchestrator.Change {
	return orchestrator.Change{RequestID: requestID, By: callerOf(r).name, Reason: reason}
}
