package nodeagent

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"slices"
	"testing"

	"quorate/internal/pki"
	"quorate/nodeagent/journal"
	"quorate/nodeagent/wire"
)

// speaker is an identity of the cluster with a key of its own.
func speaker(t testing.TB, cluster string, key crypto.Signer) *identity {
	t.Helper()
	pub, err := x509.MarshalPKIXPublicKey(key.Public())
	if err != nil {
		t.Fatal(err)
	}
	return &identity{ClusterID: cluster, cert: tls.Certificate{PrivateKey: key, Leaf: &x509.Certificate{RawSubjectPublicKeyInfo: pub}}}
}

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

func curveKey(c elliptic.Curve) crypto.Signer { return must(ecdsa.GenerateKey(c, rand.Reader)) }

func edKey() crypto.Signer {
	_, key, err := ed25519.GenerateKey(rand.Reader)
	return must(key, err)
}

// said is a notice of the agent and what somebody waits for who is to believe it.
func said(t testing.TB, id *identity) (wire.Notice, wire.Elsewhere) {
	t.Helper()
	n, err := id.notice(journal.Ending{Attempt: 300, Step: journal.StepName(7, `a "task"`, "web 1"), Outcome: journal.OutcomeSucceeded, Output: []byte("0123456789abcdef")})
	if err != nil {
		t.Fatal(err)
	}
	return n, wire.Elsewhere{Key: pki.KeyDigest(n.Key), Run: 7, Task: `a "task"`, Host: "web 1"}
}

// TestNotice: what an agent signs is believed, whatever key it may have.
func TestNotice(t *testing.T) {
	t.Parallel()
	for name, key := range map[string]crypto.Signer{"P-256": curveKey(elliptic.P256()), "P-384": curveKey(elliptic.P384()), "Ed25519": edKey()} {
		n, of := said(t, speaker(t, "c", key))
		if err := verifyNotice(&n, "c", of); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// TestNoticeThatDoesNotCount: a relay that forges, changes, swaps or repeats notices, or
// an agent that speaks for another one, is not believed.
func TestNoticeThatDoesNotCount(t *testing.T) {
	t.Parallel()
	a, b := speaker(t, "c", curveKey(elliptic.P256())), speaker(t, "c", edKey())
	good, of := said(t, a)
	other, _ := said(t, b)
	resign := func(id *identity, n *wire.Notice) {
		again, err := id.notice(journal.Ending{Attempt: n.Attempt, Step: journal.StepName(n.Run, n.Task, n.Host), Outcome: n.Outcome})
		if err != nil {
			t.Fatal(err)
		}
		*n = again
	}
	for name, change := range map[string]func(n *wire.Notice, of *wire.Elsewhere, cluster *string){
		"another run":       func(n *wire.Notice, _ *wire.Elsewhere, _ *string) { n.Run++ },
		"another task":      func(n *wire.Notice, _ *wire.Elsewhere, _ *string) { n.Task += "x" },
		"another host":      func(n *wire.Notice, _ *wire.Elsewhere, _ *string) { n.Host = "h" },
		"another attempt":   func(n *wire.Notice, _ *wire.Elsewhere, _ *string) { n.Attempt++ },
		"another outcome":   func(n *wire.Notice, _ *wire.Elsewhere, _ *string) { n.Outcome = journal.OutcomeFailed },
		"another output":    func(n *wire.Notice, _ *wire.Elsewhere, _ *string) { n.Output = []byte("0123456789abcdeF") },
		"no output":         func(n *wire.Notice, _ *wire.Elsewhere, _ *string) { n.Output = nil },
		"a short output":    func(n *wire.Notice, _ *wire.Elsewhere, _ *string) { n.Output = n.Output[:8] },
		"another signature": func(n *wire.Notice, _ *wire.Elsewhere, _ *string) { n.Signature = other.Signature },
		"a flipped bit":     func(n *wire.Notice, _ *wire.Elsewhere, _ *string) { n.Signature[len(n.Signature)-1] ^= 1 },
		"no signature":      func(n *wire.Notice, _ *wire.Elsewhere, _ *string) { n.Signature = nil },
		"another key":       func(n *wire.Notice, _ *wire.Elsewhere, _ *string) { n.Key = other.Key },
		"another agent":     func(n *wire.Notice, _ *wire.Elsewhere, _ *string) { resign(b, n) },
		"another cluster":   func(_ *wire.Notice, _ *wire.Elsewhere, cluster *string) { *cluster = "d" },
		"nobody's key":      func(_ *wire.Notice, of *wire.Elsewhere, _ *string) { of.Key = "" },
		"a key that is none": func(n *wire.Notice, of *wire.Elsewhere, _ *string) {
			n.Key = []byte("key")
			of.Key = pki.KeyDigest(n.Key)
		},
		// The agent has said so indeed, of what had the number in another history.
		"its word of another step": func(n *wire.Notice, _ *wire.Elsewhere, _ *string) { n.Task = "u"; resign(a, n) },
		"its word of another run":  func(n *wire.Notice, _ *wire.Elsewhere, _ *string) { n.Run--; resign(a, n) },
		"its word of another host": func(n *wire.Notice, _ *wire.Elsewhere, _ *string) { n.Host = "h"; resign(a, n) },
	} {
		n, of, cluster := good, of, "c"
		n.Signature = slices.Clone(n.Signature)
		change(&n, &of, &cluster)
		if err := verifyNotice(&n, cluster, of); !errors.Is(err, errNotice) {
			t.Errorf("%s: error %v", name, err)
		}
	}
}

// FuzzNotice: no notice that anybody makes up is believed, and none panics.
func FuzzNotice(f *testing.F) {
	id := speaker(f, "c", curveKey(elliptic.P256()))
	good, of := said(f, id)
	seed, err := wire.Marshal(&good)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(seed)
	f.Fuzz(func(t *testing.T, data []byte) {
		n := new(wire.Notice)
		if wire.Unmarshal(data, n) != nil {
			return
		}
		if err := verifyNotice(n, "c", of); err == nil && !n.Same(&good) {
			t.Errorf("believed: %+v", n)
		}
	})
}
