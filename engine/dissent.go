package engine

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"strings"

	"quorate/eventlog"
)

const (
	// HashEvery is how many records apart replicas compare themselves.
	HashEvery = 4096
	// stateHashEvery is how many records apart they hash the state in full, as
	// long as it has no more attempts than stateHashAttemptsMax: hashing it takes
	// a third of a second behind a million records, in which nothing else happens.
	stateHashEvery       = 65536
	stateHashAttemptsMax = 65536
)

// HashDue reports whether this is a record of which replicas compare what they hold.
func (s *State) HashDue() bool { return s.Index > 0 && s.Index%HashEvery == 0 }

// Hashed is what a replica that runs the version of the program says of this
// state: the chain's hash, and behind the version a hash of all judgements so
// far, or of the whole state. Other versions may judge or hash in other ways, so
// what they say of the state is not compared.
func (s *State) Hashed(replica uint64, version string) eventlog.StateHashed {
	state := s.voided
	if s.Index%stateHashEvery == 0 && len(s.Attempts) <= stateHashAttemptsMax {
		state = s.Hash()
	}
	return eventlog.StateHashed{
		Replica: replica, At: s.Index,
		Chain: hex.EncodeToString(s.Head[:]), State: version + ":" + hex.EncodeToString(state[:]),
	}
}

// judged notes that a record was void: the others took effect.
func (s *State) judged(void string) {
	if void == "" {
		return
	}
	s.voided = sha256.Sum256(binary.BigEndian.AppendUint64(s.voided[:], s.Index))
}

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
		if id == own.Replica || !ok || !Contradict(own, theirs) {
			continue
		}
		votes := 0
		for _, other := range all {
			if h, ok := s.members[other].hashAt(own.At); ok && other != own.Replica && h.Chain == theirs.Chain && h.State == theirs.State {
				votes++
			}
		}
		if 2*votes <= len(all) {
			continue
		}
		what, mine, other := "state", strings.TrimPrefix(own.State, hasher(own)), strings.TrimPrefix(theirs.State, hasher(theirs))
		if own.Chain != theirs.Chain {
			what, mine, other = "chain", own.Chain, theirs.Chain
		}
		return fmt.Sprintf("at record %d its %s has hash %.16s, and %d of %d members have %.16s", own.At, what, mine, votes, len(all), other)
	}
	return ""
}

// Contradict reports whether two replicas cannot both be right.
func Contradict(a, b eventlog.StateHashed) bool {
	return a.Chain != b.Chain || a.State != b.State && hasher(a) == hasher(b)
}

// hasher is the version behind a state's hash.
func hasher(h eventlog.StateHashed) string {
	return h.State[:strings.LastIndexByte(h.State, ':')+1]
}

func (m *Member) hashAt(index uint64) (eventlog.StateHashed, bool) {
	for i := range m.hashes {
		if m.hashes[i].At == index {
			return m.hashes[i], true
		}
	}
	return eventlog.StateHashed{}, false
}
