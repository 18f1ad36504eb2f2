package nodeagent

import (
	"archive/tar"
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	bolt "go.etcd.io/bbolt"

	"quorate/internal/job"
	"quorate/internal/pyvalue"
	"quorate/nodeagent/facts"
	"quorate/nodeagent/verb"
	"quorate/nodeagent/wire"
)

// checkSamples is a job of every verb that would change something where it can, with
// the tools of the test's host.
var checkSamples = map[string]string{
	"RUN": "touch %s/made", "ARG": "name value", "ENV": "NAME value", "ADD": "-- %s/new", "COPY": "-- %s/there",
	"WORKDIR": "%s/directory/below", "CACHEFILE": "%s/values.yaml", "CACHEEVICT": "all", "QUERY": "known", "QUEUESENTINEL": "now",
	"DNF": "gone", "SERVICE": "--enable --restarted unit", "WAIT": "--cmd touch %s/waited", "ECHO": "words", "TEMPLATE": "-- %s/rendered",
	"LINE": "--line 'a = 2' %s/there", "SYSCTL": "--boot-only --file %s/sysctl.conf kernel.x 1", "CRON": "--name sample --directory %s/etc --schedule '* * * * *' true",
	"GROUP": "--root %s quorate-checked", "USER": "--root %s quorate-checked", "PACKAGE": "--manager apt gone", "GET": "http://127.0.0.1:1/x %s/got --sha256 " + strings.Repeat("0", 64),
	"MOUNT": "--boot-only --fstab %s/fstab /dev/null %s/mounted", "UNARCHIVE": "-- %s/unpacked", "FACTER": "", "QUERY_WAIT": "known", "JOB_WAIT": "420796fea893c71e --identity n2",
	"REBOOT": "1", "POD": "--start web", "CONTAINER_IMAGE": "--pull busybox", "CONTAINER_CONFIG_DATA": "--config-path %s", "SECONTEXT": "%s/there --setype x_t",
}

// checkTools are what the sample jobs ask and what they would change things with.
// Whatever changes something is written down.
var checkTools = map[string]string{
	"rpm": "exit 1", "dnf": "changed", "apt-get": "changed", "dpkg-query": "exit 1", "systemctl": `case $1 in is-*) echo inactive; exit 3 ;; *) changed ;; esac`,
	"facter": "echo '{}'", "podman": `case "$*" in *inspect*|*exists*) exit 1 ;; *) changed ;; esac`, "semanage": `case "$*" in *--list*) ;; *) changed ;; esac`, "restorecon": "changed", "groupadd": "changed", "useradd": "changed",
	"mount": "changed", "umount": "changed",
}

// A checkedHost is an agent whose host a check must leave as it is.
type checkedHost struct {
	t         *testing.T
	o         *orchestrator
	dir, root string
	stop      func()
}

func newCheckedHost(t *testing.T) *checkedHost {
	t.Helper()
	h := &checkedHost{t: t, o: newOrchestrator(t), dir: t.TempDir(), root: t.TempDir(), stop: func() {}}
	bin := t.TempDir()
	for name, script := range checkTools {
		script = "#!/bin/sh\nchanged() { echo \"" + name + " $*\" >> '" + filepath.Join(h.root, "changes") + "'; }\n" + strings.ReplaceAll(script, "changed", "changed \"$@\"") + "\n"
		if err := os.WriteFile(filepath.Join(bin, name), []byte(script), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	t.Setenv("PATH", bin+":"+os.Getenv("PATH"))
	for name, text := range map[string]string{"there": "a = 1\n", "values.yaml": "x: [1]\n", "etc/passwd": "root:x:0:0::/root:/bin/sh\n", "etc/group": "root:x:0:\n", "etc/shadow": "root:*:::::::\n", "etc/gshadow": "root:*::\n"} {
		if err := os.MkdirAll(filepath.Dir(filepath.Join(h.root, name)), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(h.root, name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	h.remember()
	t.Cleanup(func() { h.stop() })
	return h
}

// remember gives the agent a memory.
func (h *checkedHost) remember() {
	h.t.Helper()
	store, err := facts.Open(filepath.Join(h.dir, "facts.db"))
	if err != nil {
		h.t.Fatal(err)
	}
	defer store.Close()
	if _, _, err := store.SetArg("known", pyvalue.Int(1), false, facts.Origin{Run: 1}); err != nil {
		h.t.Fatal(err)
	}
	store.Remember(facts.Key{1}, facts.Result{Fingerprint: "f"})
}

// start runs the agent until stop.
func (h *checkedHost) start() {
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	var out logBuffer
	go func() {
		done <- run(ctx, Config{Servers: []string{h.o.address}, Token: h.o.token, DataDir: h.dir, WorkDir: h.root, Name: "n", Version: "test",
			Logger: slog.New(slog.NewTextHandler(&out, nil))}, verb.Execute)
	}()
	h.stop = func() {
		h.stop = func() {}
		cancel()
		if err := <-done; err != nil {
			h.t.Errorf("agent: %v", err)
		}
		if h.t.Failed() {
			h.t.Log(out.String())
		}
	}
	h.o.connected()
}

// state is all that there is on the host and in the agent's memory.
func (h *checkedHost) state() string {
	h.t.Helper()
	var out strings.Builder
	err := filepath.WalkDir(h.root, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		fmt.Fprintf(&out, "%s %s %s", path, info.Mode(), info.ModTime())
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
	db, err := bolt.Open(filepath.Join(h.dir, "facts.db"), 0o600, &bolt.Options{ReadOnly: true})
	if err != nil {
		h.t.Fatal(err)
	}
	defer db.Close()
	err = db.View(func(tx *bolt.Tx) error {
		return tx.ForEach(func(bucket []byte, b *bolt.Bucket) error {
			return b.ForEach(func(k, v []byte) error {
				fmt.Fprintf(&out, "memory %s %q %q\n", bucket, k, v)
				return nil
			})
		})
	})
	if err != nil {
		h.t.Fatal(err)
	}
	return out.String()
}

// jobs is a job of every verb, with the files that it ships.
func (h *checkedHost) jobs() []job.Job {
	h.t.Helper()
	var content bytes.Buffer // which every verb that ships a file can do with
	tarball := tar.NewWriter(&content)
	if err := errors.Join(tarball.WriteHeader(&tar.Header{Name: "member", Mode: 0o644, Size: 1}), second(io.WriteString(tarball, "x")), tarball.Close()); err != nil {
		h.t.Fatal(err)
	}
	digest := digestOf(sha256.Sum256(content.Bytes()))
	h.o.mu.Lock()
	h.o.blobs[digest] = content.Bytes()
	h.o.mu.Unlock()
	var jobs []job.Job
	for i, name := range slices.Sorted(maps.Keys(verb.Table())) {
		text, ok := checkSamples[name]
		if !ok {
			h.t.Errorf("no check of %s is tried", name)
			continue
		}
		decl, _ := verb.Lookup(name)
		rest, ships := strings.CutPrefix(text, "-- ")
		p, err := job.Parse(decl, strings.ReplaceAll(map[bool]string{true: "f " + rest, false: text}[ships], "%s", h.root), nil)
		if err != nil {
			h.t.Fatalf("%s: %v", name, err)
		}
		j := p.Job
		if j.Index = uint32(i); ships {
			j.Files = []job.File{{Name: "f", Digest: digest, Size: int64(content.Len())}}
		}
		jobs = append(jobs, j)
	}
	return jobs
}

func second(_ int, err error) error { return err }

// TestCheckHasNoEffect gives an agent a job of every verb, in a run that only checks.
func TestCheckHasNoEffect(t *testing.T) {
	h := newCheckedHost(t)
	before := h.state()
	h.start()
	jobs := h.jobs()
	spec, err := wire.EncodeStep(&wire.Step{Run: 2, Task: "task", Host: "host", Jobs: jobs, Check: true, KeepGoing: true, Publish: []string{"known", "name"}})
	if err != nil {
		t.Fatal(err)
	}
	d := h.o.dispatch(7, 0)
	d.Spec = spec
	h.o.send(d)
	_, reports := h.o.ended(7)
	if len(reports) != len(jobs) {
		t.Fatalf("%d reports of %d jobs", len(reports), len(jobs))
	}
	for i, r := range reports {
		t.Logf("%s: outcome %d, changed %t, %s", jobs[i].Verb, r.Outcome, r.Changed, r.Info)
		if r.Published {
			t.Errorf("%s published something", jobs[i].Verb)
		}
		if r.Outcome == verb.Succeeded && r.Changed && !strings.HasPrefix(r.Info, "would ") && !strings.HasPrefix(r.Info, "cannot tell") {
			t.Errorf("%s does not say that it has done nothing: %s", jobs[i].Verb, r.Info)
		}
	}
	h.stop()
	if after := h.state(); after != before {
		t.Errorf("the check changed the host from\n%s\nto\n%s", before, after)
	}
	if left, err := filepath.Glob(filepath.Join(h.dir, "rehearsals", "*")); err != nil || len(left) > 0 {
		t.Errorf("the agent left %s behind, %v", left, err)
	}
}
