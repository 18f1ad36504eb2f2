package cli

import (
	"archive/tar"
	"bytes"
	"errors"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"quorate/raft"
)

// packed is an archive of these parts: pairs of a name and a content.
func packed(t testing.TB, parts ...string) []byte {
	t.Helper()
	var buf bytes.Buffer
	w := tar.NewWriter(&buf)
	for i := 0; i+1 < len(parts); i += 2 {
		if err := w.WriteHeader(&tar.Header{Name: parts[i], Mode: 0o600, Size: int64(len(parts[i+1]))}); err != nil {
			t.Fatal(err)
		}
		if _, err := io.WriteString(w, parts[i+1]); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return buf.Bytes()
}

const backupAbout = `{"schema":"quorate-backup/v1","cluster_id":"c","next_replica":4}`

// What is no backup, or not all of one, is refused; nothing leads out of it.
func TestUnpack(t *testing.T) {
	whole := []string{backupHead, backupAbout, "pki/ca.crt", "cert", backupLog, "records", "blobs/ab", "blob", backupTail, ""}
	for name, tc := range map[string]struct {
		archive []byte
		want    string // of the error
	}{
		"a whole one":        {packed(t, whole...), ""},
		"cut in the middle":  {packed(t, whole...)[:2500], "not a whole backup"},
		"without its end":    {packed(t, whole[:8]...), "it ends too early"},
		"no archive":         {[]byte(strings.Repeat("x", 4096)), "not a whole backup"},
		"another archive":    {packed(t, "etc/passwd", "root"), `it begins with "etc/passwd"`},
		"another version":    {packed(t, backupHead, `{"schema":"quorate-backup/v9","next_replica":1}`), "this version reads"},
		"no numbers":         {packed(t, backupHead, `{"schema":"quorate-backup/v1"}`), "which numbers are taken"},
		"a path out of it":   {packed(t, backupHead, backupAbout, "../../evil", "x"), `it holds "../../evil"`},
		"a folder in a blob": {packed(t, backupHead, backupAbout, "blobs/../../evil", "x"), `it holds`},
	} {
		t.Run(name, func(t *testing.T) {
			got := map[string]string{}
			keep := func(name string, r io.Reader) error {
				text, err := io.ReadAll(r)
				got[name] = string(text)
				return err
			}
			u := &unpacking{
				secrets: func(files map[string][]byte) error { got["pki"] = string(files["ca.crt"]); return nil },
				log:     func(r io.Reader) error { return keep("log", r) },
				blob:    func(digest string, r io.Reader) error { return keep("blob "+digest, r) },
			}
			err := u.read(bytes.NewReader(tc.archive))
			if tc.want != "" {
				if !errors.Is(err, errBackup) || !strings.Contains(err.Error(), tc.want) {
					t.Errorf("error %v, want %q", err, tc.want)
				}
				return
			}
			if err != nil || got["pki"] != "cert" || got["log"] != "records" || got["blob ab"] != "blob" || u.about.NextReplica != 4 {
				t.Errorf("got %q, %+v, %v", got, u.about, err)
			}
		})
	}
}

// No archive makes reading it panic, or hand out a blob under a name with a path.
func FuzzUnpack(f *testing.F) {
	f.Add(packed(f, backupHead, backupAbout, "pki/ca.crt", "cert", backupLog, "records", "blobs/ab", "blob", backupTail, ""))
	f.Add(packed(f, backupHead, backupAbout, "blobs/../x", "x"))
	f.Fuzz(func(t *testing.T, archive []byte) {
		u := &unpacking{
			log: func(r io.Reader) error { _, err := io.Copy(io.Discard, r); return err },
			blob: func(digest string, r io.Reader) error {
				if strings.ContainsRune(digest, '/') {
					t.Errorf("blob %q", digest)
				}
				_, err := io.Copy(io.Discard, r)
				return err
			},
		}
		_ = u.read(bytes.NewReader(archive))
	})
}

// A cluster that is built anew uses no number that the lost one may have used.
func TestAfterAll(t *testing.T) {
	for next, want := range map[uint64]uint64{1: 100, 4: 100, 100: 100, 101: 200, 102: 200} {
		if got := afterAll(next); got != want {
			t.Errorf("after %d comes %d, want %d", next, got, want)
		}
	}
}

// Addresses for others name a host that others understand.
func TestAdvertised(t *testing.T) {
	name, err := os.Hostname()
	if err != nil {
		t.Fatal(err)
	}
	tcp := func(address string) net.Addr { a, _ := net.ResolveTCPAddr("tcp", address); return a }
	for _, tc := range []struct{ advertise, raft, agents, wantRaft, wantAgents string }{
		{"", "127.0.0.1:7442", "[::]:7440", "127.0.0.1:7442", name + ":7440"},
		{"", "[::]:7442", "[::]:7440", name + ":7442", name + ":7440"},
		{"", "10.0.0.1:7442", "[::]:7440", "10.0.0.1:7442", "10.0.0.1:7440"},
		{"", "[::]:7442", "10.0.0.2:7440", "10.0.0.2:7442", "10.0.0.2:7440"},
		{"edge.example", "[::]:7442", "[::]:7440", "edge.example:7442", "edge.example:7440"},
		{"edge.example", "10.0.0.1:7442", "127.0.0.1:7440", "edge.example:7442", "edge.example:7440"},
		{"2001:db8::1", "[::]:7442", "[::]:7440", "[2001:db8::1]:7442", "[2001:db8::1]:7440"},
	} {
		at, err := advertised(tc.advertise, tcp(tc.raft), tcp(tc.agents), nil, tc.raft, tc.agents)
		if err != nil || at.raft != tc.wantRaft || at.agents != tc.wantAgents || at.api != "" || at.host != name {
			t.Errorf("%+v: %+v, %v", tc, at, err)
		}
	}
}

// A directory knows which member it is; an older one, which says nothing, is the
// first, and has begun its log.
func TestMembership(t *testing.T) {
	dir := t.TempDir()
	if m, err := readMembership(dir); m != nil || err != nil {
		t.Errorf("an empty directory is member %+v, %v", m, err)
	}
	old := filepath.Join(dir, raftDir, "host", "BOOTSTRAP-1-1")
	if err := errors.Join(os.MkdirAll(filepath.Dir(old), 0o700), os.WriteFile(old, nil, 0o600), os.WriteFile(filepath.Join(dir, "log.db"), nil, 0o600)); err != nil {
		t.Fatal(err)
	}
	if m, err := readMembership(dir); err != nil || m.Replica != 1 || !m.Started {
		t.Errorf("an older directory is member %+v, %v", m, err)
	}
	want := membership{Replica: 7, Joined: true, Recovered: &recovery{At: 9, Source: "backup", By: "me"}}
	if err := want.write(dir); err != nil {
		t.Fatal(err)
	}
	m, err := readMembership(dir)
	if err != nil || m.Replica != 7 || !m.Joined || m.Started || *m.Recovered != *want.Recovered {
		t.Errorf("read %+v, %v", m, err)
	}
	if err := os.WriteFile(filepath.Join(dir, memberFile), []byte(`{}`), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := readMembership(dir); err == nil {
		t.Error("a member without a number is accepted")
	}
}

// Two processes cannot have one directory.
func TestLockDir(t *testing.T) {
	dir := t.TempDir()
	first, err := lockDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	if second, err := lockDir(dir); err == nil {
		second.Close()
		t.Error("the directory was taken twice")
	}
	if err := first.Close(); err != nil {
		t.Fatal(err)
	}
	again, err := lockDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	again.Close()
}

// What may be lost is told with the record, the others and what could not be read.
func TestLostByRecovery(t *testing.T) {
	long := errors.New(strings.Repeat("x", 2*unreadBytesMax) + "END")
	for _, tc := range []struct {
		members []uint64
		found   raft.Recovered
		want    []string
		not     string
	}{
		{[]uint64{1, 2, 3}, raft.Recovered{Index: 70, Last: 90}, []string{"behind record 70", "other than 2 (1 3)"}, ";"},
		{[]uint64{2}, raft.Recovered{Index: 70, Last: 90}, []string{"behind record 70"}, "other"},
		{[]uint64{1, 2}, raft.Recovered{Index: 70, Last: 90, Unread: long}, []string{"(1)", "a damaged part of its files held: xxx"}, "END"},
		{[]uint64{1, 2}, raft.Recovered{Index: 70}, []string{"is not known, since"}, "damaged"},
	} {
		got := lostByRecovery(2, tc.members, tc.found)
		for _, want := range tc.want {
			if !strings.Contains(got, want) || strings.Contains(got, tc.not) {
				t.Errorf("%v: %q", tc.found, got)
			}
		}
	}
}
