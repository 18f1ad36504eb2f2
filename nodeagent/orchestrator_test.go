package nodeagent

import (
	"cmp"
	"context"
	"crypto/tls"
	"encoding/hex"
	"errors"
	"fmt"
	"net"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/quic-go/quic-go"

	"quorate/internal/job"
	"quorate/internal/pki"
	"quorate/nodeagent/wire"
)

const waitMax = time.Minute

// orchestrator is the least that an agent can work with: real TLS and QUIC, and a
// cluster that commits every report.
type orchestrator struct {
	t        testing.TB
	ca       *pki.CA
	token    string
	address  string
	listener *quic.Listener
	socket   net.PacketConn
	resetKey quic.StatelessResetKey
	idle     time.Duration // after which a connection is over; 0 is 5 s
	blobs    map[string][]byte

	mu        sync.Mutex
	changed   chan struct{}
	sessions  int
	welcomed  int // sessions, once their control stream is the orchestrator's
	conn      *quic.Conn
	conns     []*quic.Conn
	control   *quic.Stream
	welcome   wire.Welcome
	journalID string
	hellos    []wire.Hello
	reports   []wire.Report // committed
	received  int           // also repeats
	frames    []int         // reports in each Results
	replies   []wire.Reply
	epoch     uint64
	floor     uint64
	muteAcks  bool
	refuse    *wire.Refuse
	asked     []wire.BlobRequest
	cutBlobs  int // so many answers stop in the middle
	hangBlobs int // so many answers stand still in the middle, until nobody wants them
	unwanted  int // answers that stood still until nobody wanted them
	busy      int // so many enrolments are to be tried again
	crowd     int // so many connections are refused before their handshake
	sentAway  []string

	challenges int // so many hellos are asked for once more
	signed     wire.Checkpoint
	servers    []string // for the welcome, as are signed and heartbeat
	heartbeat  uint32   // milliseconds
}

func newOrchestrator(t testing.TB) *orchestrator {
	t.Helper()
	ca, err := pki.New()
	if err != nil {
		t.Fatal(err)
	}
	token, _, err := pki.NewToken(ca.Pin())
	if err != nil {
		t.Fatal(err)
	}
	o := &orchestrator{t: t, ca: ca, token: token, changed: make(chan struct{}), epoch: 3, blobs: map[string][]byte{}, heartbeat: 500}
	cert, err := ca.IssueServer(nil)
	if err != nil {
		t.Fatal(err)
	}
	o.listen("127.0.0.1:0", pki.ServerTLS(cert, ca.Certificate()))
	return o
}

// another is a second orchestrator of the same cluster.
func (o *orchestrator) another() *orchestrator {
	o.t.Helper()
	second := &orchestrator{t: o.t, ca: o.ca, token: o.token, changed: make(chan struct{}), epoch: o.epoch, blobs: o.blobs, heartbeat: o.heartbeat}
	cert, err := o.ca.IssueServer(nil)
	if err != nil {
		o.t.Fatal(err)
	}
	second.listen("127.0.0.1:0", pki.ServerTLS(cert, o.ca.Certificate()))
	return second
}

func (o *orchestrator) listen(address string, conf *tls.Config) {
	socket, err := net.ListenPacket("udp", address)
	if err != nil {
		o.t.Fatal(err)
	}
	o.serveOn(socket, conf)
}

// serveOn listens on a socket, and tells who speaks of earlier connections that they are
// over, as whoever has the same key does.
func (o *orchestrator) serveOn(socket net.PacketConn, conf *tls.Config) {
	transport := &quic.Transport{Conn: socket, ConnContext: o.greets, StatelessResetKey: &o.resetKey}
	l, err := transport.Listen(conf, &quic.Config{MaxIdleTimeout: cmp.Or(o.idle, 5*time.Second)})
	if err != nil {
		o.t.Fatal(err)
	}
	o.listener, o.socket, o.address = l, socket, l.Addr().(*net.UDPAddr).String()
	var serving sync.WaitGroup
	serving.Go(func() {
		for {
			conn, err := l.Accept(context.Background())
			if err != nil {
				return
			}
			serving.Go(func() { o.serve(conn) })
		}
	})
	o.t.Cleanup(func() {
		l.Close()
		o.mu.Lock()
		for _, c := range o.conns {
			c.CloseWithError(0, "test is over")
		}
		o.mu.Unlock()
		serving.Wait()
		transport.Close()
		socket.Close()
	})
}

// greets sends agents away for as long as there is a crowd; each dial has a port of its
// own, and begins with more than one packet.
func (o *orchestrator) greets(ctx context.Context, client *quic.ClientInfo) (_ context.Context, err error) {
	from := client.RemoteAddr.String()
	o.update(func() {
		if o.crowd > 0 && !slices.Contains(o.sentAway, from) {
			o.crowd--
			o.sentAway = append(o.sentAway, from)
		}
		if slices.Contains(o.sentAway, from) {
			err = errors.New("too many")
		}
	})
	return ctx, err
}

func (o *orchestrator) drop() {
	o.mu.Lock()
	conn := o.conn
	o.mu.Unlock()
	if conn == nil {
		o.t.Fatal("nobody is connected whose connection could be dropped")
	}
	conn.CloseWithError(0, "dropped")
}

func (o *orchestrator) serve(conn *quic.Conn) {
	defer conn.CloseWithError(0, "")
	o.update(func() { o.conns = append(o.conns, conn) })
	s, err := conn.AcceptStream(context.Background())
	if err != nil {
		return
	}
	if conn.ConnectionState().TLS.NegotiatedProtocol == wire.ALPNEnrol {
		o.enrol(s)
		<-conn.Context().Done()
		return
	}
	go func() {
		for {
			b, err := conn.AcceptStream(context.Background())
			if err != nil {
				return
			}
			go o.blob(b)
		}
	}()
	if err := o.talk(conn, s); err != nil {
		o.update(func() {
			if o.conn == conn {
				o.conn, o.control = nil, nil
			}
		})
	}
}

func (o *orchestrator) enrol(s *quic.Stream) {
	m, err := wire.ReadFrom(s, wire.Agent)
	if err != nil {
		return
	}
	busy := false
	o.update(func() {
		if busy = o.busy > 0; busy {
			o.busy--
		}
	})
	if busy {
		_ = wire.WriteMessage(s, &wire.Refuse{Code: "busy", Reason: "try again"})
		return
	}
	e := m.(*wire.Enrol)
	der, err := o.ca.IssueAgent(e.PublicKey, 9)
	answer := &wire.Enrolled{Agent: 9, Name: e.Name, ClusterID: o.ca.ClusterID(), Certificate: der, CA: o.ca.Certificate().Raw}
	want, _ := pki.ParseToken(o.token)
	if err != nil || e.Token != want.Secret {
		answer = &wire.Enrolled{Error: "the token is not valid"}
	}
	_ = wire.WriteMessage(s, answer)
}

func (o *orchestrator) blob(s *quic.Stream) {
	defer s.Close()
	m, err := wire.ReadFrom(s, wire.Agent)
	if err != nil {
		return
	}
	r := m.(*wire.BlobRequest)
	cut, hang := false, false
	o.update(func() {
		o.asked = append(o.asked, *r)
		if cut = o.cutBlobs > 0; cut {
			o.cutBlobs--
		} else if hang = o.hangBlobs > 0; hang {
			o.hangBlobs--
		}
	})
	b, ok := o.blobs[r.Digest]
	if !ok {
		_ = wire.WriteBlobSize(s, wire.BlobUnknown)
		return
	}
	_ = wire.WriteBlobSize(s, uint64(len(b)))
	rest := b[r.Offset:]
	if cut || hang {
		rest = rest[:len(rest)/2]
	}
	_, _ = s.Write(rest)
	if hang {
		<-s.Context().Done()
		o.update(func() { o.unwanted++ })
	}
}

func (o *orchestrator) talk(conn *quic.Conn, s *quic.Stream) error {
	m, err := wire.ReadFrom(s, wire.Agent)
	if err != nil {
		return err
	}
	hello := m.(*wire.Hello)
	for range o.challenges {
		o.update(func() { o.hellos = append(o.hellos, *hello) })
		if err := wire.WriteMessage(s, &wire.Challenge{Reason: "test"}); err != nil {
			return err
		}
		if m, err = wire.ReadFrom(s, wire.Agent); err != nil {
			return err
		}
		hello = m.(*wire.Hello)
	}
	_, agent, err := pki.AgentID(conn.ConnectionState().TLS.PeerCertificates[0])
	if err != nil {
		return err
	}
	var refuse *wire.Refuse
	o.update(func() {
		refuse = o.refuse
		o.sessions++
		o.hellos = append(o.hellos, *hello)
		o.journalID = hello.JournalID
		_, key, err := o.ca.LogSigner(o.ca.ClusterID())
		if err != nil {
			o.t.Error(err)
		}
		o.welcome = wire.Welcome{LogKey: key, Checkpoint: o.signed, ClusterID: o.ca.ClusterID(), Agent: agent, Name: "n", Session: fmt.Sprint("session", o.sessions),
			Epoch: o.epoch, Acked: uint64(len(o.reports)), Floor: o.floor, Servers: o.servers, HeartbeatMillis: o.heartbeat}
	})
	if refuse != nil {
		_ = wire.WriteMessage(s, refuse)
		<-conn.Context().Done()
		return fmt.Errorf("refused")
	}
	if err := wire.WriteMessage(s, &o.welcome); err != nil {
		return err
	}
	o.update(func() {
		o.conn, o.control = conn, s
		o.welcomed++
	})
	for in := wire.NewReader(s, wire.Agent); ; { // packed where a busy machine makes the round trip long
		m, err := in.Read()
		if err != nil {
			return err
		}
		o.take(m)
	}
}

func (o *orchestrator) take(m wire.Message) {
	o.update(func() {
		switch m := m.(type) {
		case *wire.Ping:
			_ = wire.WriteMessage(o.control, &wire.Pong{})
		case *wire.Reply:
			o.replies = append(o.replies, *m)
		case *wire.Results:
			o.frames = append(o.frames, len(m.Reports))
			for _, r := range m.Reports {
				o.received++
				if r.Seq > uint64(len(o.reports))+1 {
					o.t.Errorf("report %d came before report %d", r.Seq, len(o.reports)+1)
				}
				if r.Seq == uint64(len(o.reports))+1 {
					o.reports = append(o.reports, r)
				}
			}
			if !o.muteAcks {
				_ = wire.WriteMessage(o.control, &wire.Ack{Seq: uint64(len(o.reports)), Floor: o.floor})
			}
		}
	})
}

func (o *orchestrator) update(f func()) {
	o.mu.Lock()
	defer o.mu.Unlock()
	f()
	close(o.changed)
	o.changed = make(chan struct{})
}

// until waits for the condition, which is called under the lock.
func (o *orchestrator) until(what string, ok func() bool) {
	o.t.Helper()
	limit := time.After(waitMax)
	for {
		o.mu.Lock()
		good, changed := ok(), o.changed
		o.mu.Unlock()
		if good {
			return
		}
		select {
		case <-changed:
		case <-limit:
			o.mu.Lock()
			defer o.mu.Unlock()
			o.t.Fatalf("%s did not happen; reports %+v replies %+v", what, o.reports, o.replies)
		}
	}
}

func (o *orchestrator) connected() {
	o.t.Helper()
	o.until("a connection", func() bool { return o.control != nil })
}

func (o *orchestrator) fence() wire.Fence {
	return wire.Fence{ClusterID: o.ca.ClusterID(), Session: o.welcome.Session, JournalID: o.journalID, Epoch: o.epoch}
}

func (o *orchestrator) send(messages ...wire.Message) {
	o.t.Helper()
	o.connected()
	o.mu.Lock()
	defer o.mu.Unlock()
	w := wire.NewWriter(o.control)
	for _, m := range messages {
		if err := w.Add(m); err != nil {
			o.t.Fatal(err)
		}
	}
	if err := w.Flush(); err != nil {
		o.t.Fatal(err)
	}
}

// dispatch is the message for an attempt whose jobs run the scripts.
func (o *orchestrator) dispatch(attempt, supersedes uint64, scripts ...string) *wire.Dispatch {
	o.t.Helper()
	step := &wire.Step{Run: 1, Task: "task", Host: "host"}
	for i, s := range scripts {
		step.Jobs = append(step.Jobs, job.Job{Index: uint32(i), Verb: "RUN", Text: s})
	}
	spec, err := wire.EncodeStep(step)
	if err != nil {
		o.t.Fatal(err)
	}
	o.connected()
	o.mu.Lock()
	defer o.mu.Unlock()
	return &wire.Dispatch{Fence: o.fence(), Attempt: attempt, Supersedes: supersedes, Spec: spec}
}

func (o *orchestrator) cancel(attempt uint64) *wire.Cancel {
	o.connected()
	o.mu.Lock()
	defer o.mu.Unlock()
	return &wire.Cancel{Fence: o.fence(), Attempt: attempt, Reason: "told so"}
}

// ended waits for the end of an attempt and returns it with its jobs' reports.
func (o *orchestrator) ended(attempt uint64) (end wire.Report, jobs []wire.Report) {
	o.t.Helper()
	o.until(fmt.Sprint("the end of attempt ", attempt), func() bool {
		jobs = nil
		for _, r := range o.reports {
			if r.Attempt != attempt {
				continue
			}
			if r.End {
				end = r
				return true
			}
			if !r.Began {
				jobs = append(jobs, r)
			}
		}
		return false
	})
	return end, jobs
}

func (o *orchestrator) reply(attempt uint64) (reply wire.Reply) {
	o.t.Helper()
	o.until(fmt.Sprint("a reply for attempt ", attempt), func() bool {
		for _, r := range o.replies {
			if r.Attempt == attempt {
				reply = r
				return true
			}
		}
		return false
	})
	return reply
}

func digestOf(b [32]byte) string { return hex.EncodeToString(b[:]) }
