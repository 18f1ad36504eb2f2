package verb

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"quorate/internal/conformance"
)

func TestCase29EditedSource(t *testing.T) {
	conformance.Case(t, conformance.Directord, "29")
	h := newHost(t)
	src := h.file("f", "one")
	add := "ADD " + src + " f"
	if res := h.do(add); res.Outcome != Succeeded || !res.Changed || h.read("f") != "one" {
		t.Fatalf("%+v", res)
	}
	h.newRun()
	if res := h.do(add); res.Outcome != Succeeded || res.Changed {
		t.Errorf("nothing changed, but: %+v", res)
	}
	h.file("f", "two")
	if res := h.do(add); !res.Changed || h.read("f") != "two" {
		t.Errorf("edited source: %+v, %q", res, h.read("f"))
	}
	if err := os.Remove(filepath.Join(h.dir, "f")); err != nil {
		t.Fatal(err)
	}
	if res := h.do(add); !res.Changed || h.read("f") != "two" {
		t.Errorf("deleted destination: %+v, %q", res, h.read("f"))
	}
}

func TestTrap20ModeIsEnforced(t *testing.T) {
	h := newHost(t)
	add := "ADD --chmod 0640 " + h.file("f", "x") + " f"
	h.ok(add)
	if h.mode("f") != "0640" {
		t.Fatalf("mode %s", h.mode("f"))
	}
	if err := os.Chmod(filepath.Join(h.dir, "f"), 0o666); err != nil {
		t.Fatal(err)
	}
	h.newRun()
	if res := h.do(add); !res.Changed || h.mode("f") != "0640" {
		t.Errorf("%+v, mode %s", res, h.mode("f"))
	}
	if res := h.do(add); res.Changed {
		t.Errorf("%+v", res)
	}
	// Without the option a replaced file keeps its mode.
	h.ok("ADD " + h.file("g", "y") + " f")
	if h.read("f") != "y" || h.mode("f") != "0640" {
		t.Errorf("%q, mode %s", h.read("f"), h.mode("f"))
	}
}

func TestCase07RenderedDestination(t *testing.T) {
	conformance.Case(t, conformance.Directord, "7")
	h := newHost(t)
	h.ok("ARG who ann", "WORKDIR {{ who }}", "ADD "+h.file("f", "x")+` "{{ who }}/f" --chmod 0600`)
	if h.read("ann/f") != "x" || h.mode("ann/f") != "0600" {
		t.Errorf("%q", h.read("ann/f"))
	}
}

func TestCase39MissingDirectory(t *testing.T) {
	conformance.Case(t, conformance.Directord, "39")
	h := newHost(t)
	res := h.do("ADD " + h.file("f", "x") + " no/such/f")
	if res.Outcome != Failed || res.Changed {
		t.Errorf("%+v", res)
	}
}

func TestCase40SeveralFiles(t *testing.T) {
	conformance.Case(t, conformance.Directord, "40")
	h := newHost(t)
	for _, name := range []string{"c.txt", "a.txt", "b.txt", "d.conf"} {
		h.file("src/"+name, name)
	}
	glob := filepath.Join(filepath.Dir(h.file("src/a.txt", "a.txt")), "*.txt")
	h.ok("WORKDIR d")
	out := h.ok("ADD " + glob + " d/")
	if h.read("d/a.txt") != "a.txt" || h.read("d/b.txt") != "b.txt" || h.read("d/c.txt") != "c.txt" || h.read("d/d.conf") != "absent" {
		t.Errorf("printed %s", out)
	}
	if lines := strings.Split(out, "\n"); len(lines) != 3 || !strings.HasSuffix(lines[0], "a.txt") || !strings.HasSuffix(lines[2], "c.txt") {
		t.Errorf("printed %s", out)
	}
	if res := h.do("ADD " + glob + " d/one"); res.Outcome != Failed {
		t.Error("three files were put into one")
	}
}

func TestBlueprint(t *testing.T) {
	h := newHost(t)
	add := "ADD --blueprint " + h.file("f.j2", "n = {{ n }}\n") + " f"
	if res := h.do(add); res.Outcome != Failed || h.read("f") != "absent" {
		t.Errorf("undefined name: %+v, %q", res, h.read("f"))
	}
	h.ok("ARG n 1", add)
	h.newRun()
	if res := h.do(add); res.Changed || h.read("f") != "n = 1\n" {
		t.Errorf("%+v, %q", res, h.read("f"))
	}
	h.ok("ARG n 2")
	if res := h.do(add); !res.Changed || h.read("f") != "n = 2\n" {
		t.Errorf("%+v, %q", res, h.read("f"))
	}
}

func TestDamagedContentIsNotPlaced(t *testing.T) {
	h := newHost(t)
	h.write("f", "old")
	src := h.file("f", "new")
	j := parse(t, "ADD", src+" f").Job
	j.Files = h.ship(src)
	h.file("f", "bad")
	for _, options := range []string{"", "--blueprint "} {
		p := parse(t, "ADD", options+src+" f")
		p.Job.Files = j.Files
		if res := Execute(t.Context(), h.env(0), &p.Job); res.Outcome != Failed || h.read("f") != "old" {
			t.Errorf("%+v, %q", res, h.read("f"))
		}
	}
	if left, _ := filepath.Glob(filepath.Join(h.dir, ".*")); len(left) > 0 {
		t.Errorf("left behind: %v", left)
	}
}

func TestDestinations(t *testing.T) {
	h := newHost(t)
	src := h.file("f", "new")
	h.ok("WORKDIR d")
	h.write("real", "old")
	for link, to := range map[string]string{"link": "real", "dangling": "nowhere"} {
		if err := os.Symlink(to, filepath.Join(h.dir, link)); err != nil {
			t.Fatal(err)
		}
	}
	h.ok("ADD " + src + " link")
	if info, err := os.Lstat(filepath.Join(h.dir, "link")); err != nil || info.Mode()&os.ModeSymlink == 0 || h.read("real") != "new" {
		t.Errorf("the link was replaced, or %q not changed", h.read("real"))
	}
	for _, to := range []string{"d", "dangling"} {
		if res := h.do("ADD " + src + " " + to); res.Outcome != Failed {
			t.Errorf("%s: %+v", to, res)
		}
	}
}

func TestOwner(t *testing.T) {
	h := newHost(t)
	src := h.file("f", "x")
	if res := h.do("ADD --chown no-such-user " + src + " f"); res.Outcome != Failed || h.read("f") != "absent" {
		t.Errorf("%+v, %q", res, h.read("f"))
	}
	if res := h.do("WORKDIR --chown root:no-such-group d"); res.Outcome != Failed || !strings.Contains(res.Info, "no-such-group") {
		t.Errorf("%+v", res)
	}
	if os.Getuid() != 0 {
		t.Skip("only root can give files away")
	}
	h.ok("ADD --chown 1:2 --chmod 4755 "+src+" f", "WORKDIR --chown 3 d")
	for name, want := range map[string][2]uint32{"f": {1, 2}, "d": {3, 0}} {
		info, err := os.Stat(filepath.Join(h.dir, name))
		if err != nil {
			t.Fatal(err)
		}
		if st := info.Sys().(*syscall.Stat_t); st.Uid != want[0] || st.Gid != want[1] {
			t.Errorf("%s belongs to %d:%d, want %v", name, st.Uid, st.Gid, want)
		}
	}
	if h.mode("f") != "4755" {
		t.Errorf("mode %s", h.mode("f"))
	}
}

func TestCase38Workdir(t *testing.T) {
	conformance.Case(t, conformance.Directord, "38")
	h := newHost(t)
	if res := h.do("WORKDIR --chmod 0750 d/e"); res.Outcome != Succeeded || !res.Changed || h.mode("d/e") != "0750" {
		t.Errorf("%+v", res)
	}
	if res := h.do("WORKDIR --chmod 0750 d/e --skip-cache"); res.Outcome != Succeeded || res.Changed {
		t.Errorf("%+v", res)
	}
	if res := h.do("WORKDIR --chmod 2700 d/e"); !res.Changed || h.mode("d/e") != "2700" {
		t.Errorf("%+v, mode %s", res, h.mode("d/e"))
	}
	h.write("file", "")
	if res := h.do("WORKDIR file"); res.Outcome != Failed {
		t.Errorf("%+v", res)
	}
}

// tool puts a program on the PATH that writes its arguments to a log.
func (h *host) tool(name, script string) {
	h.t.Helper()
	bin := filepath.Join(h.dir, "bin")
	if err := os.MkdirAll(bin, 0o755); err != nil {
		h.t.Fatal(err)
	}
	text := "#!/bin/sh\necho \"${0##*/} $*\" >> '" + h.dir + "/log'\n" + script + "\n"
	if err := os.WriteFile(filepath.Join(bin, name), []byte(text), 0o755); err != nil {
		h.t.Fatal(err)
	}
	h.t.Setenv("PATH", bin+":/usr/bin:/bin")
}

func TestCase41Tools(t *testing.T) {
	conformance.Case(t, conformance.Directord, "41")
	for text, want := range map[string]string{
		"SERVICE --enable u":                    "systemctl enable u\nsystemctl start u\n",
		"SERVICE --disable u":                   "systemctl disable u\n",
		"SERVICE --mask --stopped u v":          "systemctl mask u v\nsystemctl stop u v\n",
		"SERVICE --daemon-reload --restarted u": "systemctl daemon-reload\nsystemctl restart u\n",
		"SERVICE --reloaded 'u'":                "systemctl reload 'u'\n",
		"DNF a b":                               "dnf -q -y install a b\n",
		"DNF --latest --exclude x,y a":          "dnf -q -y --best --exclude=x,y install a\n",
		"DNF --absent --clear-metadata a":       "dnf clean all\ndnf makecache\ndnf -q -y remove a\n",
	} {
		h := newHost(t)
		h.tool("systemctl", "")
		h.tool("dnf", "")
		if h.ok(text); orders(h) != want {
			t.Errorf("%s called\n%swant\n%s", text, h.read("log"), want)
		}
	}
}

// orders are the recorded calls of tools, without those that only ask.
func orders(h *host) string {
	var out strings.Builder
	for line := range strings.Lines(h.read("log")) {
		if !strings.Contains(line, " is-") && !strings.Contains(line, " inspect --format ") && !strings.Contains(line, " --locallist") {
			out.WriteString(line)
		}
	}
	return out.String()
}

func TestServiceStopsAtTheFirstFailure(t *testing.T) {
	h := newHost(t)
	h.tool("systemctl", "exit 5")
	res := h.do("SERVICE --enable --retry 2 u")
	if res.Outcome != Failed || res.Exit != 5 || res.Info != "systemctl enable: exit status 5" || orders(h) != "systemctl enable u\nsystemctl enable u\n" {
		t.Errorf("%+v\n%s", res, h.read("log"))
	}
}

func TestMissingTool(t *testing.T) {
	h := newHost(t)
	t.Setenv("PATH", h.dir)
	for text, tool := range map[string]string{"SERVICE u": "systemctl", "DNF a": "dnf"} {
		res := h.do(text)
		if res.Outcome != Failed || !strings.Contains(res.Info, tool) || strings.Contains(res.Info, "\n") {
			t.Errorf("%s: %+v", text, res)
		}
	}
}

func TestWhatNeedsAnOrchestrator(t *testing.T) {
	h := newHost(t)
	for _, text := range []string{"QUERY x", "QUERY_WAIT x", "JOB_WAIT x --identity n1", "QUEUESENTINEL x", "REBOOT 10"} {
		if res := h.do(text); res.Outcome != Failed || !strings.Contains(res.Info, "orchestrator") {
			t.Errorf("%s: %+v", text, res)
		}
	}
	j := parse(t, "RUN", "true").Job
	j.Verb = "NOPE"
	if res := Execute(t.Context(), h.env(0), &j); res.Outcome != Failed {
		t.Errorf("%+v", res)
	}
}

func TestPanicIsAFailedJob(t *testing.T) {
	h := newHost(t)
	env := h.env(0)
	env.Shell = nil
	j := parse(t, "RUN", "true").Job
	if res := Execute(t.Context(), env, &j); res.Outcome != Failed || !strings.Contains(res.Info, "internal error") {
		t.Errorf("%+v", res)
	}
}

func TestCancelledJob(t *testing.T) {
	h := newHost(t)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	for _, text := range []string{"RUN true", "WAIT --seconds 100", "WAIT --cmd false", "RUN {{ range(1000000) | list | length }}"} {
		if res := h.doContext(ctx, text); res.Outcome != Cancelled {
			t.Errorf("%s: %+v", text, res)
		}
	}
}
