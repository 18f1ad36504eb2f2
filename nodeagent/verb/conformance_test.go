package verb

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"quorate/internal/conformance"
	"quorate/internal/job"
)

// The numbers are those of the conformance cases for Directord's files.

func TestCase03bFoldedCommand(t *testing.T) {
	conformance.Case(t, conformance.Directord, "3b")
	if out := newHost(t).ok("RUN printf '%s '\n  one\n  two"); out != "one two" {
		t.Errorf("printed %q", out)
	}
}

func TestCase03BlanksInQuotes(t *testing.T) {
	conformance.Case(t, conformance.Directord, "3")
	if out := newHost(t).ok("RUN echo 'a   b'"); out != "a   b" {
		t.Errorf("printed %q", out)
	}
}

func TestCases16To20Typing(t *testing.T) {
	conformance.Case(t, conformance.Directord, "16", "17", "18", "19", "20")
	for _, tc := range []struct {
		name string
		jobs []string
		want string
	}{
		{"16", []string{"ARG n 5", "RUN echo {{ n + 1 }}"}, "6"},
		{"17", []string{`ARG s "two words"`, "RUN echo [{{ s }}]"}, "[two words]"},
		{"18", []string{"ARG z 007", "RUN echo {{ z }}"}, "007"},
		{"19", []string{"ARG l ['p', 'q']", `RUN echo "{{ l }}"`}, "['p', 'q']"},
		{"20", []string{"ARG t True", "ENV T {{ t }}", "RUN echo $T"}, "True"},
		{"trap 10: double quotes in a template", []string{`ARG a {{ b | default("z") }}`, "RUN echo {{ a }}"}, "z"},
		{"rendered values are text", []string{"ARG n 5", `ARG n2 "{{ n }}"`, "RUN echo {{ n2 is string }}"}, "True"},
		{"leaves are rendered", []string{"ARG n 5", "ARG d {'k': ['{{ n }}', 1]}", `RUN echo "{{ d }}"`}, "{'k': ['5', 1]}"},
		{"a null", []string{"ARG v None", "RUN echo {{ v }}"}, "None"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			if got := newHost(t).ok(tc.jobs...); got != tc.want {
				t.Errorf("printed %q, want %q", got, tc.want)
			}
		})
	}
}

func TestCase21ExtendArgs(t *testing.T) {
	conformance.Case(t, conformance.Directord, "21")
	h := newHost(t)
	h.ok(`ARG --extend-args d {"a": [1]}`, `ARG --extend-args d {"a": [1]}`)
	if got := h.arg("d"); got != "{'a': [1, 1]}" {
		t.Errorf("extended twice: %s", got)
	}
	h.ok(`ARG d {"a": [1]}`)
	if got := h.arg("d"); got != "{'a': [1]}" {
		t.Errorf("replaced: %s", got)
	}
}

func TestCase22UndefinedName(t *testing.T) {
	conformance.Case(t, conformance.Directord, "22")
	res := newHost(t).do("RUN echo {{ nope }}")
	if res.Outcome != Failed || !strings.Contains(string(res.Stderr.Head), "'nope' is undefined") {
		t.Errorf("outcome %d, stderr %q", res.Outcome, res.Stderr.Head)
	}
}

func TestCase23UnrenderableArg(t *testing.T) {
	conformance.Case(t, conformance.Directord, "23")
	h := newHost(t)
	res := h.do("ARG x {{ nope }}")
	if res.Outcome != Succeeded || !strings.Contains(res.Info, "nope") {
		t.Errorf("outcome %d, info %q: a warning is wanted", res.Outcome, res.Info)
	}
	if out := h.ok(`RUN echo "{{ x }}"`); out != "{{ nope }}" {
		t.Errorf("printed %q", out)
	}
}

func TestCase24StdoutArg(t *testing.T) {
	conformance.Case(t, conformance.Directord, "24")
	h := newHost(t)
	h.ok("RUN --stdout-arg h echo '  name {{ 1 + 1 }} '", `RUN test "{{ h }}" = "name 2"`)
	// Trap 11: what a command prints is never rendered.
	h.write("evil", "{{ 6 * 7 }}{% raw %}\n")
	h.ok("RUN --stdout-arg e cat evil")
	if got := h.arg("e"); got != "'{{ 6 * 7 }}{% raw %}'" {
		t.Errorf("stored %s", got)
	}
}

func TestCase25StdoutArgOfAFailure(t *testing.T) {
	conformance.Case(t, conformance.Directord, "25")
	h := newHost(t)
	for range 2 {
		res := h.do(`RUN --stdout-arg h --stderr-arg e sh -c "echo v; echo w >&2; exit 4"`)
		if res.Outcome != Failed || res.Exit != 4 || h.arg("h") != "'v'" || h.arg("e") != "'w'" {
			t.Errorf("outcome %d, exit %d, h %s, e %s", res.Outcome, res.Exit, h.arg("h"), h.arg("e"))
		}
		h.newRun()
	}
}

func TestCase26ListBuiltInALoop(t *testing.T) {
	conformance.Case(t, conformance.Directord, "26")
	h := newHost(t)
	out := h.ok("ARG m {'b': 1, 'a': 2}",
		`RUN {% set u = [] %}{% for k, v in m.items() %}{% set _ = u.append(k ~ "=" ~ v) %}{% endfor %}echo "{{ u | join(';') }}"`)
	if out != "b=1;a=2" {
		t.Errorf("printed %q", out)
	}
}

func TestCase27QueryIdiom(t *testing.T) {
	conformance.Case(t, conformance.Directord, "27")
	h := newHost(t)
	out := h.ok("ARG query {'n1': {'k': None}, 'n2': {'k': 'v'}}",
		`RUN echo "{{ query.values() | map(attribute='k') | select('defined') | reject('==', None) | list | first }}"`)
	if out != "v" {
		t.Errorf("printed %q", out)
	}
}

func TestCase43QueriedValues(t *testing.T) {
	conformance.Case(t, conformance.Directord, "43")
	h := newHost(t)
	out := h.ok("ARG query {'n1': {'only': 7}, 'n2': {'only': None}}",
		"RUN echo {{ query['n1']['only'] }} {{ query['n2']['only'] }}")
	if out != "7 None" {
		t.Errorf("printed %q", out)
	}
}

func TestCase28RepeatIsSkipped(t *testing.T) {
	conformance.Case(t, conformance.Directord, "28")
	h := newHost(t)
	const text = "RUN echo x >> log"
	h.ok(text)
	h.newRun()
	res := h.do(text)
	if res.Outcome != Succeeded || res.Changed || res.Info != InfoSkipped || h.read("log") != "x\n" {
		t.Errorf("second run: %+v, log %q", res, h.read("log"))
	}
	h.newRun()
	h.ignoreCache = true
	if h.ok(text); h.read("log") != "x\nx\n" {
		t.Errorf("with ignore-cache: log %q", h.read("log"))
	}
	h.ignoreCache = false
	h.newRun()
	if h.ok("RUN --skip-cache echo x >> log"); h.read("log") != "x\nx\nx\n" {
		t.Errorf("with --skip-cache: log %q", h.read("log"))
	}
}

func TestTrap15SameTextTwiceInOneRun(t *testing.T) {
	h := newHost(t)
	h.ok("RUN echo x >> log", "RUN echo x >> log")
	if h.read("log") != "x\nx\n" {
		t.Errorf("first run: log %q", h.read("log"))
	}
	h.newRun()
	h.ok("RUN echo x >> log", "RUN echo x >> log")
	if h.read("log") != "x\nx\n" {
		t.Errorf("second run: log %q", h.read("log"))
	}
	// The job that succeeded is not done again by a later attempt of its run.
	h.next = 1
	if res := h.do("RUN echo x >> log"); res.Info != InfoSkipped {
		t.Errorf("repeat of the same job: %+v", res)
	}
}

func TestTrap14RenderedTextDecides(t *testing.T) {
	h := newHost(t)
	const text = "RUN echo {{ v }} >> log"
	h.ok("ARG v 1", text)
	h.newRun()
	h.ok("ARG v 2", text)
	if h.read("log") != "1\n2\n" {
		t.Errorf("log %q", h.read("log"))
	}
}

func TestSkippedJobSetsItsArgumentAgain(t *testing.T) {
	h := newHost(t)
	h.ok("RUN --stdout-arg h echo v")
	h.newRun()
	h.ok("ARG h other", "RUN --stdout-arg h echo v")
	if got := h.arg("h"); got != "'v'" {
		t.Errorf("h is %s", got)
	}
}

func TestCase30CachefileTwice(t *testing.T) {
	conformance.Case(t, conformance.Directord, "30")
	h := newHost(t)
	h.write("o.yaml", "xs: [1]\nday: 2020-01-02\nat: 2020-01-02 03:04:05\nyes: on\n8: {deep: 1.5}\n'q': ~\noct: 010\n")
	h.ok("CACHEFILE o.yaml")
	res := h.do("CACHEFILE o.yaml")
	if res.Outcome != Succeeded || res.Changed || h.arg("xs") != "[1]" {
		t.Errorf("second time: %+v, xs %s", res, h.arg("xs"))
	}
	for name, want := range map[string]string{"day": "'2020-01-02'", "at": "'2020-01-02 03:04:05'", "true": "True",
		"8": "{'deep': 1.5}", "q": "None", "oct": "8"} {
		if got := h.arg(name); got != want {
			t.Errorf("%s is %s, want %s", name, got, want)
		}
	}
	for content, want := range map[string]uint8{"": Succeeded, "- 1": Failed, "a: [": Failed, "a: 1\n---\nb: 2": Failed} {
		h.write("other.yaml", content)
		if res := h.do("CACHEFILE other.yaml"); res.Outcome != want {
			t.Errorf("%q: outcome %d (%s), want %d", content, res.Outcome, res.Info, want)
		}
	}
	if res := h.do("CACHEFILE missing.yaml"); res.Outcome != Failed {
		t.Error("a missing file was loaded")
	}
}

func TestCase31Evict(t *testing.T) {
	conformance.Case(t, conformance.Directord, "31")
	h := newHost(t)
	h.ok("RUN echo x >> log")
	h.newRun()
	h.ok("CACHEEVICT all", "RUN echo x >> log", "CACHEEVICT nothing-of-that-name")
	if h.read("log") != "x\nx\n" {
		t.Errorf("log %q", h.read("log"))
	}
}

func TestCase32FailureIsRepeated(t *testing.T) {
	conformance.Case(t, conformance.Directord, "32")
	h := newHost(t)
	const text = "RUN echo x >> log; test -e good"
	if res := h.do(text); res.Outcome != Failed || res.Exit != 1 {
		t.Errorf("%+v", res)
	}
	h.newRun()
	h.write("good", "")
	h.ok(text)
	h.newRun()
	h.ok(text)
	if h.read("log") != "x\nx\n" {
		t.Errorf("log %q", h.read("log"))
	}
}

func TestFailureForgetsAnEarlierSuccess(t *testing.T) {
	h := newHost(t)
	const text = "test -e good && echo x >> log"
	h.write("good", "")
	h.ok("RUN " + text)
	h.newRun()
	if err := os.Remove(filepath.Join(h.dir, "good")); err != nil {
		t.Fatal(err)
	}
	if res := h.do("RUN --skip-cache " + text); res.Outcome != Failed {
		t.Fatalf("%+v", res)
	}
	h.newRun()
	if res := h.do("RUN " + text); res.Outcome != Failed {
		t.Errorf("the job was skipped although it has failed since: %+v", res)
	}
}

func TestCase36Timeout(t *testing.T) {
	conformance.Case(t, conformance.Directord, "36")
	t.Parallel()
	h := newHost(t)
	begin := time.Now()
	res := h.do(`RUN --timeout 2 sh -c "echo early; sleep 120; touch late"`)
	if took := time.Since(begin); took > time.Minute {
		t.Errorf("took %v", took)
	}
	if res.Outcome != Failed || res.Info != "timeout encountered" || string(res.Stdout.Head) != "early\n" {
		t.Errorf("%d %q %q", res.Outcome, res.Info, res.Stdout.Head)
	}
	if h.read("late") != "absent" {
		t.Error("the command went on after its time was up")
	}
}

func TestRetry(t *testing.T) {
	h := newHost(t)
	h.ok("RUN --retry 3 echo x >> log; test $(wc -l < log) -ge 3")
	if h.read("log") != "x\nx\nx\n" {
		t.Errorf("log %q", h.read("log"))
	}
}

func TestNoBlock(t *testing.T) {
	h := newHost(t)
	detached := false
	env := h.env(0)
	inner := env.Shell
	env.Shell = func(ctx context.Context, c Command) (Exited, error) {
		detached = c.Detach
		return inner(ctx, c)
	}
	j := parse(t, "RUN", "--no-block true").Job
	if res := Execute(t.Context(), env, &j); res.Outcome != Succeeded || !detached {
		t.Errorf("%+v, detached %t", res, detached)
	}
}

func TestScriptWithInterpreter(t *testing.T) {
	out := newHost(t).ok("RUN --skip-cache #!/bin/sh -e\n# a comment\nfor i in 1 2; do\n  echo \"$i  x\"\ndone\n")
	if out != "1  x\n2  x" {
		t.Errorf("printed %q", out)
	}
}

func TestSuccessExits(t *testing.T) {
	h := newHost(t)
	j := parse(t, "RUN", "exit 3").Job
	j.SuccessExits = []int32{0, 3}
	if res := Execute(t.Context(), h.env(0), &j); res.Outcome != Succeeded || res.Exit != 3 {
		t.Errorf("%+v", res)
	}
}

func TestEnvironmentAndVars(t *testing.T) {
	h := newHost(t)
	h.vars = []job.Option{{Name: "n", Value: "41"}}
	if out := h.ok("ARG n 1", "ENV HELLO you", `RUN echo "$HELLO $QUORATE_TASK {{ n + 1 }} $(pwd)"`); out != "you t 42 "+h.dir {
		t.Errorf("printed %q", out)
	}
}

func TestCase42Wait(t *testing.T) {
	conformance.Case(t, conformance.Directord, "42")
	h := newHost(t)
	res := h.do("WAIT --cmd --retry 2 --retry-wait 0 echo x >> log; false")
	if res.Outcome != Failed || h.read("log") != "x\nx\nx\n" || !strings.Contains(res.Info, "3 tries") {
		t.Errorf("%+v, log %q", res, h.read("log"))
	}
	h.ok("WAIT --cmd --retry 0 true", "WAIT --cmd --retry 0 echo y >> log", "WAIT --cmd --retry 0 echo y >> log")
	if h.read("log") != "x\nx\nx\ny\ny\n" {
		t.Error("trap 33: the second WAIT was skipped")
	}
	if res := h.do("WAIT --url --retry 0 {{ nope }}"); res.Outcome != Failed || !strings.Contains(res.Info, "nope") {
		t.Errorf("%+v", res)
	}
}

func TestEcho(t *testing.T) {
	h := newHost(t)
	if out := h.ok("ARG x 1", "ECHO hello  {{ x }}"); out != "hello  1" {
		t.Errorf("printed %q", out)
	}
}
