package api

import (
	"context"
	"net"
	"net/http"
	"os/user"
	"strconv"
	"time"

	"golang.org/x/sys/unix"

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
func identify(r *http.Request, now time.Time) caller {
	if name, ok := r.Context().Value(localKey{}).(string); ok {
		return caller{administrator, name}
	}
	if r.TLS == nil || len(r.TLS.PeerCertificates) == 0 || !r.TLS.HandshakeComplete {
		return caller{}
	}
	cert := r.TLS.PeerCertificates[0]
	name, err := pki.OperatorName(cert)
	if err != nil || now.After(cert.NotAfter) || now.Before(cert.NotBefore) {
		return caller{}
	}
	return caller{operator, "operator:" + name}
}

type callerKey struct{}

// callerOf returns who makes a request that was let through.
func callerOf(r *http.Request) caller {
	c, _ := r.Context().Value(callerKey{}).(caller)
	return c
}
