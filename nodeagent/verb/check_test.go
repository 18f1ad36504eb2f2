package verb

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func (h *host) expect(text string, want Verdict, parts ...string) Checked {
	h.t.Helper()
	c := h.check(text)
	if c.Verdict != want {
		h.t.Errorf("%s: %s (%s), want %s", text, c.Verdict, c.Info, want)
	}
	for _, part := range parts {
		if !strings.Contains(c.Info+"\n"+c.Diff, part) {
			h.t.Errorf("%s: %q is missing in\n%s\n%s", text, part, c.Info, c.Diff)
		}
	}
	return c
}

func TestCheckOfFiles(t *testing.T) {
	h := newHost(t)
	add := "ADD --chmod 0640 " + h.file("f", "one\ntwo\n") + " f"
	h.expect(add, WouldChange, "create ", "+one\n")
	h.settles(add)
	h.file("f", "one\n2\n")
	c := h.expect(add, WouldChange, "write ", "-two\n+2\n", "--- ", " one\n")
	if strings.HasPrefix(c.Diff, "diff ") {
		t.Error("the diff begins with a command")
	}
	if err := os.Chmod(filepath.Join(h.dir, "f"), 0o600); err != nil {
		t.Fatal(err)
	}
	h.expect(add, WouldChange, "mode 0600 becomes 0640")
	h.expect("ADD "+h.file("f", "x")+" no/f", WouldFail, "no directory")
	h.expect("COPY "+h.file("g", "\x00\x01")+" f", WouldChange, "8 bytes become 2 bytes")
	h.expect("ADD --blueprint "+h.file("t", "{{ n }}")+" f", WouldFail, "'n' is undefined")
	h.ok("ARG n 7")
	h.expect("ADD --blueprint "+h.file("t", "{{ n }}\n")+" f", WouldChange, "+7\n")
}

func TestCheckOfDirectories(t *testing.T) {
	h := newHost(t)
	h.settles("WORKDIR --chmod 0750 a/b")
	h.expect("WORKDIR --chmod 0700 a/b", WouldChange, "mode 0750 becomes 0700")
	h.write("file", "")
	h.expect("WORKDIR file", WouldFail, "not a directory")
}

func TestCheckOfMemory(t *testing.T) {
	h := newHost(t)
	h.write("values.yaml", "xs: [1]\n")
	for _, text := range []string{"ARG n 1", "ENV N 1", "CACHEFILE values.yaml"} {
		h.settles(text)
	}
	h.expect("ARG n 2", WouldChange)
	h.expect("ARG --extend-args xs [2]", WouldChange)
	if h.arg("n") != "1" || h.arg("xs") != "[1]" {
		t.Errorf("checking stored something: n %s, xs %s", h.arg("n"), h.arg("xs"))
	}
	h.expect("CACHEFILE missing.yaml", WouldFail, "missing.yaml")
	h.expect("CACHEEVICT args", WouldChange, "Evicted 2")
	h.expect("CACHEEVICT nothing", Unchanged)
	if h.arg("n") != "1" {
		t.Error("checking evicted something")
	}
}

func TestCheckOfWhatNobodyKnows(t *testing.T) {
	h := newHost(t)
	h.expect("RUN touch f", CannotTell)
	h.ok("RUN touch f")
	h.newRun()
	h.expect("RUN touch f", Unchanged, "remembered")
	h.expect("RUN --skip-cache touch f", CannotTell)
	h.expect("RUN {{ nope }}", WouldFail, "'nope' is undefined")
	h.expect("WAIT --cmd true", CannotTell)
	h.expect("WAIT --seconds 100", Unchanged)
	h.expect("ECHO x", Unchanged)
}

func TestCheckOfWhatGoesBeyondTheHost(t *testing.T) {
	h := newHost(t)
	h.tool("systemctl", "")
	h.expect("REBOOT 10", WouldChange, "restart the host")
	h.expect("REBOOT {{ nope }}", WouldFail, "'nope' is undefined")
	h.expect("QUERY key", Unchanged, "only ask")
	h.expect("QUERY_WAIT key", Unchanged, "only wait")
	h.expect("JOB_WAIT 420796fea893c71e --identity n2", Unchanged, "only wait")
	h.expect("QUEUESENTINEL now", WouldChange, "omit")
	if h.scripts != nil {
		t.Errorf("the checks ran %q", h.scripts)
	}
}

func TestCheckOfServices(t *testing.T) {
	h := newHost(t)
	h.tool("systemctl", `case "$1 $2" in
"is-active up") echo active ;; "is-active down") echo inactive; exit 3 ;;
"is-enabled up") echo enabled ;; "is-enabled down") echo disabled; exit 1 ;;
*) echo "no answer" >&2; exit 4 ;; esac`)
	h.expect("SERVICE --enable up", Unchanged)
	h.expect("SERVICE --enable up down", WouldChange, "enable down, which is disabled\nstart down, which is inactive")
	h.expect("SERVICE --stopped up down", WouldChange, "stop up, which is active")
	h.expect("SERVICE --disable down", Unchanged)
	h.expect("SERVICE --daemon-reload --restarted up", WouldChange, "daemon-reload\nrestart up")
	h.expect("SERVICE odd", CannotTell, "systemctl: no answer (exit status 4)")
	for line := range strings.Lines(h.read("log")) {
		if !strings.HasPrefix(line, "systemctl is-") {
			t.Errorf("the check ran %s", line)
		}
	}
}

func TestCheckOfDNF(t *testing.T) {
	h := newHost(t)
	h.tool("rpm", `for last; do :; done; [ "$last" = there ]`)
	h.tool("dnf", `case "$*" in *old*) echo "old.noarch 2-1 updates"; exit 100 ;; *) exit 0 ;; esac`)
	h.expect("DNF there", Unchanged)
	h.expect("DNF there gone", WouldChange, "install gone")
	h.expect("DNF --absent there gone", WouldChange, "remove there")
	h.expect("DNF --absent gone", Unchanged)
	h.expect("DNF --latest there", Unchanged)
	h.expect("DNF @group", CannotTell)
	h.tool("rpm", "")
	h.expect("DNF --latest old", WouldChange, "update old.noarch to 2-1")
	if strings.Contains(h.read("log"), "install") {
		t.Errorf("the check ran\n%s", h.read("log"))
	}
}

// A rehearsal goes through the jobs of a run: what one would store those behind it find,
// and what one would do they may depend on.
func TestRehearse(t *testing.T) {
	h := newHost(t)
	branch, err := h.store.Branch(filepath.Join(t.TempDir(), "branch.db"))
	if err != nil {
		t.Fatal(err)
	}
	defer branch.Close()
	certain := true
	rehearse := func(text string) Result {
		t.Helper()
		before := h.tree()
		j := h.job(text)
		h.next++
		env := h.env(j.Index)
		env.Facts = branch
		r := Rehearse(context.Background(), env, j, certain)
		certain = r.Certain
		if after := h.tree(); after != before {
			t.Errorf("checking %s changed the host from\n%s\nto\n%s", text, before, after)
		}
		return r.Result
	}
	for _, c := range []struct {
		text                 string
		ok, changed, certain bool
		info                 string
	}{
		{"ECHO x", true, false, true, ""},
		{"RUN echo {{ n }}", false, false, false, "would fail: template: line 1: 'n' is undefined"},
		{"ADD " + h.file("f", "one\n") + " d/f", false, false, false, "would fail: "},
		{"QUERY key", true, false, false, "only ask"},
		{"RUN echo {{ n }}", true, true, false, "cannot tell, since it depends on jobs before it: "},
		{"ARG n 7", true, true, false, "would change: the agent's memory"},
		{"RUN test {{ n }} = 7", true, true, false, "would run: "},
		{"WORKDIR d", true, true, false, "would change: make the directory"},
		{"ADD " + h.file("f", "one\n") + " d/f", true, true, false, "cannot tell, since"},
		{"ADD " + h.file("f", "one\n") + " f", true, true, false, "would change: create"},
	} {
		if res := rehearse(c.text); (res.Outcome == Succeeded) != c.ok || res.Changed != c.changed || certain != c.certain || !strings.Contains(res.Info, c.info) {
			t.Errorf("%s: %+v, certain %t", c.text, res, certain)
		}
		if !c.ok {
			certain = true // as another host's
		}
	}
	if got := h.arg("n"); got != "absent" {
		t.Errorf("the host's memory has n = %s", got)
	}
}

// TestDiffsAreBounded holds the limits of what a check reports.
func TestDiffsAreBounded(t *testing.T) {
	long := []byte(strings.Repeat("line\n", diffBytesMax/4))
	if d := unified("f", nil, long); len(d) > diffBytesMax+200 || !strings.Contains(d, "left out") {
		t.Errorf("a diff of %d bytes", len(d))
	}
	huge := make([]byte, diffSourceBytesMax+1)
	if d := unified("f", []byte("x"), huge); d != "f: 1 bytes become 1048577 bytes\n" {
		t.Errorf("%q", d)
	}
}
