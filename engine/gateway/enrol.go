package gateway

import (
	"context"
	"errors"
	"strings"
	"time"

	"quorate/engine/denial"
	"quorate/engine/orchestrator"
	"quorate/nodeagent/wire"
)

// enrol answers the one request of an enrolment connection.
func (g *gateway) enrol(ctx context.Context, c *connection) {
	ctx, cancel := context.WithTimeout(ctx, helloTimeout)
	defer cancel()
	st, err := c.stream(ctx)
	if err != nil {
		return
	}
	if err := st.readWithin(helloTimeout); err != nil {
		return
	}
	go func() { // ends with ctx
		if _, err := c.stream(ctx); err == nil {
			c.close(codeProtocol, "an enrolment takes one stream")
		}
	}()
	message, err := wire.ReadFrom(st, wire.Agent)
	if err != nil {
		g.logger.Debug("enrolment was not read", "address", c.remote(), "error", err)
		c.close(codeProtocol, "no enrolment was read")
		return
	}
	request, ok := message.(*wire.Enrol)
	if !ok {
		c.close(codeProtocol, "an enrolment is expected here")
		return
	}
	answer := g.enrolment(ctx, c, request)
	if err := wire.WriteMessage(st, answer); err != nil || st.Close() != nil {
		return
	}
	// The peer closes when it has the answer; closing here could overtake it.
	timer := time.NewTimer(farewellTimeout)
	defer timer.Stop()
	select {
	case <-c.done():
	case <-timer.C:
	}
}

// enrolment gives an identity to whoever knows a token's secret.
//
// Who shows one that can be spent is not bounded: a site of thousands behind one
// address comes in all at once, and each token counts once. Guesses are bounded, by
// address and in total. A guess that turns out to be right, since the token was made
// a moment ago elsewhere, is none.
func (g *gateway) enrolment(ctx context.Context, c *connection, request *wire.Enrol) wire.Message {
	if c.over() != nil {
		return g.full(c).message()
	}
	guess := !g.o.Invited(request.Token, request.PublicKey)
	if guess && !g.guesses.allow(c.address(), time.Now()) {
		g.deniedEnrolment(c, denial.Guesses)
		return &wire.Refuse{Code: "busy", Reason: "too many enrolments without a token that counts: try again in a minute"}
	}
	out, err := g.o.Enrol(ctx, orchestrator.EnrolRequest{
		Secret: request.Token, PublicKey: request.PublicKey, Name: request.Name,
		JournalID: request.JournalID, Hostname: request.Hostname, Relay: request.Relay,
	})
	if err != nil {
		g.logger.Warn("enrolment refused", "address", c.remote(), "name", printable(request.Name), "error", err)
		g.deniedEnrolment(c, denial.Of(err))
		return refusedEnrolment(err)
	}
	if guess {
		g.guesses.forgive(c.address())
	}
	g.logger.Info("agent enrolled", "agent", out.Agent, "name", out.Name, "pending", out.Pending, "address", c.remote())
	return &wire.Enrolled{
		Pending: out.Pending, Agent: out.Agent, Name: out.Name, ClusterID: g.o.CA().ClusterID(),
		Certificate: out.Certificate, CA: g.o.CA().Certificate().Raw,
	}
}

// refusedEnrolment is what a peer may know of an error: what is final, or that it is to
// try again.
func refusedEnrolment(err error) wire.Message {
	var known *orchestrator.Error
	if errors.As(err, &known) && known.Code != orchestrator.Internal && known.Code != orchestrator.Unavailable {
		return &wire.Enrolled{Error: known.Message}
	}
	return &wire.Refuse{Code: "busy", Reason: "the orchestrator cannot enrol now: try again"}
}

// printable bounds what a peer can put into our logs.
func printable(s string) string {
	return clip(strings.ToValidUTF8(s, "\uFFFD"), nameBytesMax)
}

// clip cuts text to a number of bytes, not within a character.
func clip(s string, bytes int) string {
	if len(s) <= bytes {
		return s
	}
	for bytes > 0 && s[bytes]&0xC0 == 0x80 {
		bytes--
	}
	return s[:bytes]
}
