package verb

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"quorate/internal/component"
	"quorate/internal/conformance"
	"quorate/internal/job"
)

// component writes a component for the host, or takes one of the examples, and
// returns a job of it.
func (h *host) component(file, text string) *job.Job {
	h.t.Helper()
	d, err := component.Open(filepath.Dir(file), func(verb string) bool { _, ok := Lookup(verb); return ok })
	if err != nil {
		h.t.Fatal(err)
	}
	stem, _, _ := strings.Cut(filepath.Base(file), ".")
	decl, ok := d.Lookup(strings.ToUpper(stem))
	if !ok || decl.Problem != "" {
		h.t.Fatalf("%s: %s %q", file, decl.Problem, d.Problems)
	}
	p, err := job.Parse(decl, text, nil)
	if err != nil {
		h.t.Fatal(err)
	}
	j := p.Job
	j.Index = h.next
	h.next++
	for _, c := range decl.Brings {
		// As in the agent's store: nobody may execute it yet.
		data := c.Bytes
		if c.Path != "" {
			if data, err = os.ReadFile(c.Path); err != nil {
				h.t.Fatal(err)
			}
		}
		path := filepath.Join(h.t.TempDir(), c.File.Digest)
		if err := os.WriteFile(path, data, 0o600); err != nil {
			h.t.Fatal(err)
		}
		h.blobs[c.File.Digest] = path
		j.Files = append(j.Files, c.File)
	}
	return &j
}

// scripted is a component whose action run is a shell script.
func (h *host) scripted(description, script string) string {
	h.t.Helper()
	path := filepath.Join(h.t.TempDir(), "mine")
	text := "#!/bin/sh\nif [ \"$1\" = describe ]; then echo '{\"protocol\": 1, \"action\": \"describe\", \"name\": \"mine\", \"summary\": \"s\"" +
		description + "}'; exit; fi\n" + script + "\n"
	if err := os.WriteFile(path, []byte(text), 0o700); err != nil {
		h.t.Fatal(err)
	}
	return path
}

func (h *host) execute(j *job.Job) Result { return Execute(context.Background(), h.env(j.Index), j) }

const motd = "../../testdata/components/motd.sh"

func TestComponentInShell(t *testing.T) {
	h := newHost(t)
	h.ok("ARG who world")
	res := h.execute(h.component(motd, `--chmod 0600 --path etc/{{who}} hello {{ who }} "and  all"`))
	if res.Outcome != Succeeded || !res.Changed || res.Info != "the message has changed" {
		t.Fatalf("%+v: %s", res, res.Stderr.Head)
	}
	if got := h.read("etc/world"); got != "hello world \"and  all\"\n" {
		t.Errorf("file %q", got)
	}
	if info, err := os.Stat(filepath.Join(h.dir, "etc/world")); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("%v %v", info, err)
	}
	scripts := len(h.scripts)
	res = h.execute(h.component(motd, `--chmod 0600 --path etc/{{who}} hello {{ who }} "and  all"`))
	if res.Outcome != Succeeded || res.Changed || len(h.scripts) != scripts+1 {
		t.Errorf("again: %+v after %d commands", res, len(h.scripts)-scripts)
	}
	// Where the operator wants it run, nobody asks first.
	h.ignoreCache = true
	scripts = len(h.scripts)
	if h.execute(h.component(motd, "--path new x")); len(h.scripts) != scripts+1 || h.read("new") != "x\n" {
		t.Errorf("with ignore-cache: %q", h.scripts[scripts:])
	}
	if res := h.execute(h.component(motd, "--path new/below x")); res.Outcome != Failed || res.Exit != 1 || res.Info != "the message could not be written" {
		t.Errorf("%+v", res)
	}
	if res := h.execute(h.component(motd, "{{ nope }}")); res.Outcome != Failed || !strings.Contains(string(res.Stderr.Head), "nope") {
		t.Errorf("%+v", res)
	}
}

func TestComponentInPython(t *testing.T) {
	if _, err := exec.LookPath("python3"); err != nil {
		t.Skip("python3 is not installed")
	}
	h := newHost(t)
	const file = "../../testdata/components/json_merge.py"
	h.write("c.json", `{"a": {"x": 1}, "gone": 0}`)
	res := h.execute(h.component(file, `--fact doc --drop gone -- c.json {"a": {"y": [1.5, null, -2]}, "b": "ü"}`))
	if res.Outcome != Succeeded || !res.Changed {
		t.Fatalf("%+v: %s", res, res.Stderr.Head)
	}
	if got := h.arg("doc"); got != "{'a': {'x': 1, 'y': [1.5, None, -2]}, 'b': 'ü'}" {
		t.Errorf("fact %s", got)
	}
	if res = h.execute(h.component(file, `absent.json {}`)); res.Outcome != Failed || !strings.Contains(res.Info, "--create makes one") {
		t.Errorf("%+v", res)
	}
}

func TestComponentInCheckMode(t *testing.T) {
	h := newHost(t)
	check := func(file, text string) Checked {
		return h.foresee(h.component(file, text))
	}
	if c := check(motd, "hello"); c.Verdict != WouldChange || c.Info != "the message would change" || h.read("etc/motd") != "absent" {
		t.Errorf("%+v", c)
	}
	h.execute(h.component(motd, "hello"))
	if c := check(motd, "hello"); c.Verdict != Unchanged {
		t.Errorf("%+v", c)
	}
	if c := check(motd, "{{ nope }}"); c.Verdict != WouldFail || !strings.Contains(c.Info, "nope") {
		t.Errorf("%+v", c)
	}
	if c := check(h.scripted(free, succeeds), "x"); c.Verdict != CannotTell || h.read("log") != "absent" {
		t.Errorf("one that does not check: %+v", c)
	}
	if c := check(h.scripted(free+`, "check": true`, succeeds), "x"); c.Verdict != CannotTell {
		t.Errorf("one that replies that it ran: %+v", c)
	}
	if c := check(h.scripted(free+`, "check": true`, "exit 3"), "x"); c.Verdict != WouldFail || !strings.Contains(c.Info, "exit status 3") {
		t.Errorf("one that dies: %+v", c)
	}
}

const free = `, "text": {"kind": "free"}`

func TestRequestHoldsWhatTheJobIs(t *testing.T) {
	t.Setenv("TMPDIR", t.TempDir()) // other tests leave requests of theirs in the common one
	h := newHost(t)
	h.ok("ARG list [1, 'a']", "ENV E v")
	h.vars = []job.Option{{Name: "over", Value: "5"}}
	path := h.scripted(free+`, "options": [{"name": "n", "kind": "int", "default": "3"}, {"name": "f", "kind": "flag"}, {"name": "l", "kind": "list"}, {"name": "s", "kind": "string"}]`,
		`cat >request; env >environment; echo '{"protocol": 1, "action": "run", "outcome": "succeeded", "changed": false, "stdout": "said"}'`)
	res := h.execute(h.component(path, "--l a b --s=t some text"))
	if res.Outcome != Succeeded || res.Changed || string(res.Stdout.Head) != "said" {
		t.Fatalf("%+v: %s", res, res.Stderr.Head)
	}
	want := `{"protocol":1,"action":"run","verb":"MINE","text":"some text","options":{"f":false,"l":["a","b"],"n":3,"s":"t"},` +
		`"args":{"list":[1,"a"],"over":5},"environment":{"E":"v","QUORATE_TASK":"t"},"work_dir":"` + h.dir +
		`","timeout_seconds":600,"run":1,"task":"t","attempt":100,"job":2}`
	if got := h.read("request"); got != want {
		t.Errorf("request\n%s\nwant\n%s", got, want)
	}
	for _, line := range []string{"E=v", "QUORATE_VERB=MINE", "QUORATE_ACTION=run", "QUORATE_TEXT=some text", "QUORATE_OPTION_N=3", "QUORATE_OPTION_S=t"} {
		if !strings.Contains("\n"+h.read("environment"), "\n"+line+"\n") {
			t.Errorf("the environment lacks %s", line)
		}
	}
	if left, _ := filepath.Glob(filepath.Join(os.TempDir(), "quorate-request-*")); len(left) > 0 {
		t.Errorf("requests are left: %q", left)
	}
}

func TestBadReplies(t *testing.T) {
	for script, want := range map[string]string{
		"echo hello":                           `what is no JSON object of the protocol: "hello"`,
		"true":                                 "replied nothing",
		"exit 3":                               "replied nothing; it ended with the exit status 3",
		"kill -KILL $$; sleep 9":               "replied nothing; it ended",
		"head -c 70000 /dev/zero | tr '\\0' x": "the component's reply of 70000 bytes is too long",
		`echo '{"protocol": 7}'`:               "speaks version 7 of the protocol, and not 1",
		`echo '{"protocol": 1, "action": "describe", "outcome": "succeeded"}'`:                `the action "describe"`,
		`echo '{"protocol": 1, "action": "check", "outcome": "succeeded", "changed": false}'`: "replied to a check",
		`echo '{"protocol": 1, "action": "run", "outcome": "great"}'`:                         `the outcome "great"`,
		`echo '{"protocol": 1, "action": "run", "outcome": "succeeded", "change": true}'`:     `unknown field "change"`,
		`echo '{"protocol": 1, "action": "run", "outcome": "succeeded"}'; exit 4`:             "replied that it succeeded; it ended with the exit status 4",
		`echo '{"protocol": 1, "action": "run", "outcome": "succeeded"} more'`:                "no JSON object",
		`echo '{"protocol": 1, "action": "run", "outcome": "succeeded", "facts": {"": 1}}'`:   "without a name",
	} {
		h := newHost(t)
		res := h.execute(h.component(h.scripted(free, "echo noise >&2; "+script), "x"))
		if res.Outcome != Failed || !strings.Contains(res.Info, want) || !strings.HasPrefix(res.Info, "component MINE: ") {
			t.Errorf("%s: %d %q, want %q in it", script, res.Outcome, res.Info, want)
		}
		if !strings.Contains(string(res.Stderr.Head), "noise") {
			t.Errorf("%s: stderr %q", script, res.Stderr.Head)
		}
	}
}

const succeeds = `echo x >>log; echo '{"protocol": 1, "action": "run", "outcome": "succeeded", "changed": true}'`

func TestComponentCache(t *testing.T) {
	h := newHost(t)
	path := h.scripted(free+`, "cacheable": true`, succeeds)
	h.execute(h.component(path, "{{ 1 }}"))
	h.newRun()
	if res := h.execute(h.component(path, "{{ 1 }}")); res.Info != InfoSkipped || h.read("log") != "x\n" {
		t.Errorf("again: %+v, log %q", res, h.read("log"))
	}
	h.newRun()
	h.execute(h.component(h.scripted(free+`, "cacheable": true`, "# edited\n"+succeeds), "{{ 1 }}"))
	if h.read("log") != "x\nx\n" {
		t.Errorf("an edited component: log %q", h.read("log"))
	}
	// What it told of the host has to be told again.
	facts := h.scripted(free+`, "cacheable": true`, strings.Replace(succeeds, "true}", `true, "facts": {"k": 1}}`, 1))
	for range 2 {
		h.newRun()
		h.execute(h.component(facts, "y"))
	}
	if h.read("log") != "x\nx\nx\nx\n" || h.arg("k") != "1" {
		t.Errorf("one with facts: log %q, k %s", h.read("log"), h.arg("k"))
	}
	uncached := h.scripted(free, succeeds)
	for range 2 {
		h.newRun()
		h.execute(h.component(uncached, "z"))
	}
	if got := strings.Count(h.read("log"), "x"); got != 6 {
		t.Errorf("%d effects", got)
	}
}

func TestHangingComponentIsKilled(t *testing.T) {
	conformance.Case(t, conformance.Directord, "36")
	h := newHost(t)
	path := h.scripted(`, "timeout_seconds": 1`, "sleep 120; touch late")
	begin := time.Now()
	res := h.execute(h.component(path, ""))
	if res.Outcome != Failed || res.Info != errTimeout.Error() || time.Since(begin) > time.Minute {
		t.Errorf("%+v after %s", res, time.Since(begin))
	}
}

func TestComponentStoresItsOutput(t *testing.T) {
	h := newHost(t)
	path := h.scripted(free, `echo '{"protocol": 1, "action": "run", "outcome": "succeeded", "stdout": " {{ 1 }} "}'`)
	h.execute(h.component(path, "--stdout-arg out x"))
	if got := h.arg("out"); got != "'{{ 1 }}'" {
		t.Errorf("stored %s", got)
	}
}

// TestTamperedComponentDoesNotRun changes what lies in the agent's store.
func TestTamperedComponentDoesNotRun(t *testing.T) {
	for i := range 2 {
		h := newHost(t)
		j := h.component(h.scripted(free, succeeds), "x")
		if err := os.WriteFile(h.blobs[j.Files[i].Digest], []byte("#!/bin/sh\ntouch evil\n"), 0o600); err != nil {
			t.Fatal(err)
		}
		if res := h.execute(j); res.Outcome != Failed || !strings.Contains(res.Info, errDigest.Error()) || h.read("evil") != "absent" {
			t.Errorf("file %d: %+v", i, res)
		}
	}
}

func TestComponentCannotBeABuiltIn(t *testing.T) {
	h := newHost(t)
	j := h.component(h.scripted(free, succeeds), "x")
	j.Verb = "ECHO"
	if res := h.execute(j); string(res.Stdout.Head) != "x" || h.read("log") != "absent" {
		t.Errorf("%+v", res)
	}
	j.Verb = "OTHER"
	if res := h.execute(j); res.Outcome != Failed || !strings.Contains(res.Info, "it is the component MINE") {
		t.Errorf("%+v", res)
	}
	j.Files = nil
	if res := h.execute(j); res.Outcome != Failed || res.Info != "unknown verb OTHER" {
		t.Errorf("%+v", res)
	}
}
