package planner

import (
	"fmt"

	"quorate/internal/yaml11"
)

// inventoryFile decodes an inventory.
func (d *decoder) inventoryFile() (hosts []*host, kept bool) {
	n := d.root("an inventory")
	if n == nil {
		return nil, true
	}
	c, _ := d.check(n, "the inventory", d.language.inventory)
	list := c.get("hosts")
	if list == nil {
		return nil, true
	}
	isHost := matcherOf(PatternHost)
	hosts = make([]*host, 0, len(list.Pairs))
	for _, p := range list.Pairs {
		if !isHost(p.Key.Text) {
			d.errorf("bad-value", p.Key, patternHint(PatternHost), "hosts.%s: %q cannot be the name of a host", p.Key.Text, p.Key.Text)
			continue
		}
		c, ok := d.check(p.Value, "hosts."+p.Key.Text, d.host)
		h := &host{name: nameOf(p.Key), role: c.name("role"), file: d.file}
		if ok {
			hosts = append(hosts, h)
		}
	}
	return hosts, true
}

// rolesFile decodes a roles file.
func (d *decoder) rolesFile() (roles []*role, kept bool) {
	n := d.root("a roles file")
	if n == nil {
		return nil, true
	}
	if n.Kind != yaml11.Mapping {
		d.errorf("wrong-type", n, "", "the roles must be a mapping, not %s", shapeOf(n))
		return nil, true
	}
	if len(n.Pairs) == 0 {
		d.errorf("bad-value", n, "", "there is no role")
	}
	isRole := matcherOf(PatternRole)
	roles = make([]*role, 0, len(n.Pairs))
	for _, p := range n.Pairs {
		if !isRole(p.Key.Text) {
			d.errorf("bad-value", p.Key, patternHint(PatternRole), "%q cannot be the name of a role", p.Key.Text)
			continue
		}
		c, ok := d.check(p.Value, fmt.Sprintf("role %q", p.Key.Text), d.role)
		if ok {
			roles = append(roles, &role{name: nameOf(p.Key), services: c.names("services"), file: d.file})
		}
	}
	return roles, true
}
