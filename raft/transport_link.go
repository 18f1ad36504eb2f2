package raft

import (
	"context"
	"crypto/tls"
	"errors"
	"log/slog"
	"net"
	"sync"
	"time"

	"github.com/lni/dragonboat/v4/raftpb"

	"quorate/raft/frame"
	"quorate/raft/port"
)

const (
	// connectWait is for how long messages wait for a connection that is being
	// made for them. Later ones are dropped: Raft sends again what matters.
	connectWait = time.Second
	dialTime    = 5 * time.Second
	// redialMin and redialMax are how long after a failure the next dial is.
	redialMin = 20 * time.Millisecond
	redialMax = 500 * time.Millisecond
	// steadyTime is after how long a connection counts as one that worked.
	steadyTime = time.Second
)

// A link is the way to one replica: its connection, made when there is something
// to send and none is up.
//
// The library's own way to handle a connection that fails is to send nothing for
// up to one and a half seconds, and to close one that was idle for a minute, so
// that a candidate had to dial in the middle of an election. A link neither tells
// it of failures nor closes: it drops what cannot be sent now, dials again within
// 20 to 500 ms, and at once when the replica itself has connected.
type link struct {
	t       *transport
	replica uint64
	level   slog.Level // of what is said when it goes up or down
	log     *slog.Logger
	down    func() // called when its connection ended; nil is nothing

	mu        sync.Mutex
	conn      net.Conn
	since     time.Time // when conn was made
	attempt   *attempt  // under way
	notBefore time.Time // of the next attempt
	failures  int       // one behind the other
	reported  bool      // that it is down

	writing sync.Mutex
	encoder frame.Encoder
}

// An attempt is one dial.
type attempt struct {
	began time.Time
	// hopeful is set where nothing says that the replica is down: then messages
	// wait for it. Others would only be stale when it is back.
	hopeful bool
	done    chan struct{}
}

// connection returns a connection or, where there is none to be had now, nil.
func (l *link) connection(ctx context.Context) net.Conn {
	l.mu.Lock()
	l.try()
	conn, a := l.conn, l.attempt
	l.mu.Unlock()
	if conn != nil || a == nil || !a.hopeful {
		return conn
	}
	wait := time.NewTimer(time.Until(a.began.Add(connectWait)))
	defer wait.Stop()
	select {
	case <-a.done:
	case <-wait.C:
	case <-ctx.Done():
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.conn
}

// try begins to dial where that has to be. The caller holds mu.
func (l *link) try() {
	if l.conn != nil || l.attempt != nil || time.Now().Before(l.notBefore) || !l.t.begin() {
		return
	}
	l.attempt = &attempt{began: time.Now(), hopeful: !l.reported || l.failures == 0, done: make(chan struct{})}
	go l.dial(l.attempt)
}

// dial makes a connection, and then watches it.
func (l *link) dial(a *attempt) {
	defer l.t.running.Done()
	ctx, cancel := context.WithTimeout(l.t.ctx, dialTime)
	conn, err := l.t.port.Dial(ctx, l.replica, port.Raft)
	cancel()
	l.mu.Lock()
	l.attempt = nil
	if err == nil {
		l.conn, l.since = conn, time.Now()
		if l.reported {
			l.log.Log(l.t.ctx, min(l.level, slog.LevelInfo), "raft: replica is reachable again")
		}
		l.reported = false
	} else {
		l.failed(err)
	}
	l.mu.Unlock()
	close(a.done)
	if err == nil {
		l.watch(conn)
	}
}

// failed makes the next attempt wait. The caller holds mu.
func (l *link) failed(err error) {
	l.notBefore = time.Now().Add(min(redialMin<<min(l.failures, 10), redialMax))
	l.failures++
	if !l.reported && l.t.ctx.Err() == nil {
		l.reported = true
		l.log.Log(l.t.ctx, l.level, "raft: replica is not reachable", "err", err)
	}
}

// watch waits for the connection's end: the other side says nothing on it, but
// hangs up.
func (l *link) watch(conn net.Conn) {
	defer context.AfterFunc(l.t.ctx, func() { abort(conn) })()
	_, err := conn.Read(make([]byte, 1))
	if err == nil {
		err = errors.New("it speaks where it should listen")
	}
	l.broke(conn, err)
}

// broke gives a connection up.
func (l *link) broke(conn net.Conn, err error) {
	abort(conn)
	if l.down != nil {
		l.down()
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.conn != conn {
		return
	}
	l.conn = nil
	if time.Since(l.since) >= steadyTime {
		// Whoever restarts is to be found at once.
		l.failures = 0
	}
	l.failed(err)
}

// awake is called when the replica has shown that it is there: it will want an
// answer.
func (l *link) awake() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.notBefore, l.failures = time.Time{}, 0
	l.try()
}

// send sends the batch, or reports that it was dropped.
func (l *link) send(ctx context.Context, batch raftpb.MessageBatch) bool {
	conn := l.connection(ctx)
	if conn == nil {
		return false
	}
	l.writing.Lock()
	defer l.writing.Unlock()
	err := l.encoder.Batch(batch, func(frame []byte) error {
		if err := conn.SetWriteDeadline(time.Now().Add(frameTime(len(frame)))); err != nil {
			return err
		}
		_, err := conn.Write(frame)
		return err
	})
	if err != nil {
		l.broke(conn, err)
	}
	return err == nil
}

// up reports whether there is a connection.
func (l *link) up() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.conn != nil
}

// abort ends a connection at once, without waiting to say so to its peer.
func abort(conn net.Conn) {
	if t, ok := conn.(*tls.Conn); ok {
		conn = t.NetConn()
	}
	_ = conn.Close() // whoever uses it hears of it
}
