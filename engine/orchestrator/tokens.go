package orchestrator

import (
	"context"
	"fmt"
	"time"

	"quorate/engine"
	"quorate/eventlog"
	"quorate/internal/pki"
)

// Lifetimes of join tokens.
const (
	tokenTTLDefault = time.Hour
	tokenTTLMax     = 30 * 24 * time.Hour
)

// A TokenRequest asks for a join token.
type TokenRequest struct {
	// Name is the agent's name; empty lets the agent propose one, and then it
	// waits for approval unless AutoApprove is set.
	Name string
	// Role is agent, relay, which has no labels, or orchestrator, which has neither
	// name nor labels here; an empty one is agent.
	Role   string
	Labels []string
	// TTL bounds the token's life; 0 is an hour.
	TTL         time.Duration
	AutoApprove bool
	By          string
}

// CreateToken makes a join token. The token is returned this once: the log has
// only its hash.
func (o *Orchestrator) CreateToken(ctx context.Context, req TokenRequest) (token string, expires time.Time, err error) {
	if req.Role == "" {
		req.Role = "agent"
	}
	if req.TTL == 0 {
		req.TTL = tokenTTLDefault
	}
	if err := checkToken(req); err != nil {
		return "", time.Time{}, err
	}
	if req.Role == "orchestrator" && (o.cfg.Secrets == nil || !o.joins()) {
		return "", time.Time{}, &Error{Code: Conflict, Message: errNotJoinable, Hint: hintJoinable}
	}
	token, hash, err := pki.NewToken(o.cfg.CA.Pin())
	if err != nil {
		return "", time.Time{}, &Error{Code: Internal, Message: "token: " + err.Error(), Err: err}
	}
	expires = o.cfg.Now().Add(req.TTL).UTC()
	_, err = o.propose(ctx, &eventlog.TokenCreated{
		TokenHash: hash, Name: req.Name, Role: req.Role, Labels: req.Labels, AutoApprove: req.AutoApprove,
		ExpiresAt: o.logTime(expires, req.TTL), Until: expires.UnixNano(), By: req.By,
	})
	if isVoid(err) {
		o.View(func(s *engine.State) {
			if s.Tokens[hash] != nil { // a repeat of an append whose outcome was open
				err = nil
			}
		})
	}
	if err != nil {
		return "", time.Time{}, err
	}
	return token, expires, nil
}

// logTime is when a token ends by the log's clock, which stays ahead for as long as
// a clock that was set wrong once had put it there.
func (o *Orchestrator) logTime(expires time.Time, ttl time.Duration) (at int64) {
	o.View(func(s *engine.State) { at = max(expires.UnixNano(), s.Time+int64(ttl)) })
	return at
}

func checkToken(req TokenRequest) error {
	switch {
	case req.Role == "orchestrator" && (req.Name != "" || len(req.Labels) > 0 || req.AutoApprove):
		return invalid("a token for an orchestrator has no name, no labels and needs no approval")
	case req.Role == engine.RelayRole && len(req.Labels) > 0:
		return invalid("a token for a relay has no labels: no work is given to it")
	case req.Role != "agent" && req.Role != engine.RelayRole && req.Role != "orchestrator":
		return &Error{
			Code: Invalid, Message: fmt.Sprintf("role %.32q: only agents, relays and orchestrators join with a token", req.Role),
			Hint: `"quorate token create --role operator --name NAME" issues an operator's identity`,
		}
	}
	if req.TTL < 0 || req.TTL > tokenTTLMax {
		return invalid("lifetime %s: want more than 0 and at most %s", req.TTL, tokenTTLMax)
	}
	if req.Name != "" {
		if err := checkName("name", req.Name); err != nil {
			return err
		}
	}
	if len(req.Labels) > labelsMax {
		return invalid("%d labels, more than %d", len(req.Labels), labelsMax)
	}
	for _, label := range req.Labels {
		if err := checkName("label", label); err != nil {
			return err
		}
	}
	return nil
}
