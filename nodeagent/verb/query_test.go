package verb

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"

	"quorate/internal/job"
	"quorate/internal/pyvalue"
	"quorate/nodeagent/facts"
	"quorate/nodeagent/wire"
)

// A fakeFleet writes down what jobs do beyond their host.
type fakeFleet struct {
	did    []string
	answer func(ctx context.Context, ask wire.Ask) (string, error)
}

func (f *fakeFleet) note(format string, args ...any) {
	f.did = append(f.did, fmt.Sprintf(format, args...))
}

func (f *fakeFleet) Publish(values []wire.Value, waits bool) error {
	text := ""
	for _, v := range values {
		text += fmt.Sprintf(" %s=%q,%v", v.Key, v.Value, v.Absent)
	}
	f.note("publish%s waits %v", text, waits)
	return nil
}

func (f *fakeFleet) Await(ctx context.Context, ask wire.Ask) (string, error) {
	f.note("await %d %d/%d %s %q", ask.Want, ask.Attempt, ask.Job, ask.Key, ask.Hosts)
	if f.answer == nil {
		return "", nil
	}
	return f.answer(ctx, ask)
}

func (f *fakeFleet) Omit() (int, error) { f.note("omit"); return 2, nil }
func (f *fakeFleet) Restart() error     { f.note("restart"); return nil }
func (f *fakeFleet) Restarting() bool   { return false }

// beyond executes a job with a fleet.
func (h *host) beyond(f *fakeFleet, verb, text string) Result {
	h.t.Helper()
	j := parse(h.t, verb, text).Job
	j.Index = 4
	env := h.env(4)
	env.Fleet = f
	return Execute(h.t.Context(), env, &j)
}

func TestWhatWaitsAsksFor(t *testing.T) {
	for _, tc := range []struct{ verb, text, did, stdout string }{
		{"QUERY", "k", `publish k="i\x0e",false waits true|await 1 100/4 k []`, `{"k": 7}`},
		{"QUERY", "none", `publish none="",true waits true|await 1 100/4 none []`, `{"none": null}`},
		{"QUERY", "k --no-wait", `publish k="i\x0e",false waits false`, `{"k": 7}`},
		{"QUERY_WAIT", "k", `publish waits true|await 2 100/4 k []`, ""},
		{"QUERY_WAIT", "k --identity a b", `publish waits true|await 2 100/4 k ["a" "b"]`, ""},
		{"JOB_WAIT", "{{ k }} --identity a", `publish waits true|await 3 100/4 7 ["a"]`, ""},
		{"QUEUESENTINEL", "x", "omit", "omitted what was left of 2 other steps"},
	} {
		h := newHost(t)
		h.ok("ARG k 7")
		f := &fakeFleet{}
		res := h.beyond(f, tc.verb, tc.text)
		if got := strings.Join(f.did, "|"); res.Outcome != Succeeded || got != tc.did || string(res.Stdout.Head) != tc.stdout {
			t.Errorf("%s %s: %+v did %s, want %s", tc.verb, tc.text, res, got, tc.did)
		}
	}
}

// What was waited for in vain is said, also where it is the job's own time that was up.
func TestWaitsInVain(t *testing.T) {
	for _, tc := range []struct{ verb, text, info string }{
		{"QUERY", "k --timeout 1", "QUERY k: n3 has not answered"},
		{"QUERY_WAIT", "k --query-timeout 0", "QUERY_WAIT k: n3 has not answered"},
		{"JOB_WAIT", "f --identity n3 --timeout 1", "JOB_WAIT f: n3 has not answered"},
	} {
		h := newHost(t)
		f := &fakeFleet{answer: func(ctx context.Context, _ wire.Ask) (string, error) {
			<-ctx.Done()
			return "", errors.New("n3 has not answered")
		}}
		if res := h.beyond(f, tc.verb, tc.text); res.Outcome != Failed || res.Info != tc.info {
			t.Errorf("%s: %+v", tc.verb, res)
		}
	}
	h := newHost(t)
	f := &fakeFleet{answer: func(context.Context, wire.Ask) (string, error) { return "ended without an answer: n2", nil }}
	if res := h.beyond(f, "QUERY", "k"); res.Info != "k: ended without an answer: n2" {
		t.Errorf("the note is lost: %+v", res)
	}
}

// A value that is too large to be told fails the job that would tell it.
func TestQueryOfMuch(t *testing.T) {
	h := newHost(t)
	h.ok("RUN --stdout-arg k head -c 65536 /dev/zero | tr '\\0' x")
	f := &fakeFleet{}
	if res := h.beyond(f, "QUERY", "k"); res.Outcome != Failed || !strings.Contains(res.Info, "65540 bytes") || len(f.did) != 0 {
		t.Errorf("%+v %q", res, f.did)
	}
}

// Case 27: the idiom of Directord's files, over what hosts have published.
func TestCase27OfPublishedValues(t *testing.T) {
	h := newHost(t)
	const idiom = `RUN echo "{{ query.values() | map(attribute='k') | select('defined') | reject('==', None) | list | first }}"`
	if res := h.do(idiom); res.Outcome != Failed || !strings.Contains(res.Info, "'query' is undefined") {
		t.Errorf("before anything was asked: %+v", res)
	}
	p := parse(t, "ARG", "v v").Job
	if res := Execute(t.Context(), h.env(0), &p); res.Outcome != Succeeded {
		t.Fatal(res.Info)
	}
	v, _, err := h.store.Arg("v")
	if err != nil {
		t.Fatal(err)
	}
	h.learn("n1", "k", nil)
	h.learn("n2", "k", v)
	if got := h.ok(idiom); got != "v" {
		t.Errorf("printed %q", got)
	}
	h.vars = []job.Option{{Name: "query", Value: "{'n3': {'k': 'mine'}}"}}
	if got := h.ok(idiom); got != "mine" {
		t.Errorf("the run's own variable gave %q", got)
	}
}

// A command that waits for a restart asks for it before it runs, and fails with systemctl.
func TestRebootAsksFirst(t *testing.T) {
	h := newHost(t)
	h.tool("systemctl", "exit 1")
	f := &fakeFleet{}
	res := h.beyond(f, "REBOOT", "0")
	if res.Outcome != Failed || res.Info != "systemctl reboot: exit status 1" || strings.Join(f.did, " ") != "restart" || h.read("log") != "systemctl reboot\n" {
		t.Errorf("%+v did %q, called %q", res, f.did, h.read("log"))
	}
	t.Setenv("PATH", h.dir)
	f = &fakeFleet{}
	if res := h.beyond(f, "REBOOT", "0"); res.Outcome != Failed || res.Info != "REBOOT needs systemctl, which this host does not have" || len(f.did) != 0 {
		t.Errorf("%+v did %q", res, f.did)
	}
}

func heard(t *testing.T, name, key string, encoded []byte) facts.Heard {
	t.Helper()
	if encoded == nil {
		return facts.Heard{Host: name, Key: key, Value: pyvalue.None}
	}
	v, err := pyvalue.Decode(encoded)
	if err != nil {
		t.Fatal(err)
	}
	return facts.Heard{Host: name, Key: key, Value: v}
}

// learn is what the agent does with a value of a host.
func (h *host) learn(name, key string, encoded []byte) {
	h.t.Helper()
	if err := h.store.Learn([]facts.Heard{heard(h.t, name, key, encoded)}); err != nil {
		h.t.Fatal(err)
	}
}
