package verb

import (
	"archive/tar"
	"archive/zip"
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/klauspost/compress/zstd"
)

// tarred makes a tar of lines "NAME MODE CONTENT", "NAME/ MODE", "NAME -> TARGET",
// "NAME => TARGET" (a hard link) and "NAME !" (a device).
func tarred(t testing.TB, lines ...string) []byte {
	t.Helper()
	var buf bytes.Buffer
	w := tar.NewWriter(&buf)
	for _, line := range lines {
		f := strings.SplitN(line, " ", 3)
		h := &tar.Header{Name: f[0], Typeflag: tar.TypeReg}
		body := ""
		switch {
		case f[1] == "->" || f[1] == "=>":
			h.Typeflag, h.Linkname = map[string]byte{"->": tar.TypeSymlink, "=>": tar.TypeLink}[f[1]], f[2]
		case f[1] == "!":
			h.Typeflag = tar.TypeChar
		default:
			if _, err := fmt.Sscanf(f[1], "%o", &h.Mode); err != nil {
				t.Fatal(err)
			}
			if strings.HasSuffix(f[0], "/") {
				h.Typeflag = tar.TypeDir
			} else {
				body = f[2]
				h.Size = int64(len(body))
			}
		}
		if err := errors.Join(w.WriteHeader(h), func() error { _, err := io.WriteString(w, body); return err }()); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return buf.Bytes()
}

var release = []string{"tool-1/ 755", "tool-1/bin/tool 4755 run", "tool-1/bin/again => tool-1/bin/tool", "tool-1/doc/a.txt 640 text", "tool-1/doc/b -> a.txt", "tool-1/private/ 700"}

func gzipped(t testing.TB, data []byte) []byte {
	var buf bytes.Buffer
	w := gzip.NewWriter(&buf)
	if _, err := w.Write(data); err != nil || w.Close() != nil {
		t.Fatal(err)
	}
	return buf.Bytes()
}

// TestUnarchive unpacks the same release in every kind of archive.
func TestUnarchive(t *testing.T) {
	plain := tarred(t, release...)
	kinds := map[string][]byte{"tar": plain, "gz": gzipped(t, plain)}
	enc, err := zstd.NewWriter(nil)
	if err != nil {
		t.Fatal(err)
	}
	kinds["zst"] = enc.EncodeAll(plain, nil)
	for _, tool := range []string{"xz", "bzip2"} {
		if _, err := exec.LookPath(tool); err == nil {
			cmd := exec.Command(tool, "-c")
			cmd.Stdin = bytes.NewReader(plain)
			if kinds[tool], err = cmd.Output(); err != nil {
				t.Fatal(err)
			}
		}
	}
	for name, data := range kinds {
		t.Run(name, func(t *testing.T) {
			h := newHost(t)
			text := "UNARCHIVE --strip 1 " + h.file("tool.archive", string(data)) + " tool"
			h.expect(text, WouldChange, "unpack ", "bin/tool")
			h.settles(text)
			if h.read("tool/bin/tool") != "run" || h.read("tool/bin/again") != "run" || h.read("tool/doc/b") != "text" ||
				h.mode("tool/bin/tool") != "0755" || h.mode("tool/doc/a.txt") != "0640" || h.mode("tool/private") != "0700" {
				t.Errorf("unpacked\n%s", h.tree())
			}
			// What differs is put right, and what is no part of it stays.
			h.write("tool/doc/a.txt", "other")
			h.write("tool/mine", "mine")
			if err := os.Remove(filepath.Join(h.dir, "tool/doc/b")); err != nil {
				t.Fatal(err)
			}
			h.expect(text, WouldChange, "unpack 2 of ", "doc/a.txt, doc/b")
			h.settles(text)
			if h.read("tool/doc/b") != "text" || h.read("tool/mine") != "mine" || h.mode("tool/doc/a.txt") != "0640" {
				t.Errorf("unpacked\n%s", h.tree())
			}
		})
	}
}

func TestUnarchiveZip(t *testing.T) {
	var buf bytes.Buffer
	w := zip.NewWriter(&buf)
	for name, body := range map[string]string{"a/": "", "a/f": "text", "g": ""} {
		f, err := w.Create(name)
		if err == nil {
			_, err = io.WriteString(f, body)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	h := newHost(t)
	h.write("my.zip", buf.String())
	h.ok("WORKDIR d")
	h.settles("UNARCHIVE --on-host my.zip d")
	if h.read("d/a/f") != "text" || h.read("d/g") != "" {
		t.Errorf("unpacked\n%s", h.tree())
	}
	h.write("there", "")
	h.settled("UNARCHIVE --on-host --creates there missing.zip d")
	h.refuses("UNARCHIVE --on-host missing.zip d", "missing.zip")
	h.refuses("UNARCHIVE --on-host my.zip no/d", "there is no directory")
	h.write("my.zip", "PK\x03\x04"+strings.Repeat("x", 600))
	h.refuses("UNARCHIVE --on-host my.zip d", "zip: not a valid zip file")
}

// TestUnarchiveRefuses: what leads out of the destination, and what is damaged, leaves
// nothing behind, neither there nor anywhere else.
func TestUnarchiveRefuses(t *testing.T) {
	for name, lines := range map[string][]string{
		"leads out":                {"ok 644 x", "../evil 644 x"},
		"name \"/evil\" leads out": {"ok 644 x", "/evil 644 x"},
		"name \"a/../../evil\"":    {"a/../../evil 644 x"},
		"to \"../evil\"":           {"link -> ../evil"},
		"to \"/etc\"":              {"link -> /etc"},
		"to \"../../x\"":           {"a/link -> ../../x"},
		"which is no directory":    {"d -> e", "d/f 644 x"},
		"which is no file before":  {"f => /etc/passwd"},
		"is no file before it":     {"f => g", "g 644 x"},
		"is a device":              {"ok 644 x", "dev !"},
		"twice":                    {"f 644 x", "f 644 y"},
		"a directory is in its":    {"ok 644 x", "dir 644 x"},
		"no directory is in its":   {"ok 644 x", "file/ 755"},
		"path escapes from parent": {"ok 644 x", "out/f 644 x"},
	} {
		for _, there := range []bool{true, false} {
			h := newHost(t)
			if there {
				h.ok("WORKDIR d/dir")
				h.write("d/file", "x")
				if err := os.Symlink(t.TempDir(), filepath.Join(h.dir, "d/out")); err != nil {
					t.Fatal(err)
				}
			} else if strings.Contains(name, "in its") || strings.Contains(name, "parent") {
				continue
			}
			h.refuses("UNARCHIVE "+h.file("a.tar", string(tarred(t, lines...)))+" d", name)
			h.expect("UNARCHIVE "+h.file("a.tar", string(tarred(t, lines...)))+" d", WouldFail, name)
		}
	}
	h := newHost(t)
	whole := gzipped(t, tarred(t, "a 644 "+strings.Repeat("abc", 10_000), "b 644 y"))
	damaged := bytes.Clone(whole)
	damaged[len(damaged)-6] ^= 0xff // in the checksum
	for name, data := range map[string][]byte{"unexpected EOF": whole[:len(whole)/2], "invalid checksum": damaged, "no archive of a known kind": []byte("hello")} {
		h.refuses("UNARCHIVE "+h.file("a.tgz", string(data))+" d", name)
	}
	t.Setenv("PATH", h.dir)
	h.refuses("UNARCHIVE "+h.file("a.xz", string(xzMagic)+"x")+" d", "UNARCHIVE needs xz, which this host does not have")
	for _, text := range []string{"a", "a b c", "--strip -1 a b"} {
		if _, err := tryParse(t, "UNARCHIVE", text); err == nil {
			t.Errorf("UNARCHIVE %s: parsed", text)
		}
	}
	if p := parse(t, "UNARCHIVE", "--on-host a b"); p.Source != "" {
		t.Errorf("%q of the host is shipped", p.Source)
	}
}

// FuzzArchive: whatever the bytes, every name that passes stays below the root, and
// lies below directories alone.
func FuzzArchive(f *testing.F) {
	plain := tarred(f, release...)
	f.Add(plain, 1)
	f.Add(gzipped(f, plain), 0)
	f.Add(tarred(f, "../x 644 y", "a -> ../b"), 1)
	f.Add([]byte("PK\x05\x06"+strings.Repeat("\x00", 18)), 0)
	f.Fuzz(func(t *testing.T, data []byte, strip int) {
		path := filepath.Join(t.TempDir(), "a")
		if err := os.WriteFile(path, data, 0o600); err != nil {
			t.Fatal(err)
		}
		_ = archive{path, max(strip, 0)}.each(context.Background(), func(e archiveEntry) error {
			if !filepath.IsLocal(e.name) || filepath.Clean(e.name) != e.name || e.mode > 0o777 ||
				e.kind == entrySymlink && !filepath.IsLocal(filepath.Join(filepath.Dir(e.name), e.link)) ||
				e.kind == entryHardLink && !filepath.IsLocal(e.link) {
				t.Fatalf("%+v", e)
			}
			return nil
		})
	})
}
