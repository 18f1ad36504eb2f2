package engine

// A dealing is what a decision deals out of a run's places.
type dealing struct{ dealt, holders uint32 }

// A hand is how many places a host has by a decision, and how many of them it has by
// the events proposed so far.
type hand struct{ places, told uint32 }

// left is how many places the run has to deal.
func (d *decision) left(r *Run) uint32 {
	return r.queue.stepsMax - r.queue.dealt - d.ahead.deals[r.ID].dealt
}

// others counts the hosts that have no places.
func (d *decision) others(r *Run) uint32 {
	return r.hosts() - min(r.hosts(), r.queue.holders+d.ahead.deals[r.ID].holders)
}

func (d *decision) hand(r *Run, slot int) hand {
	if h, ok := d.ahead.hands[runSlot{r.ID, slot}]; ok {
		return h
	}
	has := r.queue.slots[slot].places
	return hand{has, has}
}

// deal has the host have so many places, which are dealt with the next step there.
func (d *decision) deal(r *Run, slot int, places uint32) {
	if d.ahead.hands == nil {
		d.ahead.hands, d.ahead.deals = map[runSlot]hand{}, map[uint64]dealing{}
	}
	h, sum := d.hand(r, slot), d.ahead.deals[r.ID]
	sum.dealt += places - h.places
	sum.holders += one(h.places == 0)
	d.ahead.hands[runSlot{r.ID, slot}], d.ahead.deals[r.ID] = hand{places, h.told}, sum
}

// fresh returns the places that are to be dealt with a step on the host, or 0.
func (d *decision) fresh(r *Run, slot int) uint32 {
	if h := d.hand(r, slot); h.places > h.told {
		return h.places
	}
	return 0
}

// tell notes that a step on the host is proposed, with what is fresh: it keeps that
// unless nothing of the run is under way there, as where the step is unknown at once.
func (d *decision) tell(r *Run, slot int, lapsed bool) {
	if h := d.hand(r, slot); h.places > h.told && (!lapsed || h.told > 0) {
		d.ahead.hands[runSlot{r.ID, slot}] = hand{h.places, h.places}
	}
}

// dealAll deals places to those of the hosts that have none, to each as many as to the
// next, and leaves out those for which none are left. Up to half of the places are kept
// for hosts that have nothing to give yet: what was dealt does not come back soon.
func (d *decision) dealAll(r *Run, turn []candidate) []candidate {
	q := &r.queue
	wanting := uint32(0)
	for _, c := range turn {
		wanting += one(q.deals && d.hand(r, c.slot).places == 0)
	}
	spare := d.spare(r, wanting)
	keep := turn[:0]
	for _, c := range turn {
		if c.places = q.stepsPerHostMax; q.deals {
			if d.hand(r, c.slot).places == 0 {
				places := min(max(share(spare, wanting), 1), d.left(r), q.stepsPerHostMax)
				wanting--
				if places == 0 {
					continue
				}
				spare -= min(spare, places)
				d.deal(r, c.slot, places)
			}
			c.places = d.hand(r, c.slot).places
		}
		keep = append(keep, c)
	}
	return keep
}

// spare is how many places there are to deal to so many hosts that have none, or to
// those that have some.
func (d *decision) spare(r *Run, wanting uint32) uint32 {
	left, others := d.left(r), d.others(r)
	return left - min((left+1)/2, others-min(others, wanting))
}

// share is what the next of so many gets.
func share(places, among uint32) uint32 { return (places + among - 1) / max(among, 1) }

// dealFirst deals places to a host that has none, where it is to be sent something
// ahead, and reports whether it has any. As many are kept for each of the others.
func (d *decision) dealFirst(r *Run, slot int) bool {
	if !r.queue.deals || d.hand(r, slot).places > 0 {
		return true
	}
	left := d.left(r)
	places := min(max(left/max(d.others(r), 1), 1), left, r.queue.stepsPerHostMax)
	if places > 0 {
		d.deal(r, slot, places)
	}
	return places > 0
}

// dealMore deals more places to a host that has more to do than it has places for.
func (d *decision) dealMore(r *Run, slot int) {
	if !r.queue.deals {
		return
	}
	has := d.hand(r, slot).places
	if more := min(d.spare(r, 0), r.queue.stepsPerHostMax-has); more > 0 {
		d.deal(r, slot, has+more)
	}
}
