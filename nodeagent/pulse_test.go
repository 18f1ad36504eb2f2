package nodeagent

import (
	"fmt"
	"math/rand/v2"
	"testing"
	"time"
)

// A line is a connection to a gateway as a pulse sees it, without clock or network.
type line struct {
	rtt, deviation time.Duration
	loss           float64 // each way
	ordered        bool    // as TCP is: what is lost is sent again, and held up for meanwhile
	dead           time.Duration
	stalls         [2]time.Duration // from, to: the agent itself does not run
	r              *rand.Rand
}

// watchLine lets a pulse watch the line for so long, and returns when it was first
// taken for dead, or 0, and how often was asked.
func watchLine(l line, every, long time.Duration) (silent time.Duration, asked int) {
	start := time.Unix(1000, 0)
	p := &pulse{every: every}
	s := signs{heard: 1, sent: 1000, lost: uint64(1000 * l.loss), rtt: l.rtt, deviation: l.deviation, ordered: l.ordered, answered: start}
	var answers []time.Time // when they arrive
	for now, next := start, time.Duration(0); now.Sub(start) < long; {
		now = now.Add(next)
		if at := now.Sub(start); at > l.stalls[0] && at < l.stalls[1] {
			now = start.Add(l.stalls[1])
		}
		for len(answers) > 0 && !answers[0].After(now) {
			s.heard++
			s.answered = answers[0]
			answers = answers[1:]
		}
		var ask, dead bool
		ask, dead, next = p.look(now, s, 1)
		if dead {
			return now.Sub(start), asked
		}
		if ask {
			asked++
			there, back := l.r.Float64() >= l.loss, l.r.Float64() >= l.loss
			at, arrives := now.Add(l.rtt), l.ordered || there && back
			if l.ordered {
				at = at.Add(l.delay() + l.delay())
				if n := len(answers); n > 0 && at.Before(answers[n-1]) {
					at = answers[n-1]
				}
			}
			if arrives && (l.dead == 0 || at.Sub(start) < l.dead) {
				answers = append(answers, at)
			}
		}
		next = max(next, time.Millisecond)
	}
	return 0, asked
}

// delay is how much later something comes on an ordered line, since it was lost: a single
// packet is sent again after two round trips and a bit, and as others behind it show that
// it was lost, once in one and a quarter from then on.
func (l *line) delay() (d time.Duration) {
	for wait := 2*l.rtt + 200*time.Millisecond; l.r.Float64() < l.loss; wait = l.rtt * 5 / 4 {
		d += wait
	}
	return d
}

// TestPulse: a dead gateway is noticed within two and a half heartbeats, or a few
// round trips, and one that answers never is, however bad the line.
func TestPulse(t *testing.T) {
	const ms = time.Millisecond
	for _, row := range []struct {
		name     string
		l        line
		every    time.Duration
		from, to time.Duration // when it is to be noticed; 0 never
	}{
		{"good line", line{rtt: ms}, 500 * ms, 0, 0},
		{"good line, death", line{rtt: ms, dead: 60 * time.Second}, 500 * ms, 60 * time.Second, 61400 * ms},
		{"far away", line{rtt: 600 * ms, deviation: 50 * ms}, 500 * ms, 0, 0},
		{"far away, death", line{rtt: 600 * ms, deviation: 50 * ms, dead: 60 * time.Second}, 500 * ms, 60 * time.Second, 65 * time.Second},
		{"third lost", line{rtt: 50 * ms, deviation: 10 * ms, loss: .3}, 500 * ms, 0, 0},
		{"third lost, far away", line{rtt: 300 * ms, deviation: 80 * ms, loss: .3}, 500 * ms, 0, 0},
		{"third lost, death", line{rtt: 50 * ms, deviation: 10 * ms, loss: .3, dead: 60 * time.Second}, 500 * ms, 60 * time.Second, 65 * time.Second},
		{"many agents, death", line{rtt: ms, dead: 60 * time.Second}, 4 * time.Second, 60 * time.Second, 71 * time.Second},
		{"over TCP", line{rtt: ms, ordered: true}, 500 * ms, 0, 0},
		{"over TCP, death", line{rtt: ms, ordered: true, dead: 60 * time.Second}, 500 * ms, 60 * time.Second, 61400 * ms},
		{"over TCP, 5 % lost, far away", line{rtt: 300 * ms, deviation: 30 * ms, loss: .05, ordered: true}, 500 * ms, 0, 0},
		{"over TCP, first loss", line{rtt: 300 * ms, deviation: 10 * ms, loss: .001, ordered: true}, 500 * ms, 0, 0},
		{"over TCP, 5 % lost, death", line{rtt: 300 * ms, deviation: 30 * ms, loss: .05, ordered: true, dead: 60 * time.Second}, 500 * ms, 60 * time.Second, 68 * time.Second},
		{"agent slept", line{rtt: ms, stalls: [2]time.Duration{60 * time.Second, 90 * time.Second}}, 500 * ms, 0, 0},
	} {
		t.Run(row.name, func(t *testing.T) {
			for seed := range uint64(20) {
				row.l.r = rand.New(rand.NewPCG(seed, 7))
				silent, asked := watchLine(row.l, row.every, 10*time.Minute)
				if silent < row.from || silent > row.to {
					t.Fatalf("seed %d: taken for dead at %s, want between %s and %s", seed, silent, row.from, row.to)
				}
				if most := int(10*time.Minute/row.every) + 1; row.to == 0 && row.l.loss == 0 && asked > most {
					t.Errorf("asked %d times, want at most %d", asked, most)
				}
			}
		})
	}
}

// TestSlowAgent: what an agent is late itself, since its host is busy, is no silence of
// the gateway's.
func TestSlowAgent(t *testing.T) {
	p := &pulse{every: 500 * time.Millisecond}
	start := time.Unix(1000, 0)
	s := signs{rtt: time.Millisecond, answered: start}
	own := time.Duration(0)
	for now := start; now.Sub(start) < time.Minute; {
		_, silent, next := p.look(now, s, 1)
		if silent {
			if waited := now.Sub(start) - own; waited < p.limit {
				t.Errorf("taken for dead after %s, of which the agent was late for %s", now.Sub(start), own)
			}
			return
		}
		late := p.step * 9 / 10
		own += late
		now = now.Add(next + late)
	}
	t.Error("a dead gateway was not noticed")
}

// TestMuteGateway: a host that answers for a gateway which says nothing itself does
// not deceive for ever.
func TestMuteGateway(t *testing.T) {
	start := time.Unix(1000, 0)
	p := &pulse{every: time.Second}
	for now, received := start, uint64(1); ; now, received = now.Add(100*time.Millisecond), received+1 {
		_, silent, _ := p.look(now, signs{heard: received, answered: start}, 1)
		if at := now.Sub(start); silent != (at >= answerMax+p.limit) {
			t.Fatalf("after %s: silent %t", at, silent)
		} else if silent {
			return
		}
	}
}

// TestAlarmStands: what an alarm teaches about the next one does not take it back;
// only a sign of life does.
func TestAlarmStands(t *testing.T) {
	p := &pulse{every: 500 * time.Millisecond}
	now := time.Unix(1000, 0)
	s := signs{heard: 1, rtt: time.Millisecond, answered: now}
	patience := 1
	for was, until := false, now.Add(5*time.Second); now.Before(until); {
		_, silent, next := p.look(now, s, patience)
		if was && !silent {
			t.Fatalf("%s after its last word a dead gateway was taken for alive", now.Sub(s.answered))
		}
		if was = silent; silent {
			patience = 8
		}
		now = now.Add(next)
	}
	if patience == 1 {
		t.Fatal("a dead gateway was not noticed")
	}
	now = now.Add(10 * time.Second)
	if _, silent, _ := p.look(now, s, patience); !silent {
		t.Error("a dead gateway is taken for alive because the agent slept")
	}
	s.heard++
	if _, silent, _ := p.look(now, s, patience); silent {
		t.Error("a gateway that answers again is still taken for dead")
	}
}

// TestCaution: leaving again and again, or by mistake, makes an agent slow to leave;
// quiet times make it quick again.
func TestCaution(t *testing.T) {
	var c caution
	now := time.Unix(1000, 0)
	var seen []int
	for _, step := range []struct {
		after    time.Duration
		mistaken bool
	}{{0, false}, {10 * time.Second, false}, {10 * time.Second, true}, {10 * time.Second, true}, {10 * time.Second, true}, {time.Hour, false}} {
		now = now.Add(step.after)
		before := c.patience(now)
		seen = append(seen, before)
		if step.mistaken {
			c.raise(now)
		} else {
			c.alarm(now)
		}
	}
	if got, want := fmt.Sprint(seen), fmt.Sprint([]int{1, 1, 2, 4, 8, 1}); got != want {
		t.Errorf("patience %s, want %s", got, want)
	}
}
