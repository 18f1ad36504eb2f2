package planner

import "slices"

// An assignment says which hosts each service has.
type assignment struct {
	// of holds for each service of the inputs its hosts, as ascending positions
	// in the inventory.
	of [][]uint32
}

// assign follows hosts to roles to services.
func (in *Inputs) assign(r *report) assignment {
	a := assignment{of: make([][]uint32, len(in.services))}
	roles := make(map[string]*role, len(in.roles))
	for _, role := range in.roles {
		roles[role.name.text] = role
	}
	services := make(map[string]int, len(in.services))
	for i, s := range in.services {
		services[s.id.text] = i
	}
	members := map[*role][]uint32{}
	strangers := map[string]*stranger{}
	for i, h := range in.hosts {
		if role := roles[h.role.text]; role != nil {
			members[role] = append(members[role], uint32(i))
		} else if s := strangers[h.role.text]; s != nil {
			s.more++
		} else {
			strangers[h.role.text] = &stranger{first: h}
		}
	}
	in.reportStrangers(r, strangers, roles)
	rolesOf := make([][]uint32, len(in.services))
	for k, role := range in.roles {
		if len(members[role]) == 0 {
			r.warnf("unused-role", role.file.place(role.name.at), "", "role %q is of no host", role.name.text)
			continue
		}
		for _, want := range role.services {
			i, known := services[want.text]
			if known {
				rolesOf[i] = append(rolesOf[i], uint32(k))
			} else if in.wantsServices && !in.partial {
				hint := r.suggest(want.text, keysOf(services))
				r.errorf("unknown-service", role.file.place(want.at), hint, "role %q lists the service %q, which no file defines", role.name.text, want.text)
			}
		}
	}
	sets := newHostSets() // of roles: services with the same roles share their hosts
	var hosts [][]uint32
	for i, s := range in.services {
		set := sets.intern(rolesOf[i])
		if int(set) == len(hosts) {
			hosts = append(hosts, in.hostsOf(rolesOf[i], members))
		}
		if a.of[i] = hosts[set]; len(a.of[i]) == 0 {
			r.warnf("unused-service", s.file.place(s.id.at), "", "service %q is left out: no host has a role that lists it", s.id.text)
		}
	}
	return a
}

// hostsOf returns the hosts of some roles. A host has one role, so no host comes twice.
func (in *Inputs) hostsOf(roles []uint32, members map[*role][]uint32) []uint32 {
	if len(roles) == 1 {
		return members[in.roles[roles[0]]]
	}
	var hosts []uint32
	for _, k := range roles {
		hosts = append(hosts, members[in.roles[k]]...)
	}
	slices.Sort(hosts)
	return hosts
}

// A stranger is a role that hosts have and no file defines.
type stranger struct {
	first *host
	more  int
}

func (in *Inputs) reportStrangers(r *report, strangers map[string]*stranger, roles map[string]*role) {
	if !in.wantsServices || in.partial {
		return
	}
	for _, h := range in.hosts { // in their order: ranging over the map has none
		s := strangers[h.role.text]
		if s == nil || s.first != h {
			continue
		}
		also := ""
		if s.more > 0 {
			also = " and of " + plural(s.more, "more host")
		}
		hint := r.suggest(h.role.text, keysOf(roles))
		r.errorf("unknown-role", h.file.place(h.role.at), hint, "role %q of host %q%s is not in the roles", h.role.text, h.name.text, also)
	}
}

func keysOf[V any](m map[string]V) func(func(string) bool) {
	return func(yield func(string) bool) {
		for k := range m {
			if !yield(k) {
				return
			}
		}
	}
}
