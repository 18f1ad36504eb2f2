package cli

import (
	"fmt"
	"net"
	"os"
)

// reachable are the addresses under which others find this orchestrator.
type reachable struct {
	host              string // its name, for display
	raft, agents, api string // api is empty where operators are not served
}

// advertised says how the sockets of this machine are reached from others: under
// the host that is advertised, or else the one that an address names, or else
// the machine's name.
func advertised(advertise string, raft, agents, api net.Addr, listens ...string) (reachable, error) {
	name, err := os.Hostname()
	if err != nil {
		return reachable{}, fmt.Errorf("host name: %w", err)
	}
	fallback := name
	for _, address := range listens { // the first that names a host to others
		if host := namedHost(address); host != "" && !loopback(address) {
			fallback = host
			break
		}
	}
	at := func(a net.Addr) string {
		if a == nil {
			return ""
		}
		host, port, err := net.SplitHostPort(a.String())
		if err != nil {
			return a.String()
		}
		switch {
		case advertise != "":
			host = advertise
		case namedHost(a.String()) == "":
			host = fallback
		}
		return net.JoinHostPort(host, port)
	}
	return reachable{host: name, raft: at(raft), agents: at(agents), api: at(api)}, nil
}

// namedHost is the host of an address, or nothing for one on all interfaces.
func namedHost(address string) string {
	host, _, err := net.SplitHostPort(address)
	if ip := net.ParseIP(host); err != nil || ip != nil && ip.IsUnspecified() {
		return ""
	}
	return host
}

// loopback reports whether an address is for this machine alone.
func loopback(address string) bool {
	host := namedHost(address)
	ip := net.ParseIP(host)
	return host == "localhost" || ip != nil && ip.IsLoopback()
}
