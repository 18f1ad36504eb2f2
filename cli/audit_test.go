package cli

import (
	"context"
	"crypto/ed25519"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"quorate/eventlog"
	"quorate/eventlog/bundle"
)

func TestSplitNotes(t *testing.T) {
	signature := base64.StdEncoding.EncodeToString(make([]byte, 4+ed25519.SignatureSize))
	note := func(n string) string {
		return "quorate/c\n" + n + "\nroot\nhead x\n\n— quorate/c " + signature + "\n"
	}
	for name, c := range map[string]struct {
		text string
		want []string
	}{
		"none":           {"hello\n", nil},
		"one":            {note("1"), []string{note("1")}},
		"as sinks do it": {note("1") + "\n" + note("2") + "\n", []string{note("1"), note("2")}},
		"behind a crash": {"quorate/c\n9\nro" + "\n\n" + note("2") + "\n", []string{note("2")}},
		"a torn one":     {note("1") + "\nquorate/c\n9\nroot\n\n— quor", []string{note("1")}},
		"a torn signature": {
			note("1") + "\n" + strings.TrimSuffix(note("9"), signature[20:]+"\n") + "\n\n" + note("2") + "\n",
			[]string{note("1"), note("2")},
		},
		"a line's end torn": {note("1") + "\n" + strings.TrimSuffix(note("9"), "\n") + "\n\n" + note("2") + "\n", []string{note("1"), note("9"), note("2")}},
	} {
		var got []string
		for _, n := range splitNotes(c.text) {
			got = append(got, string(n))
		}
		if !slices.Equal(got, c.want) {
			t.Errorf("%s: %q, want %q", name, got, c.want)
		}
	}
}

// someBundle is the bundle of a small log that nobody signed.
func someBundle(t *testing.T) []byte {
	t.Helper()
	log := eventlog.NewMemory()
	var entries []eventlog.Entry
	for i := range 2000 {
		e, err := eventlog.NewEntry(int64(i), &eventlog.RunEnded{Run: uint64(i)})
		if err != nil {
			t.Fatal(err)
		}
		entries = append(entries, e)
	}
	if _, err := log.Append(t.Context(), entries); err != nil {
		t.Fatal(err)
	}
	var b strings.Builder
	if _, err := bundle.Write(t.Context(), &b, memorySource{log}, &bundle.Content{Program: "v1", Cluster: "c", From: 1, To: 2000}); err != nil {
		t.Fatal(err)
	}
	return []byte(b.String())
}

type memorySource struct{ *eventlog.Memory }

func (m memorySource) Records(ctx context.Context, from uint64, limit int) ([]eventlog.Record, error) {
	return m.Read(ctx, from, limit)
}

func (m memorySource) Blob(context.Context, string) (io.ReadCloser, int64, error) {
	return nil, 0, errors.New("no blobs")
}

// TestSaveBundle leaves a whole file, or none.
func TestSaveBundle(t *testing.T) {
	whole := someBundle(t)
	broken := errors.New("broken")
	for name, c := range map[string]struct {
		write func(ctx context.Context, w io.Writer) error
		good  bool
	}{
		"whole": {func(_ context.Context, w io.Writer) error { _, err := w.Write(whole); return err }, true},
		"half":  {func(_ context.Context, w io.Writer) error { _, err := w.Write(whole[:len(whole)/2]); return err }, false},
		"fails": {func(_ context.Context, w io.Writer) error { _, err := w.Write(whole); return errors.Join(err, broken) }, false},
	} {
		dir := t.TempDir()
		file := filepath.Join(dir, "b.tar")
		_, size, err := saveBundle(t.Context(), file, c.write)
		left, e := os.ReadDir(dir)
		if e != nil {
			t.Fatal(e)
		}
		if c.good && (err != nil || size != int64(len(whole)) || len(left) != 1) {
			t.Errorf("%s: %d bytes, %v, %v", name, size, err, left)
		}
		if !c.good && (err == nil || len(left) != 0) {
			t.Errorf("%s: %v, and it leaves %v", name, err, left)
		}
	}
}

// TestExportWithoutRoom has a disk that is too small.
func TestExportWithoutRoom(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("only root may mount a small file system")
	}
	dir := t.TempDir()
	if err := unix.Mount("tmpfs", dir, "tmpfs", 0, "size=65536"); err != nil {
		t.Skipf("no small file system here: %v", err)
	}
	t.Cleanup(func() {
		if err := unix.Unmount(dir, unix.MNT_DETACH); err != nil {
			t.Error(err)
		}
	})
	whole := someBundle(t)
	_, _, err := saveBundle(t.Context(), filepath.Join(dir, "b.tar"), func(_ context.Context, w io.Writer) error {
		_, err := w.Write(whole)
		return err
	})
	left, e := os.ReadDir(dir)
	if !errors.Is(err, syscall.ENOSPC) || e != nil || len(left) != 0 {
		t.Errorf("%v, and it leaves %v (%v)", err, left, e)
	}
}

// TestExportKilled kills the command when half of the bundle has come, and then has the
// server go away in the middle of another: nothing is there under the name.
func TestExportKilled(t *testing.T) {
	whole := someBundle(t)
	dir, err := os.MkdirTemp("", "quorate-test-") // short: it holds a unix socket
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := os.RemoveAll(dir); err != nil {
			t.Error(err)
		}
	})
	socket := filepath.Join(dir, "s")
	listener, err := net.Listen("unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	release := make(chan struct{})
	server := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		_, _ = w.Write(whole[:len(whole)/2]) // the client may be dead
		_ = http.NewResponseController(w).Flush()
		<-release
		panic(http.ErrAbortHandler)
	})}
	served := make(chan struct{})
	go func() {
		defer close(served)
		_ = server.Serve(listener)
	}()
	t.Cleanup(func() {
		_ = server.Close()
		<-served
	})
	file := filepath.Join(dir, "b.tar")
	export := func() *exec.Cmd {
		cmd := exec.Command("quorate", "--server", "unix://"+socket, "audit", "export", file, "--all")
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		eventually(t, "half a bundle", func() bool {
			info, err := os.Stat(partial(file))
			return err == nil && info.Size() > 0
		})
		return cmd
	}
	killed := export()
	if err := killed.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = killed.Wait() // it was killed
	if !missing(file) {
		t.Error("a killed export left something under the name")
	}
	if err := os.Truncate(partial(file), 0); err != nil {
		t.Fatal(err)
	}
	alone := export()
	if second, err := exec.Command("quorate", "--server", "unix://"+socket, "audit", "export", file, "--all").CombinedOutput(); err == nil || !strings.Contains(string(second), "another export") {
		t.Errorf("a second export to the same file: %v, %s", err, second)
	}
	close(release)
	if err := alone.Wait(); err == nil || alone.ProcessState.ExitCode() != exitError {
		t.Errorf("the server went away: %v", err)
	}
	if !missing(file) || !missing(partial(file)) {
		t.Error("an export that broke off left something")
	}
}

// audited exports bundles through each orchestrator, which hold the same records.
func (c *trio) audited(t *testing.T) {
	ca := filepath.Join(c.dirOf(c.servers[len(c.servers)-1]), "pki", "ca.crt")
	var heads []string
	for n, i := range c.servers {
		if !c.processes[serverName(i)].running() {
			continue
		}
		for _, which := range []string{"--run=1", "--all"} {
			file := filepath.Join(c.dir, fmt.Sprintf("audit-%d%s.tar", n, which))
			if cmd := c.command("--server", c.socket(i), "audit", "export", file, which, "--files"); cmd.code() != 0 {
				t.Fatalf("export %s through %s: %s", which, serverName(i), cmd)
			}
			verify := c.command("audit", "verify", file, "--ca", ca)
			if verify.code() != 0 || !strings.Contains(verify.out.String(), "as the cluster's key signed them") {
				t.Errorf("%s of %s: %s", which, serverName(i), verify)
			}
			b, err := bundle.Open(file)
			if err != nil {
				t.Fatal(err)
			}
			if b.Run == 1 {
				heads = append(heads, fmt.Sprint(b.From, b.To, b.Before, b.Head, b.Also, b.Blobs, b.Missing))
			}
			if len(b.Missing) > 0 || len(b.Blobs) == 0 || b.About.State != (b.Run == 1) {
				t.Errorf("%s of %s: %+v", which, serverName(i), b.About)
			}
			if err := b.Close(); err != nil {
				t.Fatal(err)
			}
		}
	}
	if len(heads) < 2 || len(slices.Compact(heads)) != 1 {
		t.Errorf("the bundles of run 1 differ: %q", heads)
	}
}

// filesAudited checks the files that killed orchestrators leave.
func (c *trio) filesAudited(t *testing.T) {
	for _, i := range c.servers {
		dir := c.dirOf(i)
		if missing(filepath.Join(dir, eventlog.StoreFile)) {
			continue
		}
		if verify := c.command("audit", "verify", dir, "--ca", filepath.Join(dir, "pki", "ca.crt")); verify.code() != 0 {
			t.Errorf("files of %s: %s", serverName(i), verify)
		}
		file := filepath.Join(c.dir, "files-"+serverName(i)+".tar")
		if export := c.command("audit", "export", file, "--run", "1", "--data-dir", dir); export.code() != 0 {
			t.Errorf("export from the files of %s: %s", serverName(i), export)
		}
	}
}
