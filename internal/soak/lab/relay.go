package lab

import (
	"context"
	"net"
	"path/filepath"
	"strings"

	"quorate/engine/api"
)

// relayPort is where the agents of a site come.
const relayPort = "7443"

// A Relay is a site's relay: its host and process.
type Relay struct {
	*Host
	*Process
	Dir string
}

// Name is the host's and the process's, and the name of the relay.
func (r *Relay) Name() string { return r.Host.Name }

// Address is where the agents of its site come.
func (r *Relay) Address() string { return net.JoinHostPort(r.Host.Address, relayPort) }

// Relay returns the relay, or nil where the lab has none.
func (l *Lab) Relay() *Relay {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.relay
}

// addRelay starts the relay of the agents that have one.
func (l *Lab) addRelay(ctx context.Context) error {
	h, err := l.Net.Host("r1")
	if err != nil {
		return err
	}
	servers := l.Servers()
	local, err := servers[0].Local()
	if err != nil {
		return err
	}
	defer local.Close()
	token, err := local.CreateToken(ctx, api.TokenCreate{Name: h.Name, Role: "relay", TTLSeconds: 3600})
	if err != nil {
		return err
	}
	var addresses []string
	for _, s := range servers {
		addresses = append(addresses, s.AgentAddress())
	}
	r := &Relay{Host: h, Dir: filepath.Join(l.Dir, h.Name)}
	r.Process = l.process(h, nil, []string{"QUORATE_TOKEN=" + token.Token},
		l.Bin, "relay", "--server", strings.Join(addresses, ","), "--listen", r.Address(), "--data-dir", r.Dir)
	l.mu.Lock()
	l.relay = r
	l.mu.Unlock()
	return r.Start()
}

// through are the flags that say how an agent of a number, from 1, comes to the cluster.
func (l *Lab) through(number int) []string {
	servers := l.Servers()
	if r := l.Relay(); r != nil && number > l.opt.Agents-l.opt.Relayed {
		return []string{"--relay", r.Address()}
	}
	return []string{"--server", servers[number%len(servers)].AgentAddress()}
}
