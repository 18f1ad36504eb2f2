package lab

import (
	"context"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"quorate/engine/api"
	"quorate/internal/pki"
)

// forwardTimeout bounds connecting on behalf of a client.
const forwardTimeout = 3 * time.Second

// Dial returns a client of the HTTPS API of orchestrators whose connections come
// from a host, with the first operator's identity. Closing the lab ends it.
func (l *Lab) Dial(from *Host, to []*Server, opts ...api.DialOption) (*api.Client, error) {
	bundle, err := l.operator()
	if err != nil {
		return nil, err
	}
	var addresses []string
	for _, s := range to {
		address, err := l.forward(from, net.JoinHostPort(s.Address, httpPort))
		if err != nil {
			return nil, err
		}
		addresses = append(addresses, "https://"+address)
	}
	return api.Dial(strings.Join(addresses, ","), append(opts, api.WithTLS(pki.OperatorTLS(bundle)))...)
}

func (l *Lab) operator() (*pki.Bundle, error) {
	text, err := os.ReadFile(filepath.Join(l.Servers()[0].Dir, "operator.pem"))
	if err != nil {
		return nil, err
	}
	return pki.ParseBundle(text)
}

// forward gives an address of this process behind which an orchestrator answers
// as a host reaches it.
func (l *Lab) forward(from *Host, address string) (string, error) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", fmt.Errorf("forwarding: %w", err)
	}
	l.mu.Lock()
	l.forwards = append(l.forwards, ln)
	l.mu.Unlock()
	go func() { // ends when the lab closes ln
		for {
			near, err := ln.Accept()
			if err != nil {
				return
			}
			go carry(near, from, address)
		}
	}()
	return ln.Addr().String(), nil
}

// carry joins a connection to one from the host, until either ends.
func carry(near net.Conn, from *Host, address string) {
	defer near.Close()
	ctx, cancel := context.WithTimeout(context.Background(), forwardTimeout)
	defer cancel()
	far, err := from.Dial(ctx, "tcp", address)
	if err != nil {
		return
	}
	defer far.Close()
	var wg sync.WaitGroup
	wg.Go(func() {
		_, _ = io.Copy(far, near)
		_ = far.SetDeadline(time.Now()) // the other direction ends with this one
	})
	_, _ = io.Copy(near, far)
	_ = near.SetDeadline(time.Now())
	wg.Wait()
}
