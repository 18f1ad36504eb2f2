package engine

// versionDamping is the first version that knows of agents that flap, and versionBlame
// the first that knows whom they have left.
const (
	versionDamping = 3
	versionBlame   = 4
)

func (c *codec) damping(d *Damping) {
	if c.version < versionDamping {
		return
	}
	c.text(&d.Work)
	signed(c, &d.HalfLife)
	number(c, &d.Threshold)
	c.text(&d.By)
	number(c, &d.Index)
}

func (c *codec) steadiness(st *Steadiness) {
	if c.version < versionDamping {
		return
	}
	c.flags(&st.Flapping, &st.blameless)
	c.since(&st.FlappingSince)
	number(c, &st.Connections)
	number(c, &st.Flaps)
	number(c, &st.penalty)
	c.since(&st.penaltyAt)
	list(c, &st.Changes, func(c *codec, v *ConnectionChange) {
		c.moment(&v.Time)
		number(c, &v.Kind)
		number(c, &v.Gateway)
		c.text(&v.Text)
		c.flags(&v.Counts)
		if c.version >= versionBlame {
			number(c, &v.charged)
			number(c, &v.left)
			number(c, &v.via)
		}
	})
	if c.version >= versionBlame {
		number(c, &st.sentTo)
	}
}

func (d digest) damping(x *Damping) {
	if *x == (Damping{}) { // as before there was any
		return
	}
	d.str("damping", x.Work, x.By)
	d.u64(uint64(x.HalfLife), uint64(x.Threshold), x.Index)
}

func (d digest) steadiness(st *Steadiness) {
	if st.Connections == 0 && st.sentTo == 0 { // as before it was kept
		return
	}
	d.flags(st.Flapping, st.blameless)
	d.u64(uint64(st.FlappingSince), st.Connections, st.Flaps, st.penalty, uint64(st.penaltyAt), st.sentTo, uint64(len(st.Changes)))
	for i := range st.Changes {
		v := &st.Changes[i]
		d.u64(uint64(v.Time), uint64(v.Kind), v.Gateway, v.charged, v.left, v.via)
		d.str(v.Text)
		d.flags(v.Counts)
	}
}
