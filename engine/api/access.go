package api

import (
	"context"
	"net"
	"net/http"
	"os/user"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"quorate/engine"
	"quorate/engine/denial"
	"quorate/internal/pki"
)

// A right is what a route asks for. Every route names one: see routes.
type right uint8

const (
	anyone     right = iota + 1 // health checks
	read                        // see what is there
	operate                     // plans and runs
	administer                  // agents and tokens
	appoint                     // identities of operators
)

// A role is what a caller has shown to be.
type role uint8

const (
	nobody role = iota
	operator
	administrator // a local user who may open the socket
)

// may is the whole of the access rules.
func (r role) may(want right) bool {
	switch want {
	case anyone:
		return true
	case read, operate, administer:
		return r == operator || r == administrator
	case appoint:
		// An operator whose identity leaked could otherwise make itself others.
		return r == administrator
	}
	return false
}

// A caller is who makes a request.
type caller struct {
	role role
	name string // as it goes on record
	// reason is why a caller without a role has none.
	reason denial.Reason
	// Of an operator: the name, the digest of the certificate's key, and its end.
	operator, key string
	until         time.Time
}

type localKey struct{}

// connContext marks connections over the unix socket. Without the mark a request
// is nobody's: a handler that is served elsewhere by mistake gives nothing away.
func connContext(ctx context.Context, c net.Conn) context.Context {
	if u, ok := c.(*net.UnixConn); ok {
		return context.WithValue(ctx, localKey{}, localName(u))
	}
	return ctx
}

// localName names the user at the other end of a unix socket.
func localName(c *net.UnixConn) string {
	raw, err := c.SyscallConn()
	if err != nil {
		return "local"
	}
	var cred *unix.Ucred
	if raw.Control(func(fd uintptr) { cred, err = unix.GetsockoptUcred(int(fd), unix.SOL_SOCKET, unix.SO_PEERCRED) }) != nil || err != nil {
		return "local"
	}
	uid := strconv.FormatUint(uint64(cred.Uid), 10)
	if u, err := user.LookupId(uid); err == nil {
		return "local:" + u.Username
	}
	return "local:" + uid
}

// identify says who makes a request. A certificate is looked at for every
// request, since a connection may outlive it.
func (h *Handler) identify(r *http.Request) caller {
	if name, ok := r.Context().Value(localKey{}).(string); ok {
		return caller{role: administrator, name: name}
	}
	if r.TLS == nil || len(r.TLS.PeerCertificates) == 0 || !r.TLS.HandshakeComplete {
		return caller{reason: denial.NoCertificate}
	}
	cert, now := r.TLS.PeerCertificates[0], h.o.Now()
	id, err := pki.IdentityOf(cert)
	c := caller{name: id.Caller(), operator: id.Name, key: pki.KeyDigest(cert.RawSubjectPublicKeyInfo), until: cert.NotAfter}
	switch {
	case err != nil:
		c.reason = denial.UnknownCertificate
	case id.Role != pki.RoleOperator:
		c.reason = denial.WrongRole
	case now.After(cert.NotAfter) || now.Before(cert.NotBefore):
		c.reason = denial.Expired
	case h.revocation(c) != nil:
		c.reason = denial.Revoked
	default:
		c.role = operator
	}
	return c
}

// revocation is why a caller's certificate does not count any more, or nil.
func (h *Handler) revocation(c caller) (found *engine.Revocation) {
	h.o.View(func(s *engine.State) {
		if r := s.OperatorRevocation(c.operator, c.key); r != nil {
			kept := *r
			found = &kept
		}
	})
	return found
}

type callerKey struct{}

// callerOf returns who makes a request that was let through.
func callerOf(r *http.Request) caller {
	c, _ := r.Context().Value(callerKey{}).(caller)
	return c
}

// deny answers a caller without the right to a route, and has that recorded.
func (h *Handler) deny(w http.ResponseWriter, r *http.Request, pattern string, c caller) {
	h.denied.Inc()
	reason := c.reason
	if reason == "" {
		reason = denial.NoRight
	}
	h.logger.Debug("request denied", "caller", c.name, "reason", reason, "address", r.RemoteAddr, "method", r.Method, "path", r.URL.Path)
	host, _, err := net.SplitHostPort(r.RemoteAddr)
	if err != nil {
		host = ""
	}
	h.o.Denied(denial.Denial{Entry: strings.TrimSpace("api " + pattern), Caller: c.name, Reason: reason, Address: host})
	e := &Error{
		Code: "unauthorized", Message: "the caller has no right to this",
		Hint: "use the unix socket as the orchestrator's user, or an operator's certificate",
	}
	another := "have another one issued on an orchestrator's machine: \"quorate token create --role operator --name " + c.operator + "\""
	switch {
	case c.role == operator:
		e.Hint = "use the unix socket, on the orchestrator's machine and as its user"
	case reason == denial.Expired:
		e.Message, e.Hint = "the identity of operator "+c.operator+" is not in force: it ended at "+c.until.UTC().Format(time.RFC3339), another
	case reason == denial.Revoked:
		e.Message, e.Hint = "the identity of operator "+c.operator+" was revoked", another
	}
	writeError(w, http.StatusForbidden, e)
}
