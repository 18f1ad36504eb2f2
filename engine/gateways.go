package engine

import (
	"cmp"
	"slices"
)

// AgentServers returns the addresses of the members that serve agents, in the
// order in which the agent is to try them. Each agent has an order of its own
// that depends on nothing but its id and the members' numbers: agents spread
// evenly, those of a member that leaves spread over the rest, and no other moves.
func (s *State) AgentServers(agent uint64) []string {
	replicas := s.AgentGateways(agent)
	addresses := make([]string, len(replicas))
	for i, id := range replicas {
		addresses[i] = s.members[id].AgentAddress
	}
	return addresses
}

// AgentGateways is [State.AgentServers] by the members' numbers.
func (s *State) AgentGateways(agent uint64) []uint64 {
	type ranked struct{ weight, replica uint64 }
	var all []ranked
	for _, id := range s.Members() {
		if s.members[id].AgentAddress != "" {
			all = append(all, ranked{rendezvous(agent, id), id})
		}
	}
	slices.SortFunc(all, func(a, b ranked) int {
		return cmp.Or(cmp.Compare(b.weight, a.weight), cmp.Compare(a.replica, b.replica))
	})
	replicas := make([]uint64, len(all))
	for i := range all {
		replicas[i] = all[i].replica
	}
	return replicas
}

// rendezvous weighs a gateway for an agent: highest random weight hashing, with
// the finalizer of splitmix64 as the hash.
func rendezvous(agent, replica uint64) uint64 {
	return mix(mix(agent) + replica*0x9e3779b97f4a7c15)
}

func mix(x uint64) uint64 {
	x = (x ^ x>>30) * 0xbf58476d1ce4e5b9
	x = (x ^ x>>27) * 0x94d049bb133111eb
	return x ^ x>>31
}

// ConnectedAgents counts the agents that are connected on record, by gateway. It
// looks at every agent.
func (s *State) ConnectedAgents() map[uint64]int {
	count := make(map[uint64]int)
	for _, a := range s.Agents {
		if a.Connected {
			count[a.Gateway]++
		}
	}
	return count
}
