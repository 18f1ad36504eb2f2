package component

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"quorate/internal/job"
)

const examples = "../../testdata/components"

func reserved(verb string) bool { return verb == "RUN" }

// folder writes executables, and files that are none, into a new folder.
func folder(t *testing.T, files map[string]string) string {
	t.Helper()
	dir := t.TempDir()
	for name, text := range files {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

func TestExamplesDescribeThemselves(t *testing.T) {
	if _, err := exec.LookPath("python3"); err != nil {
		t.Skip("python3 is not installed")
	}
	d, err := Open(examples, reserved)
	if err != nil || len(d.Problems) > 0 {
		t.Fatal(err, d.Problems)
	}
	if got := d.Verbs(); !slices.Equal(got, []string{"JSON_MERGE", "MOTD"}) {
		t.Fatalf("verbs %q", got)
	}
	decl, ok := d.Lookup("MOTD")
	if !ok || decl.Problem != "" || decl.Positional != job.FreeText || !decl.Executable || !decl.Idempotent || decl.Cacheable {
		t.Fatalf("%+v", decl)
	}
	p, err := job.Parse(decl, "--chmod 600 good   day", nil)
	if err != nil || p.Job.Text != "good   day" || p.Job.TimeoutSeconds != 60 {
		t.Fatalf("%+v, %v", p, err)
	}
	if mode, _ := p.Job.Option("chmod"); mode != "0600" {
		t.Errorf("chmod %q", mode)
	}
	if help := job.Help(decl); !strings.Contains(help, "MESSAGE") || !strings.Contains(help, "(etc/motd)") || !strings.Contains(help, "(60)") {
		t.Errorf("help:\n%s", help)
	}
	again, _ := d.Lookup("MOTD")
	if again != decl || len(decl.Brings) != 2 || decl.Brings[0].Input != "components/motd" {
		t.Errorf("brings %+v", decl.Brings)
	}
	if _, ok := d.Lookup("README"); ok {
		t.Error("a file that is not executable is a component")
	}
}

func TestFolderProblems(t *testing.T) {
	dir := folder(t, map[string]string{"run.sh": "", "two.sh": "", "two.py": "", "not-a-verb": "", ".hidden": ""})
	d, err := Open(dir, reserved)
	if err != nil {
		t.Fatal(err)
	}
	want := []string{"not-a-verb: \"not-a-verb\" is no name", "run.sh: RUN is a built-in verb", "two.sh: "}
	if len(d.Problems) != len(want) {
		t.Fatalf("%q", d.Problems)
	}
	for i, p := range d.Problems {
		if !strings.Contains(p, want[i]) {
			t.Errorf("%q, want %q in it", p, want[i])
		}
	}
	if _, ok := d.Lookup("RUN"); ok {
		t.Error("a component has taken RUN")
	}
	if _, err := Open(filepath.Join(dir, "absent"), reserved); !errors.Is(err, os.ErrNotExist) {
		t.Error(err)
	}
}

func TestBadDescriptions(t *testing.T) {
	for script, want := range map[string]string{
		"echo hello":                 `no JSON object of the protocol: "hello"`,
		"true":                       "replied nothing",
		"echo why >&2; exit 3":       "exit status 3: why",
		"kill -9 $$":                 "signal: killed",
		`echo '{"action": "x"}'`:     "names no version",
		`echo '{"protocol": 2}'`:     "speaks version 2",
		"head -c 70000 /dev/zero":    "too long",
		`printf '{"protocol": 1}{}'`: "no JSON object",
		`echo '{"protocol": 1, "action": "describe", "name": "other", "summary": "s"}'`:                                                        "calls itself OTHER",
		`echo '{"protocol": 1, "action": "describe", "name": "x", "summary": "s", "sumary": 1}'`:                                               `unknown field "sumary"`,
		`echo '{"protocol": 1, "action": "describe", "name": "x", "summary": ""}'`:                                                             "summary",
		`echo '{"protocol": 1, "action": "describe", "name": "x", "summary": "s", "options": [{"name": "timeout", "kind": "int"}]}'`:           "all verbs have it",
		`echo '{"protocol": 1, "action": "describe", "name": "x", "summary": "s", "options": [{"name": "a", "kind": "number"}]}'`:              `the kind "number"`,
		`echo '{"protocol": 1, "action": "describe", "name": "x", "summary": "s", "exclusive": [["a", "b"]]}'`:                                 `names the option "a"`,
		`echo '{"protocol": 1, "action": "describe", "name": "x", "summary": "s", "text": {"kind": "words", "min": 2, "max": 1}}'`:             "between 2 and 1",
		`echo '{"protocol": 1, "action": "run", "name": "x", "summary": "s"}'`:                                                                 `reply to "run"`,
		`echo '{"protocol": 1, "action": "describe", "name": "x", "summary": "s", "options": [{"name": "n", "kind": "int", "default": "x"}]}'`: "no integer",
	} {
		d, err := Open(folder(t, map[string]string{"x": "#!/bin/sh\n" + script + "\n"}), reserved)
		if err != nil {
			t.Fatal(err)
		}
		if decl, ok := d.Lookup("X"); !ok || !strings.Contains(decl.Problem, want) {
			t.Errorf("%s: %q, want %q in it", script, decl.Problem, want)
		}
	}
}

func TestHangingDescriptionIsKilled(t *testing.T) {
	dir := folder(t, map[string]string{"x": "#!/bin/sh\nsleep 1000 & echo $! >$0.pid; sleep 1000\n"})
	pid := ""
	for timeout := 200 * time.Millisecond; pid == ""; timeout *= 2 { // short ones may end before the shell has begun
		d, err := Open(dir, reserved)
		if err != nil {
			t.Fatal(err)
		}
		d.timeout = timeout
		if decl, _ := d.Lookup("X"); !strings.Contains(decl.Problem, "did not describe itself within "+timeout.String()) {
			t.Fatalf("%q", decl.Problem)
		}
		text, _ := os.ReadFile(filepath.Join(dir, "x.pid"))
		pid = strings.TrimSpace(string(text))
	}
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for range 60_000 { // it dies a moment after it was killed
		stat, err := os.ReadFile("/proc/" + pid + "/stat")
		if err != nil || strings.Contains(string(stat), ") Z ") {
			return
		}
		<-tick.C
	}
	t.Error("what it started is alive")
}

func TestFingerprintIsOfTextAndOptions(t *testing.T) {
	d := &Description{Name: "x", Text: &Text{Kind: "free"}, Options: []Option{{Name: "an-option", Kind: "string"}}}
	decl := d.Declaration()
	fingerprint := func(text string) string {
		p, err := job.Parse(decl, text, nil)
		if err != nil {
			t.Fatal(err)
		}
		return p.Job.Fingerprint
	}
	same := fingerprint("--an-option v a b")
	want := job.Fingerprint([]job.Field{{Key: "verb", Value: `"X"`}, {Key: "text", Value: `"a b"`}, {Key: "an_option", Value: `"v"`},
		{Key: "timeout", Value: "600"}, {Key: "run_once", Value: "false"}})
	if same != want || same != fingerprint("--an-option v --skip-cache a   b") || same == fingerprint("--an-option w a b") {
		t.Errorf("fingerprint %s", same)
	}
}

func FuzzDecode(f *testing.F) {
	f.Add([]byte(`{"protocol": 1, "action": "describe", "name": "x", "summary": "s", "text": {"kind": "free"}, "options": [{"name": "a", "kind": "int", "default": "1"}]}`))
	f.Add([]byte(`{"protocol": 1, "action": "run", "outcome": "succeeded", "changed": true, "facts": {"a": [1, {"b": null}]}}`))
	f.Add([]byte("garbage"))
	f.Fuzz(func(t *testing.T, data []byte) {
		if r, err := DecodeReply(data); err == nil && (r.Protocol != Version || r.Outcome == "") {
			t.Errorf("%+v", r)
		}
		if d, err := DecodeDescription(data); err == nil {
			decl := d.Declaration()
			if _, err := job.Parse(decl, "a b", nil); err == nil {
				d.Values(func(string) (string, bool) { return "", false })
			}
		}
	})
}
