package api

import (
	"context"
	"net/http"

	"quorate/engine"
)

// livez says that the process answers.
func (h *Handler) livez(w http.ResponseWriter, _ *http.Request) error {
	_, err := w.Write([]byte("ok\n"))
	return err
}

// readyz says whether the orchestrator can do its work, for which it needs a
// majority.
func (h *Handler) readyz(w http.ResponseWriter, r *http.Request) error {
	if err := h.o.Ready(); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(r.Context(), readBarrierTimeout)
	defer cancel()
	if err := h.o.Barrier(ctx); err != nil {
		return &Error{Code: "unavailable", Message: "no majority of the orchestrators answers"}
	}
	_, err := w.Write([]byte("ok\n"))
	return err
}

func (h *Handler) status(w http.ResponseWriter, _ *http.Request) error {
	out := Status{
		Schema: Schema, ClusterID: h.o.CA().ClusterID(), Version: h.o.Version(),
		Replica: h.o.Replica(), Leader: h.o.Leading(),
	}
	h.o.View(func(s *engine.State) {
		out.Epoch, out.Seq, out.Head = s.Epoch, s.Index, s.Head.String()
		out.Runs = len(s.Runs)
		for _, a := range s.Agents {
			if a.Revoked || a.Relay {
				continue
			}
			out.Agents++
			if a.Connected {
				out.Connected++
			}
		}
	})
	return answer(w, http.StatusOK, out)
}
