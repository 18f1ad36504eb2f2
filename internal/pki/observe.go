package pki

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
)

// What a refusal wraps besides [ErrIdentity], where it is not another cluster's.
var (
	ErrNoCertificate = errors.New("none was sent")
	ErrExpired       = errors.New("it is not in force")
	ErrRole          = errors.New("it is for another role")
)

// ErrProtocol is wrapped where a client speaks nothing that the endpoint does.
var ErrProtocol = errors.New("no such protocol here")

// A Refusal is a client that an endpoint has refused while the two shook hands.
type Refusal struct {
	// Protocols are those that the client named.
	Protocols []string
	Address   net.Addr
	// Shown is whose certificate was shown, a zero one where that was none that one of
	// the authorities has issued. That who showed it has the key is not known yet.
	Shown Identity
	Err   error
}

// Observed is an endpoint's configuration whose refusals are told. What is refused stays
// the same: an endpoint that demands a certificate does so by VerifyConnection alone, so
// that it is called, too, where none was sent. The authorities are those that may have
// issued what is shown.
func Observed(c *tls.Config, refused func(Refusal), authorities ...*x509.Certificate) *tls.Config {
	pick := c.GetConfigForClient
	out := c.Clone()
	out.GetConfigForClient = func(hello *tls.ClientHelloInfo) (*tls.Config, error) {
		picked := c
		if pick != nil {
			chosen, err := pick(hello)
			if err != nil {
				refused(Refusal{Protocols: hello.SupportedProtos, Address: hello.Conn.RemoteAddr(), Err: err})
				return nil, err
			}
			if chosen != nil {
				picked = chosen
			}
		}
		verify := picked.VerifyConnection
		if picked.ClientAuth == tls.NoClientCert || verify == nil {
			return picked, nil
		}
		told := picked.Clone()
		told.ClientAuth = tls.RequestClientCert
		told.VerifyConnection = func(cs tls.ConnectionState) error {
			err := verify(cs)
			if err == nil && len(cs.PeerCertificates) == 0 {
				err = fmt.Errorf("%w: %w", ErrIdentity, ErrNoCertificate)
			}
			if err != nil {
				refused(Refusal{Protocols: hello.SupportedProtos, Address: hello.Conn.RemoteAddr(), Shown: shown(cs.PeerCertificates, authorities), Err: err})
			}
			return err
		}
		return told, nil
	}
	return out
}

// shown is whose the certificate is, whether or not it is in force or for this use.
func shown(chain []*x509.Certificate, authorities []*x509.Certificate) Identity {
	if len(chain) == 0 {
		return Identity{}
	}
	id, err := IdentityOf(chain[0])
	if err != nil {
		return Identity{}
	}
	for _, ca := range authorities {
		if chain[0].CheckSignatureFrom(ca) == nil {
			return id
		}
	}
	return Identity{}
}
