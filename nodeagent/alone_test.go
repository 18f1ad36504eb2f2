package nodeagent

import (
	"net"
	"strings"
	"testing"
	"time"

	"quorate/internal/job"
	"quorate/nodeagent/journal"
	"quorate/nodeagent/wire"
)

// cut takes the agent's link away for its next boots.
func (b *bootable) cut() {
	b.t.Helper()
	silent, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		b.t.Fatal(err)
	}
	b.t.Cleanup(func() { silent.Close() })
	b.nowhere = silent.LocalAddr().String()
}

// chain ships steps of one job each, every one behind the one before it.
func (b *bootable) chain(first uint64, jobs ...job.Job) {
	b.t.Helper()
	for i := range jobs {
		d := b.o.dispatch(first+uint64(i), 0)
		if i > 0 {
			d.After = []wire.Predecessor{{Attempt: first + uint64(i) - 1}}
		}
		var err error
		if d.Spec, err = wire.EncodeStep(&wire.Step{Run: 1, Task: string(rune('a' + i)), Host: "host", Jobs: jobs[i : i+1]}); err != nil {
			b.t.Fatal(err)
		}
		b.o.send(d)
	}
}

// TestGoesOnOffline: behind a restart of the host, without a link, an agent goes on
// with what was shipped behind the step that asked for the restart, once it has waited
// for a connection for as long as it was told to; and says so when the link is back.
func TestGoesOnOffline(t *testing.T) {
	b := newBootable(t, "")
	b.boot("first")
	b.chain(10, sh("echo a >>../log"), job.Job{Verb: "REBOOT", Text: "0"}, sh("echo b >>../log"), sh("echo c >>../log"))
	b.called()
	b.cut()
	b.patience = time.Millisecond
	b.boot("second")
	eventually(t, "the rest of the chain", func() bool { return b.read("log") == "a b c" })
	b.nowhere = ""
	b.boot("second")
	for attempt := uint64(10); attempt < 14; attempt++ {
		if end, _ := b.o.ended(attempt); end.Outcome != journal.OutcomeSucceeded {
			t.Errorf("attempt %d ended %+v", attempt, end)
		}
	}
	if got := b.read("log"); got != "a b c" {
		t.Errorf("effects %q", got)
	}
}

// TestWaitsForTheCluster: nothing goes on where the agent is to wait for a connection.
func TestWaitsForTheCluster(t *testing.T) {
	b := newBootable(t, "")
	b.boot("first")
	b.chain(10, job.Job{Verb: "REBOOT", Text: "0"}, sh("echo b >>../log"))
	b.called()
	b.cut()
	b.boot("second")
	eventually(t, "a try to connect", func() bool { return strings.Contains(b.log.String(), "not connected") })
	if got := b.read("log"); got != "" {
		t.Errorf("effects %q before any connection", got)
	}
	b.nowhere = ""
	b.boot("second")
	if end, _ := b.o.ended(11); end.Outcome != journal.OutcomeSucceeded || b.read("log") != "b" {
		t.Errorf("end %+v, effects %q", end, b.read("log"))
	}
}

// TestStopsInOrder: a host that shuts down in order makes nothing unknown but what was
// running. What was shipped behind that has not begun, and says so.
func TestStopsInOrder(t *testing.T) {
	b := newBootable(t, "")
	b.boot("first")
	b.chain(10, sh("echo a >>../log; while test -e ../log; do sleep 0.1; done"), sh("echo b >>../log"), sh("echo c >>../log"))
	eventually(t, "the running job", func() bool { return b.read("log") == "a" })
	b.boot("second")
	for attempt, want := range map[uint64]uint8{10: journal.OutcomeUnknown, 11: journal.OutcomeNotStarted, 12: journal.OutcomeNotStarted} {
		if end, _ := b.o.ended(attempt); end.Outcome != want {
			t.Errorf("attempt %d ended %+v, want outcome %d", attempt, end, want)
		}
	}
	if got := b.read("log"); got != "a" {
		t.Errorf("effects %q", got)
	}
}

// TestRanTwice: an agent whose disk was put back finds that out at the next connection,
// and its log names what it did alone.
func TestRanTwice(t *testing.T) {
	b := newBootable(t, "")
	b.boot("first")
	b.chain(10, job.Job{Verb: "REBOOT", Text: "0"}, sh("echo b >>../log"))
	b.called()
	b.cut()
	b.patience = time.Millisecond
	b.boot("second")
	eventually(t, "the rest of the chain", func() bool { return b.read("log") == "b" })
	b.o.update(func() {
		for range 100 { // the cluster has heard more than this journal can have said
			b.o.reports = append(b.o.reports, wire.Report{Seq: uint64(len(b.o.reports)) + 1})
		}
	})
	b.nowhere = ""
	b.boot("second")
	eventually(t, "what may have run twice", func() bool {
		return strings.Contains(b.log.String(), "may have run twice") && strings.Contains(b.log.String(), "task b of run 1")
	})
}
