package engine

import (
	"fmt"
	"slices"

	"quorate/eventlog"
)

// An Operator is what is on record of an operator's name: its newest certificate, the
// others that are in force, and when the name was revoked last. It is no list of who has
// access: a certificate that a recovery has lost from the record counts until its name
// is revoked.
type Operator struct {
	eventlog.OperatorIssued        // Name alone where none is on record
	Index                   uint64 // of the newest certificate, or 0
	// Earlier are those issued before it, oldest first, that were neither revoked nor had
	// expired when the newest was issued, at most operatorKeysMax.
	Earlier []OperatorKey
	// Revocation is the newest; its Index is 0 where there was none.
	Revocation Revocation
}

// An OperatorKey is a certificate of an operator on record.
type OperatorKey struct {
	KeyDigest string
	Index     uint64 // of its OperatorIssued
	ExpiresAt int64  // unix nanoseconds
}

// A Revocation ends the right of what was issued before it.
type Revocation struct {
	By, Reason string
	Index      uint64
	Time       int64 // unix nanoseconds
}

// operatorKeysMax bounds the certificates of one operator that are known apart, beside the
// newest. Who has as many renews none; behind a revocation the oldest of more that an
// administrator issues stop counting.
const operatorKeysMax = 64

// Revoked reports whether the operator has no certificate that counts.
func (o *Operator) Revoked() bool { return o.Revocation.Index > o.Index }

// OperatorRevocation is why a certificate of an operator does not count any more, or nil.
// The digest is of its key. Whether it is of this cluster and in force is not asked here.
func (s *State) OperatorRevocation(name, keyDigest string) *Revocation {
	o := s.Operators[name]
	if o == nil || o.Revocation.Index == 0 {
		return nil
	}
	counts := func(k OperatorKey) bool { return k.KeyDigest == keyDigest && k.Index > o.Revocation.Index }
	if counts(o.newest()) || slices.ContainsFunc(o.Earlier, counts) {
		return nil
	}
	return &o.Revocation
}

func (o *Operator) newest() OperatorKey { return OperatorKey{o.KeyDigest, o.Index, o.ExpiresAt} }

// Certificates are those that count at a time, in unix nanoseconds, oldest first.
func (o *Operator) Certificates(now int64) (keys []OperatorKey) {
	for _, k := range append(slices.Clone(o.Earlier), o.newest()) {
		if k.Index > o.Revocation.Index && k.ExpiresAt > now {
			keys = append(keys, k)
		}
	}
	return keys
}

func (s *State) foldOperatorIssued(e *eventlog.OperatorIssued) string {
	if !isOperatorName(e.Name) {
		return fmt.Sprintf("operator's name %.80q: want 1 to %d of a-z A-Z 0-9 - _ . @", e.Name, operatorBytesMax)
	}
	if e.KeyDigest == "" {
		return "operator without key"
	}
	if e.Renews != "" && s.OperatorRevocation(e.Name, e.Renews) != nil {
		return fmt.Sprintf("operator %s asks by a certificate that is revoked", e.Name)
	}
	next := &Operator{OperatorIssued: *e, Index: s.Index}
	if o := s.Operators[e.Name]; o != nil {
		next.Revocation, next.Earlier = o.Revocation, o.Certificates(s.Time)
		if n := len(next.Earlier) - operatorKeysMax; n > 0 {
			if e.Renews != "" { // the one that is used may be the oldest
				return fmt.Sprintf("operator %s has %d identities that are in force: no more are renewed until some have ended, or until the name is revoked and issued another one", e.Name, len(next.Earlier))
			}
			next.Earlier = next.Earlier[n:]
		}
	}
	s.Operators[e.Name] = next
	return ""
}

func (s *State) foldOperatorRevoked(e *eventlog.OperatorRevoked) string {
	if !isOperatorName(e.Name) {
		return fmt.Sprintf("operator's name %.80q: want 1 to %d of a-z A-Z 0-9 - _ . @", e.Name, operatorBytesMax)
	}
	o := s.Operators[e.Name]
	if o == nil {
		o = &Operator{OperatorIssued: eventlog.OperatorIssued{Name: e.Name}}
	} else if o.Revoked() {
		return fmt.Sprintf("operator %s was revoked at %d, and given nothing since", e.Name, o.Revocation.Index)
	}
	s.Operators[e.Name] = &Operator{
		OperatorIssued: o.OperatorIssued, Index: o.Index,
		Revocation: Revocation{By: e.By, Reason: e.Reason, Index: s.Index, Time: s.Time},
	}
	return ""
}

// operatorBytesMax bounds an operator's name.
const operatorBytesMax = 64

// isOperatorName is the rule of package pki at the time when the event came into
// the catalogue. It stays here as it is, whatever becomes of that one: what an old
// log means may not change.
func isOperatorName(s string) bool {
	for _, c := range []byte(s) {
		switch {
		case c >= 'a' && c <= 'z', c >= 'A' && c <= 'Z', c >= '0' && c <= '9', c == '-', c == '_', c == '.', c == '@':
		default:
			return false
		}
	}
	return s != "" && len(s) <= operatorBytesMax
}

// foldAccessDenied demands that a refusal says what it is. It changes nothing: who has a
// right is told by other events.
func (s *State) foldAccessDenied(e *eventlog.AccessDenied) string {
	if e.Entry == "" || e.Reason == "" || e.Count == 0 {
		return "a refusal without where, why or how often"
	}
	return ""
}

// versionRevocations is the first version that knows which operators are revoked.
const versionRevocations = 5

func (c *codec) operator(o *Operator) {
	asEvent(c, &o.OperatorIssued)
	number(c, &o.Index)
	if c.version < versionRevocations {
		return
	}
	list(c, &o.Earlier, func(c *codec, k *OperatorKey) {
		c.text(&k.KeyDigest)
		number(c, &k.Index)
		signed(c, &k.ExpiresAt)
	})
	c.text(&o.Revocation.By)
	c.text(&o.Revocation.Reason)
	number(c, &o.Revocation.Index)
	c.since(&o.Revocation.Time)
}

func (d digest) operator(o *Operator) {
	d.str(o.Name, o.KeyDigest, o.By)
	d.u64(uint64(o.ExpiresAt), o.Index)
	if o.Renews != "" { // as before anybody could renew
		d.str("renews", o.Renews)
	}
	if len(o.Earlier) > 0 { // as before they were kept
		d.u64(uint64(len(o.Earlier)))
		for _, k := range o.Earlier {
			d.str(k.KeyDigest)
			d.u64(k.Index, uint64(k.ExpiresAt))
		}
	}
	if r := o.Revocation; r != (Revocation{}) { // likewise
		d.str("revoked", r.By, r.Reason)
		d.u64(r.Index, uint64(r.Time))
	}
}
