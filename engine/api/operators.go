package api

import "net/http"

func (h *Handler) createOperator(w http.ResponseWriter, r *http.Request) error {
	var in OperatorCreate
	if err := decode(w, r, &in); err != nil {
		return err
	}
	if err := checkSchema(in.Schema); err != nil {
		return err
	}
	bundle, expires, err := h.o.CreateOperator(r.Context(), in.Name, callerOf(r).name)
	if err != nil {
		return err
	}
	w.Header().Set("Cache-Control", "no-store")
	return answer(w, http.StatusCreated, Operator{Schema: Schema, Name: in.Name, Bundle: string(bundle), ExpiresAt: expires})
}
