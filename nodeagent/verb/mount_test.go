package verb

import (
	"path/filepath"
	"strings"
	"testing"
)

// mounts is a host whose mount and umount only keep a table.
func mounts(t *testing.T) *host {
	h := newHost(t)
	t.Setenv("QDIR", h.dir)
	h.tool("mount", `for last; do :; done
case "$*" in *remount*) exit 0 ;; *broken*) echo "mount: wrong fs type" >&2; exit 32 ;; esac
echo "36 35 8:17 / $last rw - ext4 /dev/sdb1 rw" >> "$QDIR/mounts"`)
	h.tool("umount", `sed -i "\\, $1 ,d" "$QDIR/mounts"`)
	h.write("mounts", "22 1 8:1 / / rw shared:1 - ext4 /dev/sda1 rw\n")
	h.write("fstab", "# static\nUUID=1 / ext4 defaults 0 1\n")
	h.mountInfo = filepath.Join(h.dir, "mounts")
	return h
}

func TestMount(t *testing.T) {
	h := mounts(t)
	point := filepath.Join(h.dir, "data")
	const options = " --fstab fstab --type ext4 --options noatime "
	h.settles("MOUNT /dev/sdb1 " + point + options)
	if want := "# static\nUUID=1 / ext4 defaults 0 1\n/dev/sdb1 " + point + " ext4 noatime 0 0\n"; h.read("fstab") != want || h.mode("data") != "0755" {
		t.Errorf("fstab %q", h.read("fstab"))
	}
	h.expect("MOUNT /dev/sdb1 "+point+" --fstab fstab --type ext4 --pass 2", WouldChange, "remount", "+/dev/sdb1")
	h.settles("MOUNT /dev/sdb1 " + point + " --fstab fstab --type ext4 --pass 2")
	h.refuses("MOUNT /dev/sdb1 "+point+" --fstab fstab --type xfs", "of type ext4 is mounted")
	h.settles("MOUNT --unmounted " + point)
	h.settles("MOUNT /dev/sdb1 " + point + options)
	h.settles("MOUNT --absent --fstab fstab " + point)
	if h.read("fstab") != "# static\nUUID=1 / ext4 defaults 0 1\n" || strings.Contains(h.read("mounts"), point) {
		t.Errorf("fstab %q, mounted %q", h.read("fstab"), h.read("mounts"))
	}
	h.settles("MOUNT --boot-only --fstab fstab server:/x '/my data' --type nfs")
	if !strings.HasSuffix(h.read("fstab"), "server:/x /my\\040data nfs defaults 0 0\n") {
		t.Errorf("fstab %q", h.read("fstab"))
	}
}

// TestMountIsTakenBack: where mounting fails, fstab and directories are as before.
func TestMountIsTakenBack(t *testing.T) {
	h := mounts(t)
	h.refuses("MOUNT /dev/sdb1 "+h.dir+"/broken --fstab fstab", "mount: wrong fs type (exit status 32)")
	h.refuses("MOUNT /dev/sdb1 data --fstab fstab", "absolute path")
	h.write("file", "")
	h.refuses("MOUNT /dev/sdb1 "+h.dir+"/file --fstab fstab", "not a directory")
	for _, text := range []string{"/a", "--absent /a /b", "--absent --unmounted /b", "/a /b /c"} {
		if _, err := tryParse(t, "MOUNT", text); err == nil {
			t.Errorf("MOUNT %s: parsed", text)
		}
	}
	t.Setenv("PATH", h.dir)
	h.refuses("MOUNT /dev/sdb1 "+h.dir+"/x --fstab fstab", "MOUNT needs mount, which this host does not have")
}

func TestRealMountTable(t *testing.T) {
	a := &asked{Env: &Env{}}
	table, err := a.mountTable()
	if err != nil {
		t.Fatal(err)
	}
	if m, ok := mountedAt(table, "/proc"); !ok || m.kind != "proc" {
		t.Errorf("at /proc: %+v, %t", m, ok)
	}
	if m, ok := mountedAt(table, "/no/such/mount"); ok {
		t.Errorf("%+v", m)
	}
}

// FuzzSetFstab: the entry is there once and reads as it was meant, the lines of
// others stay, and doing it again changes nothing.
func FuzzSetFstab(f *testing.F) {
	f.Add("# x\n/dev/a /a ext4 defaults\n/dev/b /b\\040c xfs rw 0 2\r\n", "/b c", "/dev/b", "noatime")
	f.Add("", "/", "a b\\", "x#y")
	f.Fuzz(func(t *testing.T, text, point, device, options string) {
		if strings.ContainsAny(text+point+device+options, "\r\v\f\u0085\u00a0\n") && !strings.Contains(text, "\n") ||
			strings.ToValidUTF8(point+device+options, "") != point+device+options || point == "" || filepath.Clean(point) != point {
			return
		}
		for _, s := range []string{point, device, options} {
			if s == "" || strings.Join(strings.Fields("x"+escaped(s)), "") != "x"+escaped(s) {
				return
			}
		}
		entry := fstabEntry{device, point, "ext4", options, "0", "0"}
		once, err := setFstab(text, point, entry)
		if err != nil {
			return
		}
		if twice, err := setFstab(once, point, entry); err != nil || twice != once {
			t.Fatalf("%q becomes %q, and then %q, %v", text, once, twice, err)
		}
		found := 0
		lines, _ := splitLines(once)
		for _, l := range lines {
			if e, ok := fstabLine(l); ok && filepath.Clean(e[1]) == point {
				if found++; e[0] != device || e[3] != options {
					t.Fatalf("%q becomes %q, which reads %q", text, once, e)
				}
			}
		}
		if found != 1 {
			t.Fatalf("%q becomes %q", text, once)
		}
		mountedAt(text, point)
	})
}
