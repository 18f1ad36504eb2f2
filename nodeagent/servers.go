package nodeagent

import (
	"errors"
	"math/rand/v2"
	"net"
	"slices"

	"quorate/nodeagent/wire"
)

// A serverList is where orchestrators are to be found: where the cluster said when
// the agent connected last, in its order, and then where the command line says. An
// orchestrator that has left the cluster is gone from what the cluster says.
type serverList struct {
	learned, given []string
}

func newServerList(learned, given []string) *serverList {
	l := &serverList{learned: learned, given: slices.Clone(given)}
	rand.Shuffle(len(l.given), func(i, k int) { l.given[i], l.given[k] = l.given[k], l.given[i] })
	return l
}

// ErrNoServers is wrapped where an agent does not know where any orchestrator is.
var ErrNoServers = errors.New("no address of an orchestrator is known")

// order returns the addresses in the order in which to try them. The one that has
// just failed comes last.
func (l *serverList) order(failed string) []string {
	var all []string
	for _, s := range slices.Concat(l.learned, l.given) {
		if !slices.Contains(all, s) {
			all = append(all, s)
		}
	}
	if i := slices.Index(all, failed); i >= 0 {
		all = append(slices.Delete(all, i, i+1), failed)
	}
	return all
}

// learn takes over what the cluster says, and reports whether that is news. A
// cluster that names nobody says nothing.
func (l *serverList) learn(servers []string) bool {
	servers = soundAddresses(servers)
	if len(servers) == 0 || slices.Equal(servers, l.learned) {
		return false
	}
	l.learned = servers
	return true
}

// soundAddresses leaves out what nobody can be reached under.
func soundAddresses(servers []string) []string {
	var sound []string
	for _, s := range servers[:min(len(servers), wire.ServersMax)] {
		host, port, err := net.SplitHostPort(s)
		if err == nil && host != "" && port != "" && len(s) <= wire.AddressBytesMax && !slices.Contains(sound, s) {
			sound = append(sound, s)
		}
	}
	return sound
}
