package gateway_test

import (
	"crypto/rand"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"
	"time"

	"quorate/engine"
	"quorate/engine/gateway"
	"quorate/engine/gateway/gatewaytest"
	"quorate/engine/orchestrator"
	"quorate/eventlog"
	"quorate/internal/job"
	"quorate/internal/pki"
	"quorate/nodeagent/wire"
)

// A join token works once, for the key that it was used with.
func TestTokenIsSpent(t *testing.T) {
	rig := gatewaytest.Start(t, gatewaytest.Options{})
	token, _, err := rig.O.CreateToken(t.Context(), orchestrator.TokenRequest{Name: "n1"})
	if err != nil {
		t.Fatal(err)
	}
	parsed := gatewaytest.Must(pki.ParseToken(token))
	enrol := func(key []byte) *wire.Enrolled {
		t.Helper()
		return gatewaytest.Must(rig.EnrolWith(t.Context(), parsed, &wire.Enrol{Token: parsed.Secret, PublicKey: key, JournalID: "j"}))
	}
	mine, other := gatewaytest.PublicKey(), gatewaytest.PublicKey()
	first := enrol(mine)
	if first.Error != "" || first.Agent == 0 || first.Name != "n1" {
		t.Fatalf("first: %+v", first)
	}
	if again := enrol(mine); again.Error != "" || again.Agent != first.Agent {
		t.Errorf("a repeat with the same key: agent %d, error %q", again.Agent, again.Error)
	}
	if stolen := enrol(other); stolen.Error == "" || stolen.Certificate != nil {
		t.Errorf("another key got agent %d", stolen.Agent)
	}
	guess := &wire.Enrol{Token: strings.Repeat("A", 43), PublicKey: other, JournalID: "j"}
	if answer := gatewaytest.Must(rig.EnrolWith(t.Context(), parsed, guess)); answer.Error == "" {
		t.Error("a guessed secret was accepted")
	}
}

// Guesses of a token are throttled by address, and say so in a way that is tried again.
// Who has one is let in all the same: thousands may share an address with who guesses.
func TestGuessesAreThrottled(t *testing.T) {
	rig := gatewaytest.Start(t, gatewaytest.Options{Limits: gateway.Limits{GuessesPerAddress: 2}})
	token := pki.Token{Pin: rig.CA.Pin(), Secret: strings.Repeat("A", 43)}
	for i := range 3 {
		_, err := rig.EnrolWith(t.Context(), token, &wire.Enrol{Token: token.Secret, PublicKey: gatewaytest.PublicKey(), JournalID: "j"})
		var refused *gatewaytest.Refused
		if throttled := errors.As(err, &refused) && refused.Code == "busy"; throttled != (i == 2) {
			t.Errorf("guess %d: %v", i+1, err)
		}
	}
	for i := range 5 {
		rig.Enrol(t, fmt.Sprintf("n%d", i)).MustConnect(t)
	}
}

// Who may not work is told why.
func TestRefused(t *testing.T) {
	rig := gatewaytest.Start(t, gatewaytest.Options{})
	want := func(a *gatewaytest.Agent, hello *wire.Hello, code string) {
		t.Helper()
		_, err := a.Connect(t.Context(), hello)
		var refused *gatewaytest.Refused
		if !errors.As(err, &refused) || refused.Code != code {
			t.Errorf("%s: %v, want a refusal with %s", a.Name, err, code)
		}
	}
	revoked := rig.Enrol(t, "revoked")
	if err := rig.O.Revoke(t.Context(), "revoked", orchestrator.Change{RequestID: "r1", Reason: "stolen"}); err != nil {
		t.Fatal(err)
	}
	want(revoked, revoked.Hello(), "revoked")

	cloned := rig.Enrol(t, "cloned")
	hello := cloned.Hello()
	hello.JournalID = "another"
	want(cloned, hello, "quarantined")
	want(cloned, cloned.Hello(), "quarantined") // for good

	unknown := rig.Enrol(t, "unknown")
	unknown.Identity.Certificate[0] = gatewaytest.Must(rig.CA.IssueAgent(unknown.PublicKey(), 999))
	want(unknown, unknown.Hello(), "unknown-agent")

	other := gatewaytest.Must(pki.New())
	stranger := rig.Enrol(t, "stranger")
	stranger.Identity.Certificate[0] = gatewaytest.Must(other.IssueAgent(stranger.PublicKey(), stranger.ID))
	if l, err := stranger.Connect(t.Context(), stranger.Hello()); err == nil {
		l.Close()
		t.Error("an agent of another cluster was welcomed")
	}
}

// A connected agent that is revoked loses its connection at once.
func TestRevokedWhileConnected(t *testing.T) {
	rig := gatewaytest.Start(t, gatewaytest.Options{})
	link := rig.Enrol(t, "n1").MustConnect(t)
	if err := rig.O.Revoke(t.Context(), "n1", orchestrator.Change{RequestID: "r1", Reason: "stolen"}); err != nil {
		t.Fatal(err)
	}
	m, err := link.Read()
	if err != nil {
		t.Fatal(err)
	}
	if refuse, ok := m.(*wire.Refuse); !ok || refuse.Code != "revoked" {
		t.Errorf("%T %+v, want a refusal", m, m)
	}
}

// What no sound agent says takes it out of service, and changes nothing of others.
func TestFalseReports(t *testing.T) {
	for name, falsify := range map[string]func(attempt, foreign uint64) wire.Report{
		"another agent's attempt": func(_, foreign uint64) wire.Report {
			return wire.Report{Seq: 1, Attempt: foreign, End: true, Outcome: uint8(eventlog.Succeeded)}
		},
		"no attempt": func(uint64, uint64) wire.Report {
			return wire.Report{Seq: 1, Attempt: 1, End: true, Outcome: uint8(eventlog.Succeeded)}
		},
		"a hole": func(attempt, _ uint64) wire.Report {
			return wire.Report{Seq: 2, Attempt: attempt, End: true, Outcome: uint8(eventlog.Succeeded)}
		},
		"no outcome": func(attempt, _ uint64) wire.Report {
			return wire.Report{Seq: 1, Attempt: attempt, End: true, Outcome: 17}
		},
		"no job": func(attempt, _ uint64) wire.Report {
			return wire.Report{Seq: 1, Attempt: attempt, Job: 5, Outcome: uint8(eventlog.Succeeded)}
		},
	} {
		t.Run(name, func(t *testing.T) {
			rig := gatewaytest.Start(t, gatewaytest.Options{})
			victim, liar := rig.Enrol(t, "victim"), rig.Enrol(t, "liar")
			run := rig.Run(t, rig.Plan(t, []string{"victim", "liar"}, gatewaytest.Task{ID: "svc-a", Jobs: 1}))
			var attempt, foreign uint64
			rig.Until(t, "both attempts", func(s *engine.State) bool {
				if len(s.Agent(liar.ID).Open) == 0 || len(s.Agent(victim.ID).Open) == 0 {
					return false
				}
				attempt, foreign = s.Agent(liar.ID).Open[0], s.Agent(victim.ID).Open[0]
				return true
			})
			if err := liar.MustConnect(t).Send(falsify(attempt, foreign)); err != nil {
				t.Fatal(err)
			}
			rig.Until(t, "the quarantine", func(s *engine.State) bool { return s.Agent(liar.ID).Quarantined != "" })
			rig.O.View(func(s *engine.State) {
				if s.Attempts[foreign].Outcome != 0 || s.Run(run).Counts.Succeeded != 0 {
					t.Error("the report counted")
				}
			})
			rig.Replay(t)
		})
	}
}

// An agent whose journal has forgotten an open attempt is taken out of service.
func TestGone(t *testing.T) {
	rig := gatewaytest.Start(t, gatewaytest.Options{})
	agent := rig.Enrol(t, "n1")
	rig.Run(t, rig.Plan(t, []string{"n1"}, gatewaytest.Task{ID: "svc-a", Jobs: 1}))
	link := agent.MustConnect(t)
	m, err := link.Read()
	if err != nil {
		t.Fatal(err)
	}
	reply := &wire.Reply{Attempt: m.(*wire.Dispatch).Attempt, Status: wire.StatusGone}
	if err := wire.WriteMessage(link.Control, reply); err != nil {
		t.Fatal(err)
	}
	rig.Until(t, "the quarantine", func(s *engine.State) bool { return s.Agent(agent.ID).Quarantined != "" })
}

// Bytes that are no message end their own connection and nothing else.
func TestGarbage(t *testing.T) {
	noise := make([]byte, 4096)
	rand.Read(noise)
	huge := binary.BigEndian.AppendUint32(nil, 1<<31)
	for name, bytes := range map[string][]byte{
		"noise": noise, "a huge length": append(huge, byte(wire.TypeHello)),
		"an orchestrator's message": gatewaytest.Must(wire.AppendMessage(nil, &wire.Welcome{})),
		"results before hello":      gatewaytest.Must(wire.AppendMessage(nil, &wire.Results{})),
	} {
		t.Run(name, func(t *testing.T) {
			rig := gatewaytest.Start(t, gatewaytest.Options{})
			bad := gatewaytest.Must(rig.Enrol(t, "bad").Dial(t.Context()))
			defer bad.Close()
			_, _ = bad.Control.Write(bytes) // the gateway may close before it has all
			good := rig.Enrol(t, "good")
			good.Work(t)
			select {
			case <-bad.Quic.Context().Done():
			case <-time.After(gatewaytest.Patience):
				t.Error("the connection is still open")
			}
			if status := rig.UntilEnded(t, rig.Run(t, rig.Plan(t, []string{"good"}, gatewaytest.Task{ID: "svc-a", Jobs: 1}))); status != "succeeded" {
				t.Errorf("run is %s", status)
			}
		})
	}
}

// A blob is served to agents that have an open attempt which ships it, from the
// offset on, and to nobody else.
func TestBlobs(t *testing.T) {
	rig := gatewaytest.Start(t, gatewaytest.Options{})
	content := []byte(strings.Repeat("0123456789", 100_000))
	digest := gatewaytest.Must(rig.O.Blobs().PutBytes(content))
	secret := gatewaytest.Must(rig.O.Blobs().PutBytes([]byte("another plan's")))
	mine, other := rig.Enrol(t, "n1"), rig.Enrol(t, "n2")
	file := job.File{Name: "f", Digest: digest, Size: int64(len(content))}
	rig.Run(t, rig.Plan(t, []string{"n1", "n2"},
		gatewaytest.Task{ID: "svc-a", Jobs: 1, Hosts: []uint32{0}, Files: []job.File{file}},
		gatewaytest.Task{ID: "svc-b", Jobs: 1, Hosts: []uint32{1}}))
	rig.Until(t, "the attempts", func(s *engine.State) bool {
		return len(s.Agent(mine.ID).Open) == 1 && len(s.Agent(other.ID).Open) == 1
	})
	fetch := func(l *gatewaytest.Link, digest string, offset int64) (uint64, string) {
		t.Helper()
		st := gatewaytest.Must(l.Quic.OpenStreamSync(t.Context()))
		if err := wire.WriteMessage(st, &wire.BlobRequest{Digest: digest, Offset: offset}); err != nil {
			t.Fatal(err)
		}
		size, err := wire.ReadBlobSize(st)
		if err != nil {
			t.Fatal(err)
		}
		return size, string(gatewaytest.Must(io.ReadAll(st)))
	}
	a, b := mine.MustConnect(t), other.MustConnect(t)
	if size, got := fetch(a, digest, 0); size != uint64(len(content)) || got != string(content) {
		t.Errorf("%d bytes of %d", len(got), size)
	}
	if size, got := fetch(a, digest, 999_990); size != uint64(len(content)) || got != "0123456789" {
		t.Errorf("from the offset: %q of %d", got, size)
	}
	for what, size := range map[string]uint64{
		"another host's file":  first(fetch(b, digest, 0)),
		"another plan's blob":  first(fetch(a, secret, 0)),
		"a blob that is not":   first(fetch(a, hex.EncodeToString(make([]byte, 32)), 0)),
		"a blob behind itself": first(fetch(a, secret, 1<<40)),
	} {
		if size != wire.BlobUnknown {
			t.Errorf("%s: %d bytes", what, size)
		}
	}
}

func first(size uint64, _ string) uint64 { return size }
