package engine

import (
	"fmt"
	"strings"
	"testing"

	"quorate/eventlog"
)

// A revocation ends what was issued before it, whether that is on record or not, and not
// what is issued later; who is revoked cannot have itself certified by what was lost.
func TestOperatorRevoked(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	const far = 1 << 60
	issue := func(name, key, renews string) *eventlog.OperatorIssued {
		return &eventlog.OperatorIssued{Name: name, KeyDigest: key, ExpiresAt: far, Renews: renews}
	}
	counts := func(name string, keys ...string) (yes []string) {
		for _, k := range keys {
			if l.s.OperatorRevocation(name, k) == nil {
				yes = append(yes, k)
			}
		}
		return yes
	}
	l.ok(issue("ann", "k1", ""))
	l.ok(issue("ann", "k2", "k1"))
	l.ok(issue("bob", "b1", ""))
	if got := counts("ann", "k1", "k2", "on no record"); len(got) != 3 {
		t.Errorf("before: %q count", got)
	}
	l.void(&eventlog.OperatorRevoked{Name: "no name"})
	l.ok(&eventlog.OperatorRevoked{Name: "ann", By: "local:root", Reason: "lost", RequestID: "r"})
	l.void(&eventlog.OperatorRevoked{Name: "ann", RequestID: "r"})
	l.void(&eventlog.OperatorRevoked{Name: "ann", RequestID: "again"})
	if got := counts("ann", "k1", "k2", "on no record"); got != nil {
		t.Errorf("revoked: %q count", got)
	}
	if got := counts("bob", "b1"); len(got) != 1 {
		t.Error("another operator was revoked, too")
	}
	l.void(issue("ann", "k3", "k2"))
	l.void(issue("ann", "k3", "on no record"))
	l.ok(issue("ann", "k4", ""))
	l.ok(issue("ann", "k5", "k4"))
	if got := counts("ann", "k1", "k2", "k3", "k4", "k5"); fmt.Sprint(got) != "[k4 k5]" {
		t.Errorf("issued since: %q count", got)
	}
	if ann := l.s.Operators["ann"]; ann.Revoked() || len(ann.Certificates(l.now)) != 2 || len(ann.Certificates(far)) != 0 {
		t.Errorf("on record is %+v", ann)
	}
	l.ok(&eventlog.OperatorRevoked{Name: "eve"}) // of whom nothing is on record
	if got := counts("eve", "on no record"); got != nil || !l.s.Operators["eve"].Revoked() {
		t.Errorf("of no record: %q count", got)
	}
}

// The certificates of one operator are bounded: behind a revocation the oldest stop
// counting, and without one none does.
func TestOperatorCertificatesBounded(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	l.ok(&eventlog.OperatorRevoked{Name: "ann"})
	for i := range operatorKeysMax + 3 {
		l.ok(&eventlog.OperatorIssued{Name: "ann", KeyDigest: fmt.Sprint("k", i), ExpiresAt: 1 << 60})
		l.ok(&eventlog.OperatorIssued{Name: "bob", KeyDigest: fmt.Sprint("k", i), ExpiresAt: 1 << 60})
	}
	for i, want := range map[int]bool{0: false, 1: false, 2: true, operatorKeysMax + 2: true} {
		if got := l.s.OperatorRevocation("ann", fmt.Sprint("k", i)) == nil; got != want {
			t.Errorf("certificate %d counts: %v", i, got)
		}
		if l.s.OperatorRevocation("bob", fmt.Sprint("k", i)) != nil {
			t.Errorf("certificate %d of who was never revoked does not count", i)
		}
	}
	if n := len(l.s.Operators["bob"].Earlier); n != operatorKeysMax {
		t.Errorf("%d are kept", n)
	}
}

// Who renews too often keeps what it has: the identity that it uses may be the oldest.
func TestRenewalsEndNothing(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	l.ok(&eventlog.OperatorRevoked{Name: "ann"})
	l.ok(&eventlog.OperatorIssued{Name: "ann", KeyDigest: "used", ExpiresAt: 1 << 60})
	for i := range 2 * operatorKeysMax {
		e := &eventlog.OperatorIssued{Name: "ann", KeyDigest: fmt.Sprint("k", i), ExpiresAt: 1 << 60, Renews: "used"}
		if i < operatorKeysMax {
			l.ok(e)
		} else if void := l.void(e); !strings.Contains(void, "in force") {
			t.Fatalf("renewal %d is void: %s", i, void)
		}
		if l.s.OperatorRevocation("ann", "used") != nil {
			t.Fatalf("renewal %d ended the identity that is used", i)
		}
	}
}

// A refusal on record says where, why and how often.
func TestAccessDeniedIsJudged(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	whole := eventlog.AccessDenied{Replica: 1, Entry: "agents", Reason: "revoked", Count: 1}
	before := bare(l.s)
	l.ok(&whole)
	if bare(l.s) != before {
		t.Error("a refusal changed the state")
	}
	for _, broken := range []eventlog.AccessDenied{{Entry: "agents", Reason: "revoked"}, {Entry: "agents", Count: 1}, {Reason: "revoked", Count: 1}} {
		if void := l.void(&broken); !strings.Contains(void, "without") {
			t.Errorf("%+v is void: %s", broken, void)
		}
	}
}
