package cli

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"quorate/engine/api"
)

// atSite puts the agents of a cluster behind a relay.
func (c *cluster) atSite(hosts ...string) {
	c.t.Helper()
	join := func(token api.TokenCreate) []string {
		token.TTLSeconds = 600
		answer, err := c.client.CreateToken(c.t.Context(), token)
		if err != nil {
			c.t.Fatal(err)
		}
		return []string{"QUORATE_TOKEN=" + answer.Token}
	}
	address, err := freeAddress()
	if err != nil {
		c.t.Fatal(err)
	}
	c.start("relay", join(api.TokenCreate{Name: "site", Role: "relay"}), "relay", "--server", c.address, "--data-dir", filepath.Join(c.dir, "relay"), "--listen", address)
	eventually(c.t, "the relay", func() bool {
		relays, err := c.client.Relays(c.t.Context())
		return err == nil && len(relays) == 1 && relays[0].Status == "connected"
	})
	for _, host := range hosts {
		root := filepath.Join(c.dir, host, "root")
		if err := os.MkdirAll(root, 0o700); err != nil {
			c.t.Fatal(err)
		}
		c.start(host, join(api.TokenCreate{Name: host, Role: "agent"}), "agent", "--relay", address, "--data-dir", filepath.Dir(root), "--work-dir", root)
	}
	c.connected(hosts...)
}

// TestDayTwoSite: what hosts of a site tell each other of their steps is what the cluster
// tells them. So it makes no difference which of the two it was, from one run to the next.
func TestDayTwoSite(t *testing.T) {
	t.Parallel()
	s := newSite(t, logEmbedded, dayTwoFiles())
	s.atSite("host-1", "host-2", "edge-1")
	ways := [][]string{nil, {"--ahead", "0"}} // hosts of the site tell, or the cluster
	apply := func(what string, way []string, lines ...string) {
		t.Helper()
		s.apply(0, way...)
		s.wants(what, lines...)
	}
	apply("the first run", ways[0], append(everything("host-1", "host-2"), probed)...)
	apply("by the cluster's word", ways[1])
	words := []string{"one", "two", "three", "four"}
	for i := range 3 {
		s.edit("services/web.conf", words[i], words[i+1])
		slices.Reverse(ways)
		apply("another file", ways[0], append(reloaded("host-1", "host-2"), probed)...)
		apply("told in the other way", ways[1])
	}
}

// TestDayTwoRetry: a run that does the rest of another one does what is due by what that
// one has changed, on other hosts too.
func TestDayTwoRetry(t *testing.T) {
	t.Parallel()
	files := dayTwoFiles()
	files["services/web.yaml"] = strings.ReplaceAll(files["services/web.yaml"], "RUN: '$HOLD'", "RUN: 'test ! -e fail'")
	s := newSite(t, logEmbedded, files, "host-1", "host-2", "edge-1")
	s.apply(0)
	s.effects()
	s.edit("services/web.conf", "one", "two")
	writeFiles(t, s.dir, map[string]string{"host-2/root/fail": ""})
	s.apply(exitRunFailed)
	s.wants("a failure on one host", done("reload", "web-conf@host-1")...)
	if err := os.Remove(filepath.Join(s.dir, "host-2", "root", "fail")); err != nil {
		t.Fatal(err)
	}
	if retry := s.command("run", "retry", "latest"); retry.code() != 0 {
		t.Fatalf("retry: %s", retry)
	}
	s.wants("the rest", append(done("restart", "web-start@host-1", "web-start@host-2"), "reload web-conf@host-2", probed)...)
	s.day("afterwards", nil)
}

// TestDayTwoCheck: a check says what would follow, and changes nothing of what does.
func TestDayTwoCheck(t *testing.T) {
	t.Parallel()
	s := newSite(t, logEmbedded, dayTwoFiles(), "host-1", "host-2", "edge-1")
	changes := func() (steps []string) {
		t.Helper()
		s.apply(0, "--check")
		run, err := s.client.Run(t.Context(), "latest")
		if err != nil {
			t.Fatal(err)
		}
		for _, step := range stepsOf(run, "succeeded") {
			if slices.ContainsFunc(step.Jobs, func(j api.Job) bool { return j.Changed }) {
				steps = append(steps, step.ID)
			}
		}
		return steps
	}
	s.apply(0)
	s.effects()
	if got := changes(); len(got) > 0 {
		t.Errorf("a check of what is done would change %v", got)
	}
	s.edit("services/web.conf", "one", "two")
	for range 2 {
		got := strings.Join(changes(), " ")
		for step, want := range map[string]bool{"web-conf@host-1": true, "web-start@host-2": true, "front-probe@edge-1": true, "web-other@host-1": false, "web-listen@host-2": false} {
			if strings.Contains(got, step) != want {
				t.Errorf("a check of another file would change %s, want of %s %t", got, step, want)
			}
		}
	}
	s.wants("a check")
	s.day("the run", nil, append(reloaded("host-1", "host-2"), probed)...)
	if got := changes(); len(got) > 0 {
		t.Errorf("a check after the run would change %v", got)
	}
}

// TestDayTwoOutput: what requires a task runs when that comes to something else, and not
// because it runs; what a job prints that is always run does not count.
func TestDayTwoOutput(t *testing.T) {
	t.Parallel()
	s := newSite(t, logEmbedded, map[string]string{
		"services/s.yaml": `id: s
version: "1.0"
type: service
tasks:
  - id: conf
    driver: directord
    provides: [s.conf]
    jobs:
      - ADD: conf conf
  - id: made
    driver: directord
    provides: [s.made]
    requires: [s.conf]
    jobs:
      - ` + note("made") + `
      - RUN: cat answer
  - id: uses
    driver: directord
    requires: [s.made]
    jobs:
      - ` + note("uses") + `
  - id: noise
    driver: directord
    always: true
    provides: [s.noise]
    jobs:
      - ` + note("noise") + `
      - RUN: date +%N
  - id: more
    driver: directord
    provides: [s.more]
    jobs:
      - RUN: --skip-cache date +%N
  - id: hears
    driver: directord
    requires: [s.noise, s.more]
    jobs:
      - ` + note("hears") + `
`,
		"services/conf": "one\n", "inventory.yaml": "hosts:\n  host-1: {role: s}\n", "roles.yaml": "s:\n  services: [s]\n",
	}, "host-1")
	noise := "noise s-noise@host-1"
	apply := func(what string, lines ...string) {
		t.Helper()
		s.apply(0)
		s.wants(what, append(lines, noise)...)
	}
	writeFiles(t, s.dir, map[string]string{"host-1/root/answer": "42\n"})
	apply("the first run", "made s-made@host-1", "uses s-uses@host-1", "hears s-hears@host-1")
	apply("nothing was edited")
	s.edit("services/conf", "one", "two")
	apply("the same is made of another file", "made s-made@host-1")
	writeFiles(t, s.dir, map[string]string{"host-1/root/answer": "43\n"})
	s.edit("services/conf", "two", "three")
	apply("something else is made of another file", "made s-made@host-1", "uses s-uses@host-1")
	apply("nothing was edited since")
}
