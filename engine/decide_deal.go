package engine

// A dealing is what a decision deals out of a run's places.
type dealing struct{ dealt, holders uint32 }

// left is how many places the run has to deal.
func (d *decision) left(r *Run) uint32 {
	return r.queue.stepsMax - r.queue.dealt - d.ahead.deals[r.ID].dealt
}

// holders counts the hosts that have places.
func (d *decision) holders(r *Run) uint32 { return r.queue.holders + d.ahead.deals[r.ID].holders }

// placesOf is how many places the host was dealt.
func (d *decision) placesOf(r *Run, slot int) uint32 {
	if p, ok := d.ahead.places[runSlot{r.ID, slot}]; ok {
		return p
	}
	return r.queue.slots[slot].places
}

// deal notes that the host has so many places once the decision is folded.
func (h *ahead) deal(r *Run, slot int, places uint32) {
	if places == 0 {
		return
	}
	if h.places == nil {
		h.places, h.deals = map[runSlot]uint32{}, map[uint64]dealing{}
	}
	key, sum := runSlot{r.ID, slot}, h.deals[r.ID]
	before, ok := h.places[key]
	if !ok {
		before = r.queue.slots[slot].places
	}
	h.places[key] = places
	sum.dealt += places - before
	sum.holders += one(before == 0)
	h.deals[r.ID] = sum
}

// dealAll deals places to those of the hosts that have none, to each as many as to the
// next, and leaves out those for which none are left. Up to half of the places are kept
// for hosts that have nothing to give yet: what was dealt does not come back soon.
func (d *decision) dealAll(r *Run, turn []candidate) []candidate {
	q := &r.queue
	if !q.deals {
		for i := range turn {
			turn[i].places = q.stepsPerHostMax
		}
		return turn
	}
	wanting := uint32(0)
	for _, c := range turn {
		wanting += one(q.slots[c.slot].places == 0)
	}
	left := d.left(r)
	spare := left - min(left/2, r.hosts()-min(r.hosts(), d.holders(r)+wanting))
	keep := turn[:0]
	for _, c := range turn {
		c.places = q.slots[c.slot].places
		if c.places == 0 {
			c.places = min(max(share(spare, wanting), 1), left, q.stepsPerHostMax)
			c.fresh = c.places
			left -= c.places
			spare -= min(spare, c.places)
			wanting--
		}
		if c.places > 0 {
			keep = append(keep, c)
		}
	}
	return keep
}

// share is what each of so many gets, of what is the first one's to round up.
func share(places, among uint32) uint32 { return (places + among - 1) / max(among, 1) }

// dealFirst returns the places to deal to the host where it has none, as one of so many
// that may come to want some, or 0.
func (d *decision) dealFirst(r *Run, slot int, among uint32) uint32 {
	if !r.queue.deals || d.placesOf(r, slot) > 0 {
		return 0
	}
	left := d.left(r)
	return min(max(left/max(among, 1), 1), left, r.queue.stepsPerHostMax)
}

// dealMore returns the places that the host has from here on where there are more for it
// than it has, beside those that are kept for others, or 0.
func (d *decision) dealMore(r *Run, slot int) uint32 {
	has := d.placesOf(r, slot)
	if !r.queue.deals || has >= r.queue.stepsPerHostMax {
		return 0
	}
	left := d.left(r)
	spare := left - min(left/2, r.hosts()-min(r.hosts(), d.holders(r)))
	if spare == 0 {
		return 0
	}
	return min(has+spare, r.queue.stepsPerHostMax)
}
