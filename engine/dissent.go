package engine

import (
	"fmt"

	"quorate/eventlog"
)

func (s *State) foldStateHashed(e *eventlog.StateHashed) string {
	switch {
	case !s.IsMember(e.Replica):
		return fmt.Sprintf("%d is no member", e.Replica)
	case e.At >= s.Index || e.At <= s.members[e.Replica].Hashed.At:
		return fmt.Sprintf("a hash at %d is not news", e.At)
	}
	m := s.members[e.Replica]
	m.Hashed = *e
	m.hashes = append(m.hashes, *e)
	if n := len(m.hashes) - hashesKeptMax; n > 0 {
		m.hashes = m.hashes[n:]
	}
	return ""
}

// OddHash reports where a member contradicts what a majority of the members, two
// at least, says of the same record: at is its index, and why tells it in words.
// It returns 0 where there is no such record among the newest.
//
// Two that differ cannot tell which of them is right, so of two nothing is said.
func (s *State) OddHash(replica uint64) (at uint64, why string) {
	m := s.members[replica]
	if m == nil {
		return 0, ""
	}
	for i := range m.hashes {
		if why := s.Outvoted(m.hashes[i]); why != "" {
			return m.hashes[i].At, why
		}
	}
	return 0, ""
}

// Outvoted says why a majority of the members, two at least, contradicts what a
// replica says of a record, or nothing where none does.
func (s *State) Outvoted(own eventlog.StateHashed) string {
	all := s.Members()
	for _, id := range all {
		theirs, ok := s.members[id].hashAt(own.At)
		if id == own.Replica || !ok || !contradict(own, theirs) {
			continue
		}
		votes := 0
		for _, other := range all {
			if h, ok := s.members[other].hashAt(own.At); ok && other != own.Replica && h.Chain == theirs.Chain && h.State == theirs.State {
				votes++
			}
		}
		if votes < 2 || 2*votes <= len(all) {
			continue
		}
		what, mine, other := "state", own.State, theirs.State
		if own.Chain != theirs.Chain {
			what, mine, other = "chain", own.Chain, theirs.Chain
		}
		return fmt.Sprintf("at record %d its %s has hash %.16s, and %d of %d members have %.16s", own.At, what, mine, votes, len(all), other)
	}
	return ""
}

// contradict reports whether two replicas cannot both be right. One that says
// nothing of its state contradicts no other's.
func contradict(a, b eventlog.StateHashed) bool {
	return a.Chain != b.Chain || a.State != "" && b.State != "" && a.State != b.State
}

func (m *Member) hashAt(index uint64) (eventlog.StateHashed, bool) {
	for i := range m.hashes {
		if m.hashes[i].At == index {
			return m.hashes[i], true
		}
	}
	return eventlog.StateHashed{}, false
}
