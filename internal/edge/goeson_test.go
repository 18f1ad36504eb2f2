package edge

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"quorate/internal/soak/lab"
)

// writeRelay writes the files of a deployment whose tasks are a chain that goes from host
// to host of the agents, and returns the arguments of the command that applies it, and what
// its jobs leave, in order.
func (r *relayed) writeRelay(name string, agents []*lab.Agent, count int, job string) (args, want []string) {
	r.t.Helper()
	dir := filepath.Join(r.Dir, name)
	if err := os.Mkdir(dir, 0o700); err != nil {
		r.t.Fatal(err)
	}
	hosts := len(agents)
	texts := make([]string, hosts)
	inventory, roles := "hosts:\n", ""
	for h, a := range agents {
		texts[h] = fmt.Sprintf("id: %s%d\nversion: \"1.0\"\ntype: service\ntasks:\n", name, h)
		inventory += fmt.Sprintf("  %s: {role: node%d}\n", a.Name(), h)
		roles += fmt.Sprintf("node%d:\n  services: [%s%d]\n", h, name, h)
	}
	for i := range count {
		h := i % hosts
		texts[h] += fmt.Sprintf("  - id: t%d\n    driver: directord\n    provides: [%s.t%d]\n", i, name, i)
		if i > 0 {
			texts[h] += fmt.Sprintf("    requires: [%s.t%d]\n", name, i-1)
		}
		texts[h] += "    jobs:\n      - RUN: " + job + "\n"
		want = append(want, fmt.Sprintf("%s%d-t%d", name, h, i))
	}
	for h, text := range texts {
		r.write(filepath.Join(name, fmt.Sprintf("service%d.yaml", h)), text)
	}
	return []string{
		"apply", "--ignore-cache", "-s", dir,
		"-i", r.write(name+"-inventory.yaml", inventory), "-r", r.write(name+"-roles.yaml", roles),
	}, want
}

// TestSiteGoesOn cuts the link of a site whose agents were sent a chain that goes from
// host to host, kills the relay and one of the agents meanwhile, and wants all of it done,
// in order, before the link is back.
func TestSiteGoesOn(t *testing.T) {
	beside(t)
	tasks, cut, each := 30, size(time.Minute, 2*time.Second), size("0.5", "0.1")
	r := newRelayed(t, 1, 3, Conditions{Delay: size(roundTrip, 60*time.Millisecond) / 2})
	e := r.effects()
	args, want := r.writeRelay("turn", r.Agents(), tasks, e.job(each))
	run := r.begin(args...)
	r.until("the chain goes on, and all of it is at the site", func() bool {
		shown := r.show(run)
		return len(e.lines()) >= 3 && steps(shown, "shipped")+steps(shown, "running")+steps(shown, "succeeded") == tasks
	})
	r.link.Cut()
	began := time.Now()
	before := len(e.lines())
	goesOn := func(what string) {
		n := len(e.lines())
		r.until("the chain goes on "+what, func() bool { return len(e.lines()) >= min(n+2, tasks) })
	}
	goesOn("without a link")
	r.relay.Kill()
	if err := r.relay.Start(); err != nil {
		t.Fatal(err)
	}
	goesOn("through a relay that was killed")
	a := r.Agents()[1]
	a.Kill()
	if err := a.Start(); err != nil {
		t.Fatal(err)
	}
	r.until("the site does without a link what it was sent", func() bool { return len(e.lines()) >= tasks })
	alone := time.Since(began)
	if shown := r.show(run); shown.Status != "running" || shown.Summary.Succeeded > before+1 {
		t.Errorf("behind the cut the run is %s, and knows of more than the %d jobs before it: %+v", shown.Status, before, shown.Summary)
	}
	<-time.After(cut - time.Since(began))
	r.link.Mend()
	back := time.Now()
	r.ends(run, "succeeded")
	t.Logf("%d steps of a chain across 3 hosts were done within %.1f s without a link, which was back after %.1f s; the run ended %.2f s later",
		tasks-before, alone.Seconds(), back.Sub(began).Seconds(), time.Since(back).Seconds())
	r.didOnce(t, run, e, want)
}

// didOnce wants the jobs of a run to have been done in their order, each by its first
// attempt.
func (r *relayed) didOnce(t *testing.T, run string, e effects, want []string) {
	t.Helper()
	if got := e.lines(); !slices.Equal(got, want) {
		t.Errorf("the jobs ran as %v", got)
	}
	for _, task := range r.show(run).Tasks {
		for _, step := range task.Steps {
			if step.Attempts != 1 {
				t.Errorf("step %s took %d attempts, want 1", step.ID, step.Attempts)
			}
		}
	}
}

// TestRelayReplaced cuts the link of a site in the middle of a chain that goes from host to
// host. The relay loses what it keeps for the site, and that goes on; then its
// host is replaced by one with nothing, which cannot join until the link is back, and does
// what is left then. Each job is done once, in order.
func TestRelayReplaced(t *testing.T) {
	beside(t)
	const tasks = 60
	r := newRelayed(t, 1, 3, Conditions{Delay: size(roundTrip, 60*time.Millisecond) / 2})
	e := r.effects()
	hurry := filepath.Join(r.Dir, "hurry")
	args, want := r.writeRelay("turn", r.Agents(), tasks, fmt.Sprintf("echo $QUORATE_TASK >> %s; test -e %s || sleep 0.2", string(e), hurry))
	run := r.begin(args...)
	r.until("the chain goes on, and all of it is at the site", func() bool {
		shown := r.show(run)
		return len(e.lines()) >= 3 && steps(shown, "shipped")+steps(shown, "running")+steps(shown, "succeeded") == tasks
	})
	token := r.token("site2")
	r.link.Cut()
	r.relay.Kill()
	for _, lost := range []string{"notices.db", "cache"} {
		if err := os.RemoveAll(filepath.Join(r.dir, lost)); err != nil {
			t.Fatal(err)
		}
	}
	before := len(e.lines())
	if err := r.relay.Start(); err != nil {
		t.Fatal(err)
	}
	r.until("the site goes on through a relay that knows nothing any more", func() bool { return len(e.lines()) >= before+4 })

	r.relay.Kill()
	r.relay = r.relayIn("relay2", token)
	if err := r.relay.Start(); err != nil {
		t.Fatal(err)
	}
	if n := len(e.lines()); n >= tasks {
		t.Fatalf("all %d jobs are done before the relay is replaced", n)
	}
	if err := os.WriteFile(hurry, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	n := len(e.lines())
	r.link.Mend()
	back := time.Now()
	r.until("the site goes on", func() bool { return len(e.lines()) > n+1 }) // one may have been under way
	again := time.Since(back)
	r.ends(run, "succeeded")
	t.Logf("behind a relay that had nothing the site went on %.1f s after the link was back, and the run ended after %.1f s", again.Seconds(), time.Since(back).Seconds())
	r.didOnce(t, run, e, want)
}
