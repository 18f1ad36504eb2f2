package api

import (
	"context"
	"encoding/hex"
	"net/http"
	"time"

	"quorate/engine/orchestrator"
)

// A Checkpoint is what the cluster signed of its log: the answer of /v1/checkpoint. GET
// gives the newest, POST one that covers everything that is committed.
type Checkpoint struct {
	Schema string `json:"schema"`
	// Key verifies the note, in the form of golang.org/x/mod/sumdb/note.
	Key string `json:"key"`
	// Size is how many records are signed; 0 where none are yet.
	Size       uint64     `json:"size"`
	Root       string     `json:"root,omitempty"` // hex
	Head       string     `json:"head,omitempty"` // hex, the hash of the last of them in the chain
	Generation uint64     `json:"generation,omitempty"`
	Time       *time.Time `json:"time,omitempty"`
	Note       string     `json:"note,omitempty"`
}

// Checkpoint returns the newest checkpoint, and the key of the cluster's log.
func (c *Client) Checkpoint(ctx context.Context) (*Checkpoint, error) {
	return get[Checkpoint](ctx, c, "/v1/checkpoint", nil)
}

// SignCheckpoint returns a checkpoint that covers everything that is committed.
func (c *Client) SignCheckpoint(ctx context.Context) (*Checkpoint, error) {
	return post[Checkpoint](ctx, c, "/v1/checkpoint", nil)
}

func (h *Handler) checkpoint(w http.ResponseWriter, r *http.Request) error {
	signed, err := h.o.CheckpointFolded(r.Context())
	if err != nil {
		return err
	}
	return h.answerCheckpoint(w, signed)
}

func (h *Handler) signCheckpoint(w http.ResponseWriter, r *http.Request) error {
	signed, err := h.o.SignCheckpoint(r.Context())
	if err != nil {
		return err
	}
	return h.answerCheckpoint(w, signed)
}

func (h *Handler) answerCheckpoint(w http.ResponseWriter, signed *orchestrator.Signed) error {
	out := Checkpoint{Schema: Schema, Key: h.o.LogKey()}
	if signed != nil {
		out.Size, out.Root, out.Head = signed.Size, hex.EncodeToString(signed.Root[:]), hex.EncodeToString(signed.Head[:])
		out.Generation, out.Time, out.Note = signed.Generation, &signed.Time, string(signed.Note)
	}
	return answer(w, http.StatusOK, out)
}
