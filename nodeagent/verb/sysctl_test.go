package verb

import (
	"context"
	"strings"
	"testing"
)

// kernel is a sysctl that keeps values in files of the host.
const kernel = `for last; do :; done
case "$1" in
-n) cat "$QDIR/kernel.$last" 2>/dev/null || { echo "sysctl: cannot stat /proc/sys/$last" >&2; exit 255; } ;;
-q) key=${last%%=*}; value=${last#*=}
    [ "$value" = bad ] && { echo "sysctl: setting key \"$key\": Invalid argument" >&2; exit 255; }
    echo "$value" > "$QDIR/kernel.$key" ;;
esac`

func newKernel(t *testing.T) *host {
	h := newHost(t)
	t.Setenv("QDIR", h.dir)
	h.tool("sysctl", kernel)
	h.write("kernel.net.ipv4.ip_forward", "0\n")
	return h
}

func TestSysctl(t *testing.T) {
	h := newKernel(t)
	h.settles("SYSCTL --file f net.ipv4.ip_forward 1")
	if h.read("kernel.net.ipv4.ip_forward") != "1\n" || h.read("f") != "net.ipv4.ip_forward = 1\n" {
		t.Errorf("kernel %q, file %q", h.read("kernel.net.ipv4.ip_forward"), h.read("f"))
	}
	h.write("kernel.net.ipv4.tcp_rmem", "4096\t87380\t6291456\n")
	h.settles("SYSCTL --file f net.ipv4.tcp_rmem 4096 87380  6291456")
	if !strings.HasSuffix(h.read("f"), "net.ipv4.tcp_rmem = 4096 87380 6291456\n") || strings.Contains(h.read("log"), "-w net.ipv4.tcp_rmem") {
		t.Errorf("file %q, calls\n%s", h.read("f"), h.read("log"))
	}
	h.settles("SYSCTL --file f --absent net/ipv4/tcp_rmem")
	h.settles("SYSCTL --boot-only --file f vm.swappiness 10")
	h.settles("SYSCTL --now-only net.ipv4.ip_forward 0")
	if h.read("f") != "net.ipv4.ip_forward = 1\nvm.swappiness = 10\n" {
		t.Errorf("file %q", h.read("f"))
	}
	h.settled("SYSCTL --file none --absent vm.swappiness")
}

func TestSysctlFailures(t *testing.T) {
	h := newKernel(t)
	h.refuses("SYSCTL --file f net.ipv4.ip_forward bad", "Invalid argument")
	h.refuses("SYSCTL --file f no.such 1", "cannot stat")
	h.refuses("SYSCTL --file f a;b 1", "letters")
	// What cannot be written is not left set.
	h.refuses("SYSCTL --file no/f net.ipv4.ip_forward 1", "no directory")
	a := step{what: "set", do: func(context.Context) Result { return succeeded(true, "") }}
	back := false
	a.undo = func(context.Context) error { back = true; return nil }
	b := step{what: "write", do: func(context.Context) Result { return failed("no room") }}
	if res := perform(t.Context(), []step{a, b}); !back || res.Changed || res.Outcome != Failed || res.Info != "write: no room" {
		t.Errorf("taken back %t: %+v", back, res)
	}
	a.undo = nil
	if res := perform(t.Context(), []step{a, b}); !res.Changed || res.Outcome != Failed {
		t.Errorf("what stays is no change: %+v", res)
	}
	for _, text := range []string{"a", "--absent a 1", "--absent --now-only a", ""} {
		if _, err := tryParse(t, "SYSCTL", text); err == nil {
			t.Errorf("SYSCTL %s: parsed", text)
		}
	}
	t.Setenv("PATH", h.dir)
	h.refuses("SYSCTL net.ipv4.ip_forward 1", "needs sysctl")
}

func TestSetSysctl(t *testing.T) {
	for _, tc := range []struct {
		before, key, value string
		absent             bool
		want               string
	}{
		{"", "a", "1", false, "a = 1\n"},
		{"# a = 1\n-a=2\n\na = 3\nb=4", "a", "1", false, "# a = 1\n\na = 1\nb=4\n"},
		{"a=1\na=2\n", "a", "2", false, "a=1\na=2\n"},
		{"a =  1   2 \n", "a", "1 2", false, "a =  1   2 \n"},
		{"net/a.b/c = 1\n", "net.a/b.c", "2", false, "net.a/b.c = 2\n"},
		{"a = 1\nb = 2\n", "a", "", true, "b = 2\n"},
		{"a = 1\n", "a", "", true, ""},
		{"b", "a", "", true, "b"},
	} {
		if got := setSysctl(tc.before, tc.key, tc.value, tc.absent); got != tc.want {
			t.Errorf("%q, %s=%s, absent %t: %q, want %q", tc.before, tc.key, tc.value, tc.absent, got, tc.want)
		}
	}
}

// FuzzSetSysctl: what was set is set, what was taken out is out, and doing it again
// changes nothing.
func FuzzSetSysctl(f *testing.F) {
	f.Add("a=1\n-b = 2\n#c\n", "a", "3", false)
	f.Add("net/a.b/c = 1\r\nx", "net.a/b.c", "", true)
	f.Fuzz(func(t *testing.T, text, key, value string, absent bool) {
		if !sysctlKey.MatchString(key) || value != strings.Join(strings.Fields(value), " ") || value == "" && !absent {
			return
		}
		once := setSysctl(text, key, value, absent)
		if twice := setSysctl(once, key, value, absent); twice != once {
			t.Fatalf("%q becomes %q, and then %q", text, once, twice)
		}
		last, found := "", false
		lines, _ := splitLines(once)
		for _, l := range lines {
			if k, v, ok := sysctlLine(l); ok && sameKey(k, key) {
				last, found = v, true
			}
		}
		if found == absent || found && last != value {
			t.Fatalf("%q becomes %q: found %t, %q", text, once, found, last)
		}
	})
}
