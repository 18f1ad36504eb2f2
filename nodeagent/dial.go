package nodeagent

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"sync"
	"time"

	"quorate/internal/pki"
)

const (
	handshakeTimeout = 10 * time.Second
	keepAliveEvery   = 5 * time.Second // NATs forget a UDP binding after 30 s
	// idleTimeout is after what silence QUIC gives a connection up. The agent goes
	// elsewhere before, see [pulse], and finds out by its next ping that an orchestrator
	// was killed which is there again, see [wire.Ping].
	idleTimeout = 16 * time.Second

	// unheardAfter is how long QUIC is given to be answered at all until TCP is dialled
	// beside it, and slowAfter how long to agree where it is answered: a bad line or an
	// orchestrator with many to greet is no reason to come twice.
	unheardAfter = 1500 * time.Millisecond
	slowAfter    = 5 * time.Second
)

// A link is one connection to an orchestrator.
type link struct{ carrier }

// A carrier is what is below a link.
type carrier interface {
	open(ctx context.Context) (stream, error)
	close(reason string)
	// remote is the address of the other side.
	remote() string
	// signs are what the connection shows of the other side, but for its messages.
	signs() signs
	// probe has the other side's process show that it is there, if nothing else does.
	probe()
	// done is closed when the connection is over, and cause says why then.
	done() <-chan struct{}
	cause() error
}

// A ForeignError says that an orchestrator is not of the agent's cluster.
type ForeignError struct {
	Address string
	// Proof is what the agent has of its own cluster: its identity or its token.
	Proof string
}

func (e *ForeignError) Error() string {
	return fmt.Sprintf("the orchestrator at %s belongs to another cluster than this agent's %s", e.Address, e.Proof)
}

// foreign gives the error of a connection its plain words where the other side is
// of another cluster.
func foreign(err error, address, proof string) error {
	if errors.Is(err, pki.ErrOtherCluster) {
		return &ForeignError{address, proof}
	}
	return err
}

// answerLate is when the operator is told that nothing answers: long before the
// attempt is given up, so that an agent with a wrong address does not look idle.
const answerLate = 2 * time.Second

// watchSilence says so where an address does not answer until the timer is stopped.
func watchSilence(log *slog.Logger, address string) *time.Timer {
	return time.AfterFunc(answerLate, func() {
		log.Info("no answer yet; is this the address of an orchestrator for agents?", "server", address)
	})
}

// An attempt is what came of dialling in one of two ways.
type attempt struct {
	link *link
	err  error
}

// dial connects over QUIC, or over TCP where QUIC is not answered, and calls answered
// when somebody is there, perhaps more than once.
func (k *sockets) dial(ctx context.Context, address string, conf *tls.Config, answered func()) (*link, error) {
	ctx, cancel := context.WithTimeout(ctx, handshakeTimeout)
	heard := make(chan struct{})
	overQUIC, overTCP := make(chan attempt, 1), make(chan attempt, 1)
	var dials sync.WaitGroup
	defer func() { // the slower one is not needed any more
		cancel()
		dials.Wait()
		for _, late := range []chan attempt{overQUIC, overTCP} {
			select {
			case l := <-late:
				if l.link != nil {
					l.link.close("another way was faster")
				}
			default:
			}
		}
	}()
	dials.Go(func() {
		l, err := k.dialQUIC(ctx, address, conf, sync.OnceFunc(func() {
			close(heard)
			answered()
		}))
		overQUIC <- attempt{l, err}
	})
	tryTCP := sync.OnceFunc(func() {
		dials.Go(func() {
			l, err := dialTCP(ctx, address, conf, answered)
			overTCP <- attempt{l, err}
		})
	})
	begun := time.Now()
	patience := time.NewTimer(unheardAfter)
	defer patience.Stop()
	var failedQUIC, failedTCP error
	for failedQUIC == nil || failedTCP == nil {
		select {
		case <-heard:
			heard = nil
			patience.Reset(slowAfter - time.Since(begun))
		case <-patience.C:
			tryTCP()
		case way := <-overQUIC:
			if way.err == nil || refusedByQUIC(way.err) {
				return way.link, named(address, way.err)
			}
			failedQUIC = way.err
			tryTCP()
		case way := <-overTCP:
			if way.err == nil || errors.Is(way.err, pki.ErrOtherCluster) || errors.Is(way.err, errOtherProtocol) {
				return way.link, named(address, way.err)
			}
			failedTCP = way.err
		}
	}
	return nil, named(address, fmt.Errorf("%w (over TCP: %v)", failedQUIC, failedTCP))
}

// named adds to an error whom it was about.
func named(address string, err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("connection to %s: %w", address, err)
}

// A stream is a stream of a link. Close ends the direction to the orchestrator.
type stream interface {
	io.ReadWriteCloser
	SetDeadline(time.Time) error
	SetReadDeadline(time.Time) error
	SetWriteDeadline(time.Time) error
}

// abandon ends both directions of a stream whose rest nobody wants.
func abandon(s stream) {
	if s, ok := s.(interface{ Cancel() }); ok {
		s.Cancel()
	}
}
