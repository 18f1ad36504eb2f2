package verb

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"quorate/internal/job"
	"quorate/internal/pyvalue"
	"quorate/nodeagent/facts"
	"quorate/nodeagent/wire"
)

// A host is a directory that jobs run in, with an agent's memory.
type host struct {
	t     *testing.T
	dir   string
	store *facts.Store
	blobs map[string]string // paths by digest
	run   uint64
	next  uint32 // index of the next job
	vars  []job.Option
	// ignoreCache is the option of the same name of a whole run.
	ignoreCache bool
	scripts     []string // that the shell was given
	mountInfo   string
}

func newHost(t *testing.T) *host {
	t.Helper()
	store, err := facts.Open(filepath.Join(t.TempDir(), "facts.db"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := store.Close(); err != nil {
			t.Error(err)
		}
	})
	return &host{t: t, dir: t.TempDir(), store: store, blobs: map[string]string{}, run: 1}
}

// newRun begins another run: its jobs are counted from the first one again.
func (h *host) newRun() { h.run, h.next = h.run+1, 0 }

// do parses and executes one job, "VERB text".
func (h *host) do(text string) Result {
	h.t.Helper()
	return h.doContext(context.Background(), text)
}

func (h *host) doContext(ctx context.Context, text string) Result {
	h.t.Helper()
	j := h.job(text)
	h.next++
	return Execute(ctx, h.env(j.Index), j)
}

// job parses one job and ships its files.
func (h *host) job(text string) *job.Job {
	h.t.Helper()
	verb, text, _ := strings.Cut(text, " ")
	p := parse(h.t, verb, text)
	j := p.Job
	j.Index = h.next
	if p.Source != "" {
		j.Files = h.ship(p.Source)
	}
	return &j
}

// check says what a job would do. Nothing on the host may change by that.
func (h *host) check(text string) Checked {
	h.t.Helper()
	j := h.job(text)
	before := h.tree()
	c := h.foresee(j)
	if after := h.tree(); after != before {
		h.t.Errorf("checking %s changed the host from\n%s\nto\n%s", text, before, after)
	}
	return c
}

// foresee says what a job would do. Nobody hears of what it would remember.
func (h *host) foresee(j *job.Job) Checked {
	h.t.Helper()
	branch, err := h.store.Branch(filepath.Join(h.t.TempDir(), "branch.db"))
	if err != nil {
		h.t.Fatal(err)
	}
	defer branch.Close()
	env := h.env(j.Index)
	env.Facts = branch
	return env.check(context.Background(), j)
}

// tree describes every file of the host but for the log of its tools.
func (h *host) tree() string {
	h.t.Helper()
	var out strings.Builder
	err := filepath.WalkDir(h.dir, func(path string, d os.DirEntry, err error) error {
		if err != nil || path == filepath.Join(h.dir, "log") {
			return err
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		fmt.Fprintf(&out, "%s %s", path, info.Mode())
		if info.Mode().IsRegular() {
			data, err := os.ReadFile(path)
			fmt.Fprintf(&out, " %q", data)
			if err != nil {
				return err
			}
		}
		out.WriteByte('\n')
		return nil
	})
	if err != nil {
		h.t.Fatal(err)
	}
	return out.String()
}

// settles does a job that has something to do, checking it before and after: first
// it would change something, then it does, and then nothing is left to do.
func (h *host) settles(text string) Result {
	h.t.Helper()
	if c := h.check(text); c.Verdict != WouldChange || c.Info == "" {
		h.t.Errorf("%s: before: %s, %s", text, c.Verdict, c.Info)
	}
	res := h.do(text)
	if res.Outcome != Succeeded || !res.Changed {
		h.t.Fatalf("%s: outcome %d, changed %t, %s\n%s%s", text, res.Outcome, res.Changed, res.Info, res.Stdout.Head, res.Stderr.Head)
	}
	h.settled(text)
	return res
}

// settled checks that a job has nothing to do, and finds so when it is done.
func (h *host) settled(text string) {
	h.t.Helper()
	if c := h.check(text); c.Verdict != Unchanged {
		h.t.Errorf("%s: after: %s, %s\n%s", text, c.Verdict, c.Info, c.Diff)
	}
	h.newRun()
	if res := h.do(text); res.Outcome != Succeeded || res.Changed {
		h.t.Errorf("%s: again: outcome %d, changed %t, %s", text, res.Outcome, res.Changed, res.Info)
	}
}

// refuses does a job that has to fail, with one sentence that holds want.
func (h *host) refuses(text, want string) {
	h.t.Helper()
	before := h.tree()
	res := h.do(text)
	if res.Outcome != Failed || !strings.Contains(res.Info, want) || strings.Contains(res.Info, "\n") {
		h.t.Errorf("%s: outcome %d, %q, want a failure with %q", text, res.Outcome, res.Info, want)
	}
	if after := h.tree(); res.Changed || after != before {
		h.t.Errorf("%s: failed, and changed (%t) the host from\n%s\nto\n%s", text, res.Changed, before, after)
	}
}

func (h *host) env(index uint32) *Env {
	return &Env{
		Facts: h.store, Vars: h.vars, WorkDir: h.dir, JobEnv: []string{"QUORATE_TASK=t"},
		Shell: h.shell, mountInfo: h.mountInfo, IgnoreCache: h.ignoreCache, Attempt: h.run * 100,
		Blob: func(_ context.Context, digest string) (string, error) {
			path, ok := h.blobs[digest]
			if !ok {
				return "", errors.New("no such blob")
			}
			return path, nil
		},
		Provenance: facts.Origin{Run: h.run, Task: "t", Attempt: h.run * 100, Job: index},
	}
}

// ok executes jobs that have to succeed and returns the output of the last one.
func (h *host) ok(texts ...string) string {
	h.t.Helper()
	var out string
	for _, text := range texts {
		res := h.do(text)
		if res.Outcome != Succeeded {
			h.t.Fatalf("%s: outcome %d, %s\n%s%s", text, res.Outcome, res.Info, res.Stdout.Head, res.Stderr.Head)
		}
		out = strings.TrimSpace(string(res.Stdout.Head))
	}
	return out
}

// file writes a file of the operator, outside of the host, and returns its path.
func (h *host) file(name, content string) string {
	h.t.Helper()
	path := filepath.Join(h.dir, "..", "operator-"+filepath.Base(h.dir), name)
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		h.t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(content), 0o644); err != nil {
		h.t.Fatal(err)
	}
	return path
}

// ship does what the planner does with the files of ADD.
func (h *host) ship(glob string) []job.File {
	h.t.Helper()
	paths, err := filepath.Glob(glob) // sorted
	if err != nil {
		h.t.Fatal(err)
	}
	var out []job.File
	for _, p := range paths {
		data, err := os.ReadFile(p)
		if err != nil {
			h.t.Fatal(err)
		}
		sum := sha256.Sum256(data)
		digest := hex.EncodeToString(sum[:])
		h.blobs[digest] = p
		out = append(out, job.File{Name: filepath.Base(p), Digest: digest, Size: int64(len(data)), Mode: 0o644})
	}
	return out
}

// read returns a file of the host, or "absent".
func (h *host) read(name string) string {
	h.t.Helper()
	data, err := os.ReadFile(filepath.Join(h.dir, name))
	if errors.Is(err, os.ErrNotExist) {
		return "absent"
	}
	if err != nil {
		h.t.Fatal(err)
	}
	return string(data)
}

func (h *host) write(name, content string) {
	h.t.Helper()
	if err := os.WriteFile(filepath.Join(h.dir, name), []byte(content), 0o644); err != nil {
		h.t.Fatal(err)
	}
}

func (h *host) mode(name string) string {
	h.t.Helper()
	info, err := os.Stat(filepath.Join(h.dir, name))
	if err != nil {
		h.t.Fatal(err)
	}
	return fmt.Sprintf("%04o", modeBits(info.Mode()))
}

func (h *host) arg(name string) string {
	h.t.Helper()
	args, err := h.store.Args()
	if err != nil {
		h.t.Fatal(err)
	}
	for _, f := range args {
		if f.Name == name {
			return pyvalue.Repr(f.Value)
		}
	}
	return "absent"
}

// shell is a simple ShellFunc: a process group of its own, killed with the context.
func (h *host) shell(ctx context.Context, c Command) (Exited, error) {
	h.scripts = append(h.scripts, c.Script)
	cmd := exec.Command("/bin/sh", "-c", c.Script)
	cmd.Dir, cmd.Env = c.Dir, append(os.Environ(), c.Env...)
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := cmd.Start(); err != nil {
		return Exited{}, err
	}
	stop := context.AfterFunc(ctx, func() { _ = syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) })
	_ = cmd.Wait() // ProcessState says the same
	stop()
	e := Exited{Code: cmd.ProcessState.ExitCode(),
		Stdout: wire.Output{Head: stdout.Bytes(), Size: int64(stdout.Len())},
		Stderr: wire.Output{Head: stderr.Bytes(), Size: int64(stderr.Len())}}
	return e, ctx.Err()
}
