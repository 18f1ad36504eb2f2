package api

import (
	"fmt"
	"net/http"

	"quorate/engine"
)

func (h *Handler) submitPlan(w http.ResponseWriter, r *http.Request) error {
	var in PlanSubmit
	if err := decode(w, r, &in); err != nil {
		return err
	}
	if err := checkSchema(in.Schema); err != nil {
		return err
	}
	if err := h.o.RecordPlan(r.Context(), in.PlanID, callerOf(r).name); err != nil {
		return err
	}
	return h.answerPlan(w, in.PlanID)
}

func (h *Handler) plan(w http.ResponseWriter, r *http.Request) error {
	return h.answerPlan(w, r.PathValue("id"))
}

func (h *Handler) answerPlan(w http.ResponseWriter, id string) error {
	var out Plan
	h.o.View(func(s *engine.State) {
		if g := s.Plans[id]; g != nil {
			out = PlanView(g)
		}
	})
	if out.ID == "" {
		return &Error{Code: "not-found", Message: fmt.Sprintf("no plan %.12q on record", id)}
	}
	return answer(w, http.StatusOK, out)
}
