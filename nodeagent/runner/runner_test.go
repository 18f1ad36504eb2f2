package runner

import (
	"bytes"
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

const waitMax = time.Minute

func newRunner(t testing.TB, change ...func(*Config)) *Runner {
	t.Helper()
	cfg := Config{Dir: filepath.Join(t.TempDir(), "it's jobs"), JournalID: t.Name(), Grace: 300 * time.Millisecond}
	for _, f := range change {
		f(&cfg)
	}
	r, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func statusOf(r *Runner, j Ref) (int, bool) {
	s, ok := r.slotOf(j)
	if !ok {
		return 0, false
	}
	return s.exitCode()
}

func outPath(r *Runner, j Ref) string {
	s, ok := r.slotOf(j)
	if !ok {
		return "/does/not/exist"
	}
	return s.path(nameOut)
}

// eventually polls until the condition holds.
func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	deadline := time.Now().Add(waitMax)
	for !ok() {
		if time.Now().After(deadline) {
			t.Fatalf("%s did not happen", what)
		}
		<-time.After(5 * time.Millisecond)
	}
}

// TestSameAsPlainShell compares what a script prints and how it ends with what the
// bare shell makes of it: the prelude must not show.
func TestSameAsPlainShell(t *testing.T) {
	r := newRunner(t)
	scripts := map[string]string{
		"plain":              `echo hello world`,
		"exit":               `exit 3`,
		"last status":        `false`,
		"several statements": "echo a; echo b >&2\nfalse\ntrue",
		"errexit":            `set -e; echo a; false; echo b`,
		"nounset":            `set -u; echo "$missing"; echo on`,
		"xtrace":             `set -x; echo hi`,
		"noclobber":          `set -o noclobber; echo hi`,
		"quotes":             `echo 'single "double" '"\"and ' both\""`,
		"heredoc":            "cat <<EOF\nit's $((1+2))\nEOF",
		"comment at the end": "echo a # not b",
		"exec":               `echo before; exec sh -c 'echo replaced; exit 7'`,
		"exec redirect":      `exec 2>&1; echo to-stdout >&2; exit 4`,
		"own exit trap":      `trap 'echo bye; exit 9' EXIT; echo hi`,
		"own term trap":      `trap 'echo caught; exit 5' TERM; kill -TERM $$; echo not reached`,
		"kill itself":        `kill -TERM $$; echo not reached`,
		"kill itself hard":   `kill -KILL $$`,
		"kill by usr1":       `kill -USR1 $$; sleep 1`,
		"syntax error":       `echo a; if then`,
		"arguments":          `echo "$#" "$0"`,
		"background":         `sleep 0.01 & wait $!; echo waited $?`,
		"function":           `f() { echo in f; return 6; }; f`,
		"brackets":           `[[ a == a ]] && for i in {0..3}; do echo $i; done`,
		"pipe status":        `set -o pipefail; false | true`,
		"subshell exit":      `(exit 8)`,
		"line number":        "true\nno-such-command-here",
		"umask":              `umask`,
		"empty":              ``,
		"long":               "echo begin\n" + strings.Repeat("# "+strings.Repeat("x", 1000)+"\n", 300) + "exit 11",
		"long with exec":     strings.Repeat("# "+strings.Repeat("x", 1000)+"\n", 300) + "exec sh -c 'exit 12'",
	}
	job := uint32(0)
	for name, script := range scripts {
		job++
		ref := Ref{Attempt: 1, Job: job}
		t.Run(name, func(t *testing.T) {
			var stdout, stderr bytes.Buffer
			args := []string{"-c", script}
			if len(script) > scriptBytesMax {
				args[1] = "eval \"$(cat)\""
			}
			plain := exec.Command(r.shells.full, args...)
			plain.Stdin = strings.NewReader(script)
			if len(script) <= scriptBytesMax {
				plain.Stdin = nil
			}
			plain.Stdout, plain.Stderr = &stdout, &stderr
			_ = plain.Run()
			wantCode, wantSignal := exitOf(plain.ProcessState.Sys().(syscall.WaitStatus))

			e, err := r.Run(t.Context(), Command{Ref: ref, Script: script})
			if err != nil {
				t.Fatal(err)
			}
			if e.Code != wantCode || e.Signal != wantSignal {
				t.Errorf("ended with %d %q, the plain shell with %d %q", e.Code, e.Signal, wantCode, wantSignal)
			}
			if got := string(e.Stdout.Head); got != stdout.String() {
				t.Errorf("stdout %q, want %q", got, stdout.String())
			}
			got, want := string(e.Stderr.Head), stderr.String()
			if name == "syntax error" {
				got, want = "", "" // the shell quotes the line, which has the prelude on it
			}
			if got != want {
				t.Errorf("stderr %q, want %q", got, want)
			}
			code, ok := statusOf(r, ref)
			if ok && code != wantCode {
				t.Errorf("the status file says %d", code)
			}
			if wantSignal != "" && ok {
				t.Errorf("a killed script left the status %d", code)
			}
			if wantSignal == "" && !ok && name != "syntax error" {
				t.Error("no status was left")
			}
		})
	}
}

// TestKilledShellLeavesNoStatus kills the shell, as the end of a service does, in
// the middle of a script whose last command succeeded: the status of that must
// not be taken for the script's.
func TestKilledShellLeavesNoStatus(t *testing.T) {
	for _, sig := range []syscall.Signal{syscall.SIGTERM, syscall.SIGHUP, syscall.SIGINT, syscall.SIGKILL, syscall.SIGUSR1, syscall.SIGALRM} {
		for name, script := range map[string]string{
			"builtin": `true; echo up; while :; do :; done`,
			"child":   `true; sh -c 'echo up; exec sleep 100'; true`,
			"trap":    `trap : CHLD; true; echo up; while :; do :; done`,
		} {
			t.Run(sig.String()+" "+name, func(t *testing.T) {
				t.Parallel()
				r := newRunner(t)
				ref := Ref{Attempt: 1}
				pids := make(chan Process, 1)
				done := make(chan error, 1)
				go func() {
					_, err := r.Run(t.Context(), Command{Ref: ref, Script: script, Started: func(p Process) { pids <- p }})
					done <- err
				}()
				p := <-pids
				eventually(t, "output", func() bool {
					b, _ := os.ReadFile(outPath(r, ref))
					return string(b) == "up\n"
				})
				_ = syscall.Kill(-int(p.Pid), sig)
				select {
				case err := <-done:
					if err != nil {
						t.Fatal(err)
					}
				case <-time.After(waitMax):
					r.Kill(ref, p)
					t.Fatal("the script did not end")
				}
				if name == "trap" && sig != syscall.SIGKILL {
					return // the subshell's status may be its end by the signal
				}
				if code, ok := statusOf(r, ref); ok {
					t.Errorf("the killed script left the status %d", code)
				}
				if f, _ := r.Find(ref, p); f != Lost {
					t.Errorf("finding %d, want Lost", f)
				}
			})
		}
	}
}

// TestCancelEndsEverything: what left the group, ignores SIGTERM or cleared its
// environment ends too, and before Run returns.
func TestCancelEndsEverything(t *testing.T) {
	for name, script := range map[string]string{
		"simple":      `echo $$ >>"$PIDS"; sleep 100`,
		"ignores":     `trap '' TERM; echo $$ >>"$PIDS"; while :; do sleep 0.1; done`,
		"background":  `sleep 100 & echo $! >>"$PIDS"; echo $$ >>"$PIDS"; wait`,
		"own session": `setsid sh -c 'echo $$ >>"$PIDS"; exec sleep 100' & echo $$ >>"$PIDS"; sleep 100`,
		"clean":       `env -i setsid sh -c 'echo $$ >>'"$PIDS"'; exec sleep 100' & echo $$ >>"$PIDS"; sleep 100`,
		"stopped":     `echo $$ >>"$PIDS"; kill -STOP $$; sleep 100`,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := newRunner(t)
			pidFile := filepath.Join(t.TempDir(), "pids")
			want := 1
			if strings.Contains(script, "&") {
				want = 2
			}
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			go func() {
				eventually(t, "start", func() bool { return len(readPids(pidFile)) == want })
				cancel()
			}()
			_, err := r.Run(ctx, Command{Ref: Ref{Attempt: 3, Job: 1}, Script: script, Env: []string{"PIDS=" + pidFile}})
			if !errors.Is(err, context.Canceled) {
				t.Fatalf("error %v, want context.Canceled", err)
			}
			for _, pid := range readPids(pidFile) {
				if s, ok := readStat(pid); ok && s.live() {
					t.Errorf("process %d is alive", pid)
				}
			}
		})
	}
}

// TestSparesOthers: ending one job leaves the processes of another job, and of the
// same job of another agent, alone.
func TestSparesOthers(t *testing.T) {
	r := newRunner(t)
	other := newRunner(t, func(c *Config) { c.JournalID = "other" })
	start := func(r *Runner, ref Ref) Process {
		p := make(chan Process, 1)
		ctx, cancel := context.WithCancelCause(t.Context())
		done := make(chan struct{})
		go func() {
			defer close(done)
			_, _ = r.Run(ctx, Command{Ref: ref, Script: "sleep 100", Started: func(q Process) { p <- q }})
		}()
		t.Cleanup(func() { cancel(context.Canceled); <-done })
		return <-p
	}
	mine := start(r, Ref{1, 1})
	next := start(r, Ref{2, 1}) // the jobs of an attempt run one by one
	theirs := start(other, Ref{1, 1})
	r.Kill(Ref{1, 1}, mine)
	if s, ok := readStat(mine.Pid); ok && s.live() {
		t.Error("the job is alive")
	}
	for _, p := range []Process{next, theirs} {
		if s, ok := readStat(p.Pid); !ok || !s.live() {
			t.Error("a process was ended that is not the job's")
		}
	}
}

func readPids(path string) []int32 {
	b, _ := os.ReadFile(path)
	var pids []int32
	for _, f := range strings.Fields(string(b)) {
		var n int32
		for _, c := range f {
			n = n*10 + (c - '0')
		}
		pids = append(pids, n)
	}
	return pids
}

func TestTimeout(t *testing.T) {
	r := newRunner(t)
	for attempt, limit := uint64(1), 50*time.Millisecond; ; attempt, limit = attempt+1, 4*limit {
		ctx, cancel := context.WithTimeout(t.Context(), limit)
		e, err := r.Run(ctx, Command{Ref: Ref{Attempt: attempt}, Script: "echo partial; sleep 1000"})
		cancel()
		if !errors.Is(err, context.DeadlineExceeded) {
			t.Fatal(err)
		}
		if string(e.Stdout.Head) == "partial\n" {
			return
		}
		if limit > waitMax { // shorter ones may end before the shell has begun
			t.Fatalf("output %q", e.Stdout.Head)
		}
	}
}

// waitFor makes a script wait: one that ends within a moment may never be reported
// as started.
func waitFor(gate string) string {
	return "while ! test -e " + quote(gate) + "; do sleep 0.02; done; "
}

func open(t *testing.T, gate string) {
	t.Helper()
	if err := os.WriteFile(gate, nil, 0o600); err != nil {
		t.Fatal(err)
	}
}

// TestAdopt leaves jobs behind in every state and finds out about them.
func TestAdopt(t *testing.T) {
	leave := func(t *testing.T, r *Runner, script string, recorded bool) Process {
		t.Helper()
		ctx, cancel := context.WithCancelCause(t.Context())
		p := make(chan Process, 1)
		done := make(chan error, 1)
		go func() {
			_, err := r.Run(ctx, Command{Ref: Ref{Attempt: 5, Job: 2}, Script: script, Started: func(q Process) { p <- q }})
			done <- err
		}()
		q := <-p
		cancel(ErrLeave)
		if err := <-done; !errors.Is(err, ErrLeave) {
			t.Fatalf("error %v", err)
		}
		if !recorded {
			return Process{}
		}
		return q
	}
	for _, recorded := range []bool{true, false} {
		name := map[bool]string{true: "recorded", false: "by its marks"}[recorded]
		t.Run("alive "+name, func(t *testing.T) {
			r := newRunner(t)
			gate := filepath.Join(t.TempDir(), "gate")
			p := leave(t, r, "echo a; "+waitFor(gate)+"echo b; exit 3", recorded)
			r = again(t, r)
			f, q := r.Find(Ref{5, 2}, p)
			if f != Alive {
				t.Fatalf("finding %d, want Alive", f)
			}
			go func() { _ = os.WriteFile(gate, nil, 0o600) }()
			e, lost, err := r.Adopt(t.Context(), Ref{5, 2}, q)
			if err != nil || lost || e.Code != 3 || string(e.Stdout.Head) != "a\nb\n" {
				t.Errorf("%+v lost=%v err=%v", e, lost, err)
			}
		})
	}
	t.Run("ended meanwhile", func(t *testing.T) {
		r := newRunner(t)
		gate := filepath.Join(t.TempDir(), "gate")
		p := leave(t, r, waitFor(gate)+"echo done; exit 4", true)
		open(t, gate)
		r = again(t, r)
		eventually(t, "end", func() bool { f, _ := r.Find(Ref{5, 2}, p); return f == Ended })
		if f, _ := r.Find(Ref{5, 3}, Process{}); f != NotSpawned {
			t.Errorf("another job: finding %d, want NotSpawned", f)
		}
		e, lost, err := r.Adopt(t.Context(), Ref{5, 2}, p)
		if err != nil || lost || e.Code != 4 || string(e.Stdout.Head) != "done\n" {
			t.Errorf("%+v lost=%v err=%v", e, lost, err)
		}
	})
	t.Run("killed later", func(t *testing.T) {
		r := newRunner(t)
		p := leave(t, r, "true; while :; do sleep 0.1; done", true)
		go func() { _ = syscall.Kill(-int(p.Pid), syscall.SIGTERM) }()
		if _, lost, err := r.Adopt(t.Context(), Ref{5, 2}, p); err != nil || !lost {
			t.Errorf("lost=%v err=%v, want lost", lost, err)
		}
	})
	t.Run("cancelled", func(t *testing.T) {
		r := newRunner(t)
		p := leave(t, r, "sleep 100", true)
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		if _, lost, err := r.Adopt(ctx, Ref{5, 2}, p); !errors.Is(err, context.Canceled) || lost {
			t.Errorf("lost=%v err=%v", lost, err)
		}
		if s, ok := readStat(p.Pid); ok && s.live() {
			t.Error("the process is alive")
		}
	})
	t.Run("number reused", func(t *testing.T) {
		r := newRunner(t)
		gate := filepath.Join(t.TempDir(), "gate")
		p := leave(t, r, waitFor(gate), true)
		open(t, gate)
		p.StartTicks--
		eventually(t, "end", func() bool { f, _ := r.Find(Ref{5, 2}, p); return f != Alive })
	})
	t.Run("never started", func(t *testing.T) {
		if f, _ := newRunner(t).Find(Ref{5, 2}, Process{}); f != NotSpawned {
			t.Errorf("finding %d, want NotSpawned", f)
		}
	})
}

func TestDetach(t *testing.T) {
	r := newRunner(t)
	file := filepath.Join(t.TempDir(), "late")
	e, err := r.Run(t.Context(), Command{Ref: Ref{Attempt: 1}, Detach: true, Script: "sleep 0.1; echo x >" + quote(file)})
	if err != nil || e.Code != 0 {
		t.Fatalf("%+v %v", e, err)
	}
	eventually(t, "the detached script's end", func() bool { b, _ := os.ReadFile(file); return len(b) == 2 })
}

func TestParseStat(t *testing.T) {
	line := "42 (evil ) R 1 (x) S 1 41 40 0 -1 4194560 1 0 0 0 0 0 0 0 20 0 1 0 987654 1 1"
	s, ok := parseStat(42, []byte(line))
	if !ok || s.group != 41 || s.session != 40 || s.startTicks != 987654 || s.state != 'S' {
		t.Errorf("%+v %v", s, ok)
	}
	for _, bad := range []string{"", "1 (x", "1 (x) S", "1 (x) S a b c"} {
		if _, ok := parseStat(1, []byte(bad)); ok {
			t.Errorf("%q was accepted", bad)
		}
	}
}

// again is the runner of the next agent.
func again(t *testing.T, r *Runner) *Runner {
	t.Helper()
	next, err := New(r.cfg)
	if err != nil {
		t.Fatal(err)
	}
	return next
}

// TestFilesAreUsedAgain: the outputs of jobs do not mix although they share files,
// also when something of an earlier job is still writing.
func TestFilesAreUsedAgain(t *testing.T) {
	r := newRunner(t)
	// While the gate is there, a process of the third script writes.
	gate := filepath.Join(t.TempDir(), "gate")
	if err := os.WriteFile(gate, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for i, c := range []struct{ script, want string }{
		{"echo a much longer line", "a much longer line\n"},
		{"echo b", "b\n"},
		{"(while test -e " + quote(gate) + "; do echo noise; sleep 0.01; done) & echo c", "c\n"},
		{"sleep 0.05; echo d", "d\n"},
		{"true", ""},
	} {
		e, err := r.Run(t.Context(), Command{Ref: Ref{Attempt: uint64(1 + i/3), Job: uint32(i)}, Script: c.script})
		if err != nil {
			t.Fatal(err)
		}
		got := strings.ReplaceAll(string(e.Stdout.Head), "noise\n", "")
		if i != 2 {
			got = string(e.Stdout.Head)
		}
		if got != c.want {
			t.Errorf("%q printed %q", c.script, got)
		}
		if i == 2 {
			if err := r.Forget(1); err != nil {
				t.Fatal(err)
			}
		}
	}
	if err := os.Remove(gate); err != nil {
		t.Error(err)
	}
	if err := r.Forget(2); err != nil {
		t.Fatal(err)
	}
	if left, _ := os.ReadDir(r.cfg.Dir); len(left) != 1 || len(r.free) != 1 {
		t.Errorf("%d slots, %d free, want one", len(left), len(r.free))
	}
}
