package api

import (
	"context"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"quorate/engine"
)

// OperatorCreate is the body of POST /v1/operators.
type OperatorCreate struct {
	Schema string `json:"schema"`
	Name   string `json:"name"`
	// LifetimeSeconds is how long the identity is good for; 0 is a year.
	LifetimeSeconds int64 `json:"lifetime_seconds,omitempty"`
}

// Operator answers it. The key in the bundle is shown once and not kept.
type Operator struct {
	Schema string `json:"schema"`
	Name   string `json:"name"`
	// Bundle is PEM: the operator's certificate, its key and the authority's
	// certificate.
	Bundle    string    `json:"bundle"`
	ExpiresAt time.Time `json:"expires_at"`
}

// OperatorRenew is the body of POST /v1/operators/renew, by which an operator has a key
// of its own choice certified under its name.
type OperatorRenew struct {
	Schema string `json:"schema"`
	// PublicKey is in PKIX form: ECDSA P-256, P-384 or Ed25519.
	PublicKey []byte `json:"public_key"`
	// LifetimeSeconds is as in [OperatorCreate].
	LifetimeSeconds int64 `json:"lifetime_seconds,omitempty"`
}

// OperatorCertificate answers it.
type OperatorCertificate struct {
	Schema      string    `json:"schema"`
	Name        string    `json:"name"`
	Certificate []byte    `json:"certificate"` // DER
	ExpiresAt   time.Time `json:"expires_at"`
}

// OperatorRevoke is the body of POST /v1/operators/{name}/revoke.
type OperatorRevoke struct {
	Schema    string `json:"schema"`
	RequestID string `json:"request_id"`
	Reason    string `json:"reason"`
	// Force revokes a name that is on no record, too.
	Force bool `json:"force,omitempty"`
}

// Operators is the answer to GET /v1/operators.
type Operators struct {
	Schema    string           `json:"schema"`
	Operators []OperatorStatus `json:"operators"` // by name
}

// OperatorStatus is what is on record of an operator's name.
type OperatorStatus struct {
	Schema string `json:"schema"`
	Name   string `json:"name"`
	// Status is active, expired or revoked.
	Status string `json:"status"`
	// Identities counts those that are in force, and ExpiresAt is when the last one of
	// them ends; absent where there is none.
	Identities int        `json:"identities"`
	ExpiresAt  *time.Time `json:"expires_at,omitempty"`
	// IssuedBy and Seq are who issued the newest, and its record.
	IssuedBy string `json:"issued_by,omitempty"`
	Seq      uint64 `json:"seq,omitempty"`
	// Revoked is the newest revocation, absent where there was none. What was issued
	// since counts.
	Revoked *OperatorRevocation `json:"revoked,omitempty"`
}

// OperatorRevocation is when and why an operator was revoked.
type OperatorRevocation struct {
	Time   time.Time `json:"time"`
	By     string    `json:"by"`
	Reason string    `json:"reason"`
	Seq    uint64    `json:"seq"`
}

// OperatorView shows an operator as of a time.
func OperatorView(op *engine.Operator, now time.Time) OperatorStatus {
	view := OperatorStatus{Schema: Schema, Name: op.Name, Status: "expired", IssuedBy: op.By, Seq: op.Index}
	for _, k := range op.Certificates(now.UnixNano()) {
		view.Status = "active"
		view.Identities++
		if end := timeOf(k.ExpiresAt); view.ExpiresAt == nil || end.After(*view.ExpiresAt) {
			view.ExpiresAt = &end
		}
	}
	if r := op.Revocation; r.Index != 0 {
		view.Revoked = &OperatorRevocation{Time: timeOf(r.Time), By: r.By, Reason: r.Reason, Seq: r.Index}
		if op.Revoked() {
			view.Status = "revoked"
		}
	}
	return view
}

func (h *Handler) operators(w http.ResponseWriter, _ *http.Request) error {
	out := Operators{Schema: Schema, Operators: []OperatorStatus{}}
	now := h.o.Now()
	h.o.View(func(s *engine.State) {
		for _, name := range slices.Sorted(maps.Keys(s.Operators)) {
			out.Operators = append(out.Operators, OperatorView(s.Operators[name], now))
		}
	})
	return answer(w, http.StatusOK, out)
}

func (h *Handler) createOperator(w http.ResponseWriter, r *http.Request) error {
	var in OperatorCreate
	lifetime, err := decodeLifetime(w, r, &in, &in.Schema, &in.LifetimeSeconds)
	if err != nil {
		return err
	}
	bundle, expires, err := h.o.CreateOperator(r.Context(), in.Name, lifetime, callerOf(r).name)
	if err != nil {
		return err
	}
	w.Header().Set("Cache-Control", "no-store")
	return answer(w, http.StatusCreated, Operator{Schema: Schema, Name: in.Name, Bundle: string(bundle), ExpiresAt: expires})
}

// decodeLifetime decodes a request that has a lifetime in seconds among its fields, and
// returns that as a duration.
func decodeLifetime(w http.ResponseWriter, r *http.Request, into any, schema *string, seconds *int64) (time.Duration, error) {
	if err := decode(w, r, into); err != nil {
		return 0, err
	}
	if err := checkSchema(*schema); err != nil {
		return 0, err
	}
	const secondsMax = int64(1<<63-1) / int64(time.Second)
	if *seconds < 0 || *seconds > secondsMax {
		return 0, badRequest("lifetime_seconds %d is out of range", *seconds)
	}
	return time.Duration(*seconds) * time.Second, nil
}

func (h *Handler) renewOperator(w http.ResponseWriter, r *http.Request) error {
	var in OperatorRenew
	lifetime, err := decodeLifetime(w, r, &in, &in.Schema, &in.LifetimeSeconds)
	if err != nil {
		return err
	}
	by := callerOf(r)
	if by.role != operator {
		return badRequest("only an operator has an identity to be renewed: who uses the unix socket needs none")
	}
	der, expires, err := h.o.RenewOperator(r.Context(), by.operator, in.PublicKey, lifetime, by.key)
	if err != nil {
		return err
	}
	return answer(w, http.StatusCreated, OperatorCertificate{Schema: Schema, Name: by.operator, Certificate: der, ExpiresAt: expires})
}

func (h *Handler) revokeOperator(w http.ResponseWriter, r *http.Request) error {
	var in OperatorRevoke
	if err := decode(w, r, &in); err != nil {
		return err
	}
	if err := checkSchema(in.Schema); err != nil {
		return err
	}
	name := r.PathValue("name")
	if err := h.o.RevokeOperator(r.Context(), name, changeBy(r, in.RequestID, in.Reason), in.Force); err != nil {
		return err
	}
	var out OperatorStatus
	now := h.o.Now()
	h.o.View(func(s *engine.State) {
		if op := s.Operators[name]; op != nil {
			out = OperatorView(op, now)
		}
	})
	return answer(w, http.StatusOK, out)
}

// Operators returns what is on record of operators' names.
func (c *Client) Operators(ctx context.Context) (*Operators, error) {
	return get[Operators](ctx, c, "/v1/operators", nil)
}

// CreateOperator issues an identity for the HTTPS API. Its key is in the answer
// and nowhere else. Only local administrators may: the client has to be one of the
// unix socket.
func (c *Client) CreateOperator(ctx context.Context, in OperatorCreate) (*Operator, error) {
	in.Schema = Schema
	return post[Operator](ctx, c, "/v1/operators", &in)
}

// RenewOperator has a public key certified under the name of the operator whose identity
// the client uses.
func (c *Client) RenewOperator(ctx context.Context, in OperatorRenew) (*OperatorCertificate, error) {
	in.Schema = Schema
	return post[OperatorCertificate](ctx, c, "/v1/operators/renew", &in)
}

// RevokeOperator ends the right of all identities that were issued for a name. Only local
// administrators may, as with [Client.CreateOperator].
func (c *Client) RevokeOperator(ctx context.Context, name string, in OperatorRevoke) (*OperatorStatus, error) {
	in.Schema = Schema
	// A name may be dots alone, which a path would lose.
	segment := strings.ReplaceAll(url.PathEscape(name), ".", "%2E")
	return post[OperatorStatus](ctx, c, "/v1/operators/"+segment+"/revoke", &in)
}
