package gatewaytest

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/quic-go/quic-go"

	"quorate/engine"
	"quorate/engine/orchestrator"
	"quorate/eventlog"
	"quorate/internal/pki"
	"quorate/nodeagent/wire"
)

// An Agent is an enrolled agent whose behaviour a test writes itself. Its journal
// is a list of reports.
type Agent struct {
	ID        uint64
	Name      string
	JournalID string
	Identity  tls.Certificate
	// Previous is true for one that speaks the protocol before the newest.
	Previous bool
	rig      *Rig
	relay    bool

	mu      sync.Mutex
	reports []wire.Report // all that were ever made; reports[i].Seq is i+1
	held    []uint64      // attempts whose beginning was recorded
	forbids []uint64      // those of them that were given back
	acked   uint64        // the newest report that was acknowledged
}

// Enrol makes an agent of a name, over the wire.
func (r *Rig) Enrol(t testing.TB, name string, labels ...string) *Agent {
	t.Helper()
	return r.enrol(t, orchestrator.TokenRequest{Name: name, Labels: labels, By: "test"})
}

// EnrolRelay is Enrol of a relay.
func (r *Rig) EnrolRelay(t testing.TB, name string) *Agent {
	t.Helper()
	return r.enrol(t, orchestrator.TokenRequest{Name: name, Role: engine.RelayRole, By: "test"})
}

func (r *Rig) enrol(t testing.TB, asked orchestrator.TokenRequest) *Agent {
	t.Helper()
	name, relay := asked.Name, asked.Role == engine.RelayRole
	token, _, err := r.O.CreateToken(t.Context(), asked)
	if err != nil {
		t.Fatal(err)
	}
	parsed := Must(pki.ParseToken(token))
	key := Must(ecdsa.GenerateKey(elliptic.P256(), rand.Reader))
	answer, err := r.EnrolWith(t.Context(), parsed, &wire.Enrol{
		Token: parsed.Secret, PublicKey: Must(x509.MarshalPKIXPublicKey(&key.PublicKey)),
		JournalID: "journal of " + name, Hostname: name, Relay: relay,
	})
	if err != nil {
		t.Fatal(err)
	}
	if answer.Error != "" {
		t.Fatalf("enrolment of %s: %s", name, answer.Error)
	}
	return &Agent{
		ID: answer.Agent, Name: answer.Name, JournalID: "journal of " + name, rig: r, relay: relay,
		Identity: tls.Certificate{Certificate: [][]byte{answer.Certificate}, PrivateKey: key},
	}
}

// EnrolWith sends one enrolment and returns the answer; a [Refused] is to be tried again.
func (r *Rig) EnrolWith(ctx context.Context, token pki.Token, request *wire.Enrol) (*wire.Enrolled, error) {
	ctx, cancel := context.WithTimeout(ctx, Patience)
	defer cancel()
	conn, err := dial(ctx, r.Address, pki.EnrolTLS(token.Pin))
	if err != nil {
		return nil, err
	}
	defer conn.CloseWithError(0, "")
	st, err := conn.OpenStreamSync(ctx)
	if err != nil {
		return nil, err
	}
	if err := wire.WriteMessage(st, request); err != nil {
		return nil, err
	}
	m, err := wire.ReadFrom(st, wire.Orchestrator)
	if err != nil {
		return nil, err
	}
	switch answer := m.(type) {
	case *wire.Enrolled:
		return answer, nil
	case *wire.Refuse:
		return nil, &Refused{Code: answer.Code, Reason: answer.Reason}
	}
	return nil, fmt.Errorf("%T answers an enrolment", m)
}

// crowdPause is how long an agent stays away that is sent away because of a crowd.
const crowdPause = 50 * time.Millisecond

// dial connects, and comes again where too many do at once.
func dial(ctx context.Context, address string, conf *tls.Config) (*quic.Conn, error) {
	for {
		conn, err := quic.DialAddr(ctx, address, conf, &quic.Config{KeepAlivePeriod: 5 * time.Second})
		var said *quic.TransportError
		if !errors.As(err, &said) || !said.Remote || said.ErrorCode != quic.ConnectionRefused {
			return conn, err
		}
		select {
		case <-time.After(crowdPause):
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}

// A Link is an agent's connection.
type Link struct {
	Agent   *Agent
	Quic    *quic.Conn
	Control *quic.Stream
	Welcome *wire.Welcome
	// Challenged counts how often the agent was asked to introduce itself again.
	Challenged int
	in         *wire.Reader // of Control, and no further than a message goes
	protocol   wire.Protocol
}

// Dial opens a connection and its control stream, and says nothing.
func (a *Agent) Dial(ctx context.Context) (*Link, error) {
	ctx, cancel := context.WithTimeout(ctx, Patience)
	defer cancel()
	sides, names := pki.AgentTLS, wire.ALPNAgents()
	if a.relay {
		sides, names = pki.RelayTLS, wire.ALPNRelays()
	}
	conf := sides(a.Identity, a.rig.CA.Certificate())
	if a.Previous {
		conf.NextProtos = names[1:]
	}
	conn, err := dial(ctx, a.rig.Address, conf)
	if err != nil {
		return nil, err
	}
	st, err := conn.OpenStreamSync(ctx)
	if err != nil {
		return nil, err
	}
	p := wire.ProtocolOf(conf.NextProtos[0])
	return &Link{Agent: a, Quic: conn, Control: st, in: p.NewReader(st, wire.Orchestrator), protocol: p}, nil
}

// Hello is what the agent introduces itself with.
func (a *Agent) Hello() *wire.Hello {
	a.mu.Lock()
	defer a.mu.Unlock()
	return &wire.Hello{Version: "test", JournalID: a.JournalID, JournalSeq: uint64(len(a.reports)), BootID: "boot", Attempts: slices.Clone(a.held), Forbidden: slices.Clone(a.forbids), Acked: a.acked}
}

// Connect dials and is welcomed, or fails with what the orchestrator refused it
// with. Challenged, it says the same again.
func (a *Agent) Connect(ctx context.Context, hello *wire.Hello) (*Link, error) {
	return a.ConnectWith(ctx, func() *wire.Hello { return hello })
}

// ConnectWith is Connect with another hello for each time that it is asked for.
func (a *Agent) ConnectWith(ctx context.Context, hello func() *wire.Hello) (*Link, error) {
	l, err := a.Dial(ctx)
	if err != nil {
		return nil, err
	}
	return l.Greet(hello)
}

// Greet is the rest of Connect on a connection that is there.
func (l *Link) Greet(hello func() *wire.Hello) (*Link, error) {
	if err := l.write(hello()); err != nil {
		return nil, err
	}
	m, err := l.Read()
	if err != nil {
		return nil, err
	}
	switch m := m.(type) {
	case *wire.Challenge:
		l.Challenged++
		return l.Greet(hello)
	case *wire.Welcome:
		l.Welcome = m
		return l, nil
	case *wire.Refuse:
		l.Close()
		return nil, &Refused{m.Code, m.Reason, time.Duration(m.AfterMillis) * time.Millisecond}
	}
	return nil, fmt.Errorf("%T answers a hello", m)
}

// Refused is a refusal as an error.
type Refused struct {
	Code, Reason string
	After        time.Duration
}

func (r *Refused) Error() string { return r.Code + ": " + r.Reason }

// MustConnect is Connect for an agent that must be welcomed.
func (a *Agent) MustConnect(t testing.TB) *Link {
	t.Helper()
	l, err := a.Connect(t.Context(), a.Hello())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(l.Close)
	return l
}

// Read returns the next message of the orchestrator. It is packed where the round trip
// is long, which it is over loopback, too, while the machine is busy.
func (l *Link) Read() (wire.Message, error) {
	if err := l.Control.SetReadDeadline(time.Now().Add(Patience)); err != nil {
		return nil, err
	}
	return l.in.Read()
}

// Close ends the connection.
func (l *Link) Close() { l.Quic.CloseWithError(0, "bye") }

// Record numbers reports and keeps them, as a journal does.
func (a *Agent) Record(reports ...wire.Report) []wire.Report {
	a.mu.Lock()
	defer a.mu.Unlock()
	for i := range reports {
		reports[i].Seq = uint64(len(a.reports)) + 1
		if reports[i].Began {
			a.held = append(a.held, reports[i].Attempt)
		}
		if reports[i].End && reports[i].Outcome == uint8(eventlog.NotStarted) {
			a.forbids = append(a.forbids, reports[i].Attempt)
		}
		a.reports = append(a.reports, reports[i])
	}
	return reports
}

// settle forgets what a journal forgets.
func (a *Agent) settle(m *wire.Ack) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.acked = max(a.acked, m.Seq)
	settled := func(id uint64) bool { return id <= m.Floor }
	a.held, a.forbids = slices.DeleteFunc(a.held, settled), slices.DeleteFunc(a.forbids, settled)
}

// After returns the reports behind a number.
func (a *Agent) After(seq uint64) []wire.Report {
	a.mu.Lock()
	defer a.mu.Unlock()
	return append([]wire.Report(nil), a.reports[min(seq, uint64(len(a.reports))):]...)
}

// Send sends reports.
func (l *Link) Send(reports ...wire.Report) error {
	return l.write(&wire.Results{Reports: reports})
}

func (l *Link) write(m wire.Message) error {
	out := l.protocol.NewWriter(l.Control)
	if err := out.Add(m); err != nil {
		return err
	}
	return out.Flush()
}

// Succeed returns the reports of an attempt all of whose jobs succeed.
func Succeed(attempt uint64, step *wire.Step) []wire.Report {
	var reports []wire.Report
	for i := range step.Jobs {
		reports = append(reports, wire.Report{
			Attempt: attempt, Job: step.Jobs[i].Index, Outcome: uint8(eventlog.Succeeded), Changed: true,
			StartedAt: 1, Duration: int64(time.Millisecond),
			Stdout: wire.Output{Head: []byte("done\n"), Size: 5},
		})
	}
	return append(reports, wire.Report{Attempt: attempt, End: true, Outcome: uint8(eventlog.Succeeded)})
}

// Serve answers dispatches with what do makes of them, and cancels with
// cancelled, until the connection ends. It returns why.
func (l *Link) Serve(do func(d *wire.Dispatch, step *wire.Step) []wire.Report) error {
	if err := l.Control.SetReadDeadline(time.Time{}); err != nil {
		return err
	}
	if again := l.Agent.After(l.Welcome.Acked); len(again) > 0 {
		if err := l.Send(again...); err != nil {
			return err
		}
	}
	for {
		m, err := l.in.Read()
		if err != nil {
			if err == io.EOF {
				return nil
			}
			return err
		}
		var reports []wire.Report
		switch m := m.(type) {
		case *wire.Dispatch:
			step, err := wire.DecodeStep(m.Spec)
			if err != nil {
				return err
			}
			reports = do(m, step)
		case *wire.Cancel:
			reports = []wire.Report{{Attempt: m.Attempt, End: true, Outcome: uint8(eventlog.Cancelled), Reason: m.Reason}}
		case *wire.Ack:
			l.Agent.settle(m)
		case *wire.Refuse:
			return &Refused{m.Code, m.Reason, time.Duration(m.AfterMillis) * time.Millisecond}
		}
		if len(reports) == 0 {
			continue
		}
		if err := l.Send(l.Agent.Record(reports...)...); err != nil {
			return err
		}
	}
}

// Work connects and lets every step succeed until the test ends.
func (a *Agent) Work(t testing.TB) *Link {
	t.Helper()
	l := a.MustConnect(t)
	l.ServeOn(t, func(d *wire.Dispatch, step *wire.Step) []wire.Report { return Succeed(d.Attempt, step) })
	return l
}

// ServeOn is Serve beside the test, to the test's end. A connection may end before; an
// agent that understands nothing more fails the test, which would wait for it in vain.
func (l *Link) ServeOn(t testing.TB, do func(d *wire.Dispatch, step *wire.Step) []wire.Report) {
	done := make(chan struct{})
	go func() {
		defer close(done)
		if err := l.Serve(do); errors.Is(err, wire.ErrMalformed) || errors.Is(err, wire.ErrTooLarge) {
			t.Errorf("agent %s: %v", l.Agent.Name, err)
		}
	}()
	t.Cleanup(func() {
		l.Close()
		<-done
	})
}

// On is the agent with its journal, talking to another rig of the same cluster.
func (a *Agent) On(r *Rig) *Agent {
	h := a.Hello()
	return &Agent{ID: a.ID, Name: a.Name, JournalID: a.JournalID, Identity: a.Identity, Previous: a.Previous, rig: r, reports: a.After(0), held: h.Attempts, forbids: h.Forbidden, acked: h.Acked}
}

// PublicKey returns the public half of a new key.
func PublicKey() []byte {
	key := Must(ecdsa.GenerateKey(elliptic.P256(), rand.Reader))
	return Must(x509.MarshalPKIXPublicKey(&key.PublicKey))
}

// PublicKey returns the agent's public key.
func (a *Agent) PublicKey() []byte {
	return Must(x509.MarshalPKIXPublicKey(a.Identity.PrivateKey.(*ecdsa.PrivateKey).Public()))
}
