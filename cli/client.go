package cli

import (
	"crypto/rand"
	"encoding/hex"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"quorate/engine/api"
	"quorate/internal/pki"
)

// dial returns a client of the orchestrator that the flags name: --server, or
// the socket of the server of this machine. An identity whose end is near is renewed.
func (p *program) dial() (*api.Client, error) { return p.dialAs(true) }

// dialAs is dial that renews the identity or not.
func (p *program) dialAs(renew bool) (*api.Client, error) {
	address := p.server
	if address == "" {
		address = "unix://" + filepath.Join(p.defaultDir("server"), socketName)
	}
	opts := []api.DialOption{api.WithNotice(p.notices())}
	var identity *pki.Bundle
	if p.identity != "" {
		var err error
		if identity, err = operatorBundle(p.identity); err != nil {
			return nil, fail(exitError, fmt.Errorf("identity: %w", err), "give the file that the server wrote as operator.pem with --identity")
		}
		opts = append(opts, api.WithTLS(pki.OperatorTLS(identity)))
	}
	client, err := api.Dial(address, opts...)
	if err != nil {
		return nil, fail(exitUsage, err, "give the address with --server or QUORATE_SERVER, and for https the identity with --identity")
	}
	if renew && identity != nil && strings.HasPrefix(address, "https://") {
		p.keepIdentity(client, p.identity, identity.Certificate.Leaf, time.Now())
	}
	return client, nil
}

// notices tells the operator, once each, what goes on beside the answers.
func (p *program) notices() func(api.Notice) {
	var stale, moved sync.Once
	return func(n api.Notice) {
		switch {
		case n.Stale:
			stale.Do(func() { p.con.warn("no majority answers: this may be out of date") })
		case n.Moved != "":
			moved.Do(func() { p.con.note("no help from the orchestrator at %s; going on with %s", n.Left, n.Moved) })
		}
	}
}

// socketName is the API's socket in an orchestrator's data directory.
const socketName = "quorate.sock"

// defaultDir is where the state of a server, an agent or an embedded
// orchestrator lies where no flag says so.
func (p *program) defaultDir(kind string) string {
	if dir := p.con.getenv("XDG_STATE_HOME"); dir != "" {
		return filepath.Join(dir, "quorate", kind)
	}
	if os.Geteuid() == 0 && kind != "embedded" {
		return filepath.Join("/var/lib/quorate", kind)
	}
	home := p.con.getenv("HOME")
	if home == "" {
		home = os.TempDir()
	}
	return filepath.Join(home, ".local", "state", "quorate", kind)
}

// requestID names one command, so that its repetition is recognised.
func requestID() string {
	var b [16]byte
	_, _ = rand.Read(b[:]) // never fails, see crypto/rand
	return hex.EncodeToString(b[:])
}

// operatorBundle reads an operator's bundle.
func operatorBundle(path string) (*pki.Bundle, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	bundle, err := pki.ParseBundle(text)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return bundle, nil
}
