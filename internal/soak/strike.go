package soak

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"quorate/internal/soak/lab"
)

// errNobody says that a fault found nobody to strike: others are at it already,
// or nobody leads.
var errNobody = errors.New("nobody to strike")

// flapPeriod is how long a flapping link is up, and down, at a time.
const flapPeriod = 150 * time.Millisecond

// An injector does to a lab what a schedule says, several faults at a time.
type injector struct {
	lab     *lab.Lab
	clients []*lab.Host
	log     func(format string, args ...any)

	mu     sync.Mutex
	struck map[string]bool // who is under a fault, by name
	done   map[string]int  // faults by kind
	missed int
	broken []error // what could not be done or undone
}

// run strikes until the schedule is done, and undoes everything.
func (in *injector) run(ctx context.Context, faults []Fault) {
	start := time.Now()
	var wg sync.WaitGroup
	for _, f := range faults {
		select {
		case <-ctx.Done():
		case <-time.After(time.Until(start.Add(f.At))):
		}
		if ctx.Err() != nil {
			break
		}
		wg.Go(func() { in.strike(ctx, f) })
	}
	wg.Wait()
}

// strike does one fault from its beginning to its end.
func (in *injector) strike(ctx context.Context, f Fault) {
	err := in.inflict(ctx, f)
	in.mu.Lock()
	defer in.mu.Unlock()
	switch {
	case errors.Is(err, errNobody):
		in.missed++
	case err != nil:
		in.broken = append(in.broken, fmt.Errorf("%s: %w", f.Kind, err))
	default:
		in.done[f.Kind]++
	}
}

// claim reserves whom a fault strikes; free gives them back.
func (in *injector) claim(names ...string) bool {
	in.mu.Lock()
	defer in.mu.Unlock()
	for _, n := range names {
		if in.struck[n] {
			return false
		}
	}
	for _, n := range names {
		in.struck[n] = true
	}
	return true
}

func (in *injector) free(names ...string) {
	in.mu.Lock()
	defer in.mu.Unlock()
	for _, n := range names {
		delete(in.struck, n)
	}
}

// inflict chooses whom to strike, and does it.
func (in *injector) inflict(ctx context.Context, f Fault) error {
	verb, whom, _ := strings.Cut(f.Kind, " ")
	switch {
	case f.Kind == "transfer":
		return in.transfer(ctx, f)
	case f.Kind == "fill disk":
		return in.fillDisk(ctx, f)
	case f.Kind == "set clock":
		return in.setClock(ctx, f)
	case f.Kind == "cut client":
		h := in.clients[f.Pick%uint64(len(in.clients))]
		return in.during(ctx, f, []string{h.Name}, h.Cut, h.Mend)
	case whom == "relay":
		return in.relay(ctx, f, verb)
	case whom == "agent" || whom == "host" || whom == "all agents":
		return in.agents(ctx, f, verb, whom)
	}
	return in.orchestrators(ctx, f, verb, whom)
}

// during does something for the time that a fault lasts.
func (in *injector) during(ctx context.Context, f Fault, names []string, do, undo func() error) error {
	if !in.claim(names...) {
		return errNobody
	}
	defer in.free(names...)
	in.log("%s: %s for %.1f s", f.Kind, strings.Join(names, ", "), f.For.Seconds())
	err := do()
	select {
	case <-ctx.Done():
	case <-time.After(f.For):
	}
	return errors.Join(err, undo())
}

// choose returns the orchestrators that a word means: the leader, one of the
// others, two, or all.
func (in *injector) choose(ctx context.Context, whom string, pick uint64) []*lab.Server {
	all := in.lab.Servers()
	if whom == "all" {
		return all
	}
	if whom == "two" {
		skip := int(pick % uint64(len(all)))
		return append(append([]*lab.Server(nil), all[:skip]...), all[skip+1:]...)
	}
	if whom == "orchestrator" {
		return all[pick%uint64(len(all)):][:1]
	}
	leader := in.lab.Leader(ctx)
	if leader == nil {
		return nil
	}
	if whom == "leader" {
		return []*lab.Server{leader}
	}
	var followers []*lab.Server
	for _, s := range all {
		if s != leader {
			followers = append(followers, s)
		}
	}
	if len(followers) == 0 {
		return nil
	}
	return followers[pick%uint64(len(followers)):][:1]
}

func (in *injector) orchestrators(ctx context.Context, f Fault, verb, whom string) error {
	targets := in.choose(ctx, whom, f.Pick)
	if len(targets) == 0 {
		return errNobody
	}
	var names []string
	for _, s := range targets {
		names = append(names, s.Name())
	}
	s, others := targets[0], in.others(targets[0])
	if len(others) == 0 && (verb == "mute" || verb == "split") {
		return errNobody
	}
	switch verb {
	case "kill":
		return in.during(ctx, f, names, func() error { killAll(targets); return nil }, func() error { return startAll(targets) })
	case "stop":
		return in.during(ctx, f, names, s.Stop, s.Start)
	case "pause":
		return in.during(ctx, f, names, func() error { s.Pause(); return nil }, func() error { s.Resume(); return nil })
	case "cut":
		return in.during(ctx, f, names, s.Cut, s.Mend)
	case "flap":
		return in.flap(ctx, f, s.Host)
	case "mute":
		to := others[f.Pick>>8%uint64(len(others)):][:1]
		return in.during(ctx, f, names, func() error { return mute(s.Host, to) }, func() error { return unmute(s.Host, to) })
	case "split":
		to := others
		do := func() error {
			err := mute(s.Host, to)
			for _, o := range to {
				err = errors.Join(err, o.Mute(s.Host))
			}
			return err
		}
		undo := func() error {
			err := unmute(s.Host, to)
			for _, o := range to {
				err = errors.Join(err, o.Unmute(s.Host))
			}
			return err
		}
		return in.during(ctx, f, names, do, undo)
	}
	return fmt.Errorf("%q is no fault of orchestrators", verb)
}

// others are the hosts of the orchestrators but one.
func (in *injector) others(not *lab.Server) []*lab.Host {
	var all []*lab.Host
	for _, s := range in.lab.Servers() {
		if s != not {
			all = append(all, s.Host)
		}
	}
	return all
}

func mute(from *lab.Host, to []*lab.Host) error {
	var err error
	for _, h := range to {
		err = errors.Join(err, from.Mute(h))
	}
	return err
}

func unmute(from *lab.Host, to []*lab.Host) error {
	var err error
	for _, h := range to {
		err = errors.Join(err, from.Unmute(h))
	}
	return err
}

func killAll(servers []*lab.Server) {
	var wg sync.WaitGroup
	for _, s := range servers {
		wg.Go(s.Kill)
	}
	wg.Wait()
}

func startAll(servers []*lab.Server) error {
	var err error
	for _, s := range servers {
		err = errors.Join(err, s.Start())
	}
	return err
}

func (in *injector) agents(ctx context.Context, f Fault, verb, whom string) error {
	all := in.lab.Agents()
	if whom != "all agents" {
		all = all[f.Pick%uint64(len(all)):][:1]
	}
	var names []string
	for _, a := range all {
		names = append(names, a.Name())
	}
	a := all[0]
	switch verb {
	case "kill":
		return in.during(ctx, f, names, func() error {
			for _, a := range all {
				a.Kill()
			}
			return nil
		}, func() (err error) {
			for _, a := range all {
				err = errors.Join(err, a.Start())
			}
			return err
		})
	case "crash":
		return in.during(ctx, f, names, a.Reboot, a.Start)
	case "slay":
		return in.during(ctx, f, names, func() error { a.Slay(); return nil }, a.Start)
	case "pause":
		return in.during(ctx, f, names, func() error { a.Pause(); return nil }, func() error { a.Resume(); return nil })
	case "cut":
		return in.during(ctx, f, names, a.Cut, a.Mend)
	case "flap":
		return in.flap(ctx, f, a.Host)
	}
	return fmt.Errorf("%q is no fault of agents", verb)
}

// relay strikes the relay of the site. Where it is split off, the site works on without
// a link.
func (in *injector) relay(ctx context.Context, f Fault, verb string) error {
	r := in.lab.Relay()
	if r == nil {
		return errNobody
	}
	names := []string{r.Name()}
	switch verb {
	case "kill":
		return in.during(ctx, f, names, func() error { r.Kill(); return nil }, r.Start)
	case "pause":
		return in.during(ctx, f, names, func() error { r.Pause(); return nil }, func() error { r.Resume(); return nil })
	case "cut":
		return in.during(ctx, f, names, r.Cut, r.Mend)
	case "split":
		servers := in.others(nil)
		return in.during(ctx, f, names, func() error { return mute(r.Host, servers) }, func() error { return unmute(r.Host, servers) })
	}
	return fmt.Errorf("%q is no fault of relays", verb)
}

// flap takes a link away and gives it back, again and again: some packets are lost.
func (in *injector) flap(ctx context.Context, f Fault, h *lab.Host) error {
	stop, stopped := make(chan struct{}), make(chan error, 1)
	return in.during(ctx, f, []string{h.Name}, func() error {
		go func() { // ends when stop is closed
			var err error
			for {
				select {
				case <-stop:
					stopped <- err
					return
				case <-time.After(flapPeriod):
				}
				err = errors.Join(err, h.Cut())
				<-time.After(flapPeriod)
				err = errors.Join(err, h.Mend())
			}
		}()
		return nil
	}, func() error { close(stop); return <-stopped })
}

// transfer asks the cluster for another leader. It may well be refused.
func (in *injector) transfer(ctx context.Context, f Fault) error {
	to := in.choose(ctx, "follower", f.Pick)
	if len(to) == 0 {
		return errNobody
	}
	client, err := to[0].Local()
	if err != nil {
		return err
	}
	defer client.Close()
	replica := to[0].Replica(ctx)
	if replica == 0 {
		return errNobody
	}
	ctx, cancel := context.WithTimeout(ctx, answerTimeout)
	defer cancel()
	in.log("%s: to %s", f.Kind, to[0].Name())
	_, _ = client.TransferLead(ctx, replica)
	return nil
}

// fillDisk leaves no room on the small file system, and gives it back.
func (in *injector) fillDisk(ctx context.Context, f Fault) error {
	s := in.lab.SmallDisk()
	if s == nil {
		return errNobody
	}
	path := filepath.Join(s.Dir, "filler")
	return in.during(ctx, f, []string{"disk of " + s.Name()}, func() error { return fill(path) }, func() error { return os.Remove(path) })
}

// fill writes until there is no room.
func fill(path string) error {
	f, err := os.Create(path)
	if err != nil {
		return err
	}
	block := make([]byte, 1<<20)
	for size := len(block); size > 512; {
		if _, err := f.Write(block[:size]); err != nil {
			size /= 2
		}
	}
	return f.Close()
}

// setClock sets somebody's clock wrong, by seconds or by years, and right again.
func (in *injector) setClock(ctx context.Context, f Fault) error {
	type timed struct {
		name  string
		clock *lab.Clock
	}
	var all []timed
	for _, s := range in.lab.Servers() {
		all = append(all, timed{s.Name(), s.Clock})
	}
	for _, a := range in.lab.Agents() {
		all = append(all, timed{a.Name(), a.Clock})
	}
	jumps := []time.Duration{time.Minute, -time.Minute, time.Hour, -time.Hour, 400 * 24 * time.Hour, -400 * 24 * time.Hour, 10 * 8766 * time.Hour, -10 * 8766 * time.Hour}
	who, by := all[f.Pick%uint64(len(all))], jumps[f.Pick>>32%uint64(len(jumps))]
	if who.clock == nil {
		return errNobody
	}
	return in.during(ctx, f, []string{fmt.Sprintf("clock of %s", who.name)}, func() error { return who.clock.Set(by) }, func() error { return who.clock.Set(0) })
}
