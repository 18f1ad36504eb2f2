package checkpoint

import (
	"errors"
	"strings"
	"testing"
	"time"

	"golang.org/x/mod/sumdb/note"
)

const cluster = "0123456789abcdef0123456789abcdef"

// keys returns a signer and its verifier.
func keys(t testing.TB, name string) (note.Signer, note.Verifier) {
	t.Helper()
	skey, vkey, err := note.GenerateKey(nil, name)
	if err != nil {
		t.Fatal(err)
	}
	signer, err := note.NewSigner(skey)
	if err != nil {
		t.Fatal(err)
	}
	verifier, err := note.NewVerifier(vkey)
	if err != nil {
		t.Fatal(err)
	}
	return signer, verifier
}

func sample() *Checkpoint {
	return &Checkpoint{
		ClusterID: cluster, Size: 4096, Root: Hash{1, 2, 3}, Head: Hash{4, 5},
		Generation: 77, Recoveries: []Recovery{{12, 5}, {90, 77}},
		Time: time.Date(2026, 5, 1, 10, 0, 0, 0, time.UTC),
	}
}

func TestText(t *testing.T) {
	want := `quorate/0123456789abcdef0123456789abcdef
4096
AQIDAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=
head 0405000000000000000000000000000000000000000000000000000000000000
generation 77
recovered 12 5
recovered 90 77
time 2026-05-01T10:00:00Z
`
	if got := sample().Text(); got != want {
		t.Errorf("text:\n%s\nwant:\n%s", got, want)
	}
}

func TestSignAndOpen(t *testing.T) {
	signer, verifier := keys(t, OriginPrefix+cluster)
	signed, err := sample().Sign(signer)
	if err != nil {
		t.Fatal(err)
	}
	c, err := Open(signed, verifier)
	if err != nil || !c.equal(sample()) {
		t.Fatalf("opened %+v, %v", c, err)
	}
	if c, err := Unverified(signed); err != nil || !c.equal(sample()) {
		t.Errorf("read %+v, %v", c, err)
	}
	_, stranger := keys(t, OriginPrefix+cluster)
	if _, err := Open(signed, stranger); !errors.Is(err, ErrUnsigned) {
		t.Errorf("under another key: %v", err)
	}
	for i := range signed {
		forged := append([]byte(nil), signed...)
		forged[i] ^= 1
		if c, err := Open(forged, verifier); err == nil {
			t.Fatalf("byte %d flipped, and it opens as %+v", i, c)
		}
	}
	otherSigner, otherVerifier := keys(t, OriginPrefix+"other")
	signed, err = sample().Sign(otherSigner)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := Open(signed, otherVerifier); !errors.Is(err, ErrUnsigned) {
		t.Errorf("a key of another cluster: %v", err)
	}
}

func TestParseIsStrict(t *testing.T) {
	text := sample().Text()
	for name, edit := range map[string]func(string) string{
		"another origin": func(s string) string { return strings.Replace(s, "quorate/", "other/", 1) },
		"leading zero":   func(s string) string { return strings.Replace(s, "\n4096\n", "\n04096\n", 1) },
		"capital hex":    func(s string) string { return strings.Replace(s, "head 0405", "head 04A5", 1) },
		"another zone":   func(s string) string { return strings.Replace(s, "00Z", "00+00:00", 1) },
		"no records":     func(s string) string { return strings.Replace(s, "\n4096\n", "\n0\n", 1) },
		"short root":     func(s string) string { return strings.Replace(s, "AQIDAAAA", "AQID", 1) },
		"recoveries swapped": func(s string) string {
			return strings.Replace(s, "recovered 12 5\nrecovered 90 77", "recovered 90 77\nrecovered 12 5", 1)
		},
		"recovered behind":    func(s string) string { return strings.Replace(s, "recovered 90", "recovered 5000", 1) },
		"another generation":  func(s string) string { return strings.Replace(s, "generation 77", "generation 78", 1) },
		"a line more":         func(s string) string { return s + "more\n" },
		"no newline":          func(s string) string { return strings.TrimSuffix(s, "\n") },
		"nothing":             func(string) string { return "" },
		"head without a word": func(s string) string { return strings.Replace(s, "head ", "", 1) },
	} {
		if c, err := Parse(edit(text)); !errors.Is(err, ErrMalformed) {
			t.Errorf("%s: %+v, %v", name, c, err)
		}
	}
	if _, err := Parse(text); err != nil {
		t.Fatal(err)
	}
}

// FuzzParse reads notes of hostile peers.
func FuzzParse(f *testing.F) {
	f.Add([]byte(sample().Text() + "\n— x y\n"))
	f.Fuzz(func(t *testing.T, b []byte) {
		c, err := Unverified(b)
		if err != nil {
			return
		}
		if !strings.HasPrefix(string(b), c.Text()) {
			t.Errorf("read %q, which would be written as %q", b, c.Text())
		}
	})
}
