package verb

import (
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// Stand-ins for package managers. Their database is a file of the host with a line
// "NAME VERSION" for each package; the newest version of everything is 2.
const (
	fakeDpkg = `shift; f=$1; shift
[ $# = 0 ] && exec cat "$QDIR/db"
code=0; for n; do v=$(sed -n "s/^${n%%:*} //p" "$QDIR/db"); if [ -n "$v" ]; then printf '%s\tamd64\t%s\tinstall ok installed\n' "${n%%:*}" "$v"; else code=1; fi; done
exit $code`
	fakeRpm = `[ "$1" = -qa ] && exec cat "$QDIR/db"
for last; do :; done; grep -q "^$last " "$QDIR/db"`
	// change takes the action and the packages out of the words.
	fakeChange = `[ "$1" != info ] && [ -e "$QDIR/locked" ] && { [ "$(cat "$QDIR/locked")" = once ] && rm "$QDIR/locked"; echo "$LOCKED" >&2; exit $LOCKEXIT; }
action=; dry=; names=
while [ $# -gt 0 ]; do case "$1" in
-o) shift ;; -s|--dry-run) dry=1 ;; -u|--only-upgrade) action=upgrade ;; -*) ;;
install|add|remove|del|upgrade|update|refresh|makecache|check-update|info) action=${action:-$1} ;;
*) names="$names $1" ;; esac; shift; done
[ "$names" = " broken" ] && { echo half 1 >> "$QDIR/db"; echo "E: broken" >&2; exit 100; }
for n in $names; do old=$(sed -n "s/^$n //p" "$QDIR/db")
case "$action" in
info) [ -n "$old" ] || exit 1 ;;
check-update) [ "$old" = 1 ] && { echo "$n.noarch 2 updates"; found=1; } ;;
install|add) [ -n "$old" ] || echo "$n 2" >> "$QDIR/db" ;;
remove|del) sed -i "/^$n /d" "$QDIR/db" ;;
upgrade|update) [ "$old" = 1 ] || continue
 if [ -n "$dry" ]; then printf "$DRYRUN" "$n"; else sed -i "s/^$n .*/$n 2/" "$QDIR/db"; fi ;;
esac; done
[ -z "$found" ] || exit 100`
)

// managed is a host with one package manager.
func managed(t *testing.T, name string) *host {
	h := newHost(t)
	locked, exit, dryRun := "E: Could not get lock /var/lib/dpkg/lock-frontend", "100", "Inst %s [1] (2 Debian:12)\\n"
	switch name {
	case "apt":
		h.tool("dpkg-query", fakeDpkg)
		h.tool("apt-get", fakeChange)
	case "dnf":
		h.tool("rpm", fakeRpm)
		h.tool("dnf", fakeChange)
		locked, exit = "locked", "200"
	case "zypper":
		h.tool("rpm", fakeRpm)
		h.tool("zypper", fakeChange)
		locked, exit, dryRun = "System management is locked", "7", "  %s 1 -> 2\\n"
	case "apk":
		h.tool("apk", `case "$*" in "info -v") exec cat "$QDIR/db" ;; esac
`+fakeChange)
		locked, exit, dryRun = "ERROR: Unable to lock database", "1", "(1/1) Upgrading %s (1 -> 2)\\n"
	}
	for k, v := range map[string]string{"QDIR": h.dir, "LOCKED": locked, "LOCKEXIT": exit, "DRYRUN": dryRun} {
		t.Setenv(k, v)
	}
	h.write("db", "old 1\nnew 2\n")
	return h
}

func TestPackage(t *testing.T) {
	for _, name := range []string{"apt", "dnf", "zypper", "apk"} {
		t.Run(name, func(t *testing.T) {
			h := managed(t, name)
			pkg := "PACKAGE --manager " + name + " "
			h.settled(pkg + "old new")
			h.expect(pkg+"old gone", WouldChange, "install gone")
			h.settles(pkg + "--refresh old gone")
			if h.read("db") != "old 1\nnew 2\ngone 2\n" {
				t.Errorf("the database holds %q", h.read("db"))
			}
			h.expect(pkg+"--latest old new", WouldChange, "update old")
			h.settles(pkg + "--latest old new")
			h.settles(pkg + "--absent new never")
			if h.read("db") != "old 2\ngone 2\n" {
				t.Errorf("the database holds %q", h.read("db"))
			}
			if res := h.do(pkg + "broken"); res.Outcome != Failed || !res.Changed || !strings.Contains(res.Info, "broken") {
				t.Errorf("half of the work was done: %+v", res)
			}
			h.write("locked", "for ever")
			h.refuses(pkg+"--lock-wait 0 other", "its lock is held by another process")
			h.write("locked", "once")
			h.settles(pkg + "--lock-wait 5 other")
		})
	}
}

// TestPackageCommands holds what the managers are called with.
func TestPackageCommands(t *testing.T) {
	for name, want := range map[string]string{
		"apt":    "apt-get -q -y -o Dpkg::Options::=--force-confdef -o Dpkg::Options::=--force-confold install gone",
		"dnf":    "dnf -q -y --setopt=exit_on_lock=True install gone",
		"zypper": "zypper -q -n install gone",
		"apk":    "apk -q add gone",
	} {
		h := managed(t, name)
		h.ok("PACKAGE --manager " + name + " old gone")
		if !slices.Contains(strings.Split(h.read("log"), "\n"), want) {
			t.Errorf("%s was called\n%s", name, h.read("log"))
		}
	}
}

func TestPackageRefusals(t *testing.T) {
	h := managed(t, "apt")
	h.refuses("PACKAGE {{ '-x' }}", "is no name of a package")
	for _, text := range []string{"", "--latest --absent a", "--manager brew a", "--lock-wait -1 a", "-x"} {
		if _, err := tryParse(t, "PACKAGE", text); err == nil {
			t.Errorf("PACKAGE %s: parsed", text)
		}
	}
	t.Setenv("PATH", h.dir)
	h.refuses("PACKAGE a", "this host has none of them")
	h.refuses("PACKAGE --manager dnf a", "PACKAGE needs dnf")
}

// TestPackageAsksRealDpkg asks the database of a machine that has one.
func TestPackageAsksRealDpkg(t *testing.T) {
	if _, err := os.Stat("/var/lib/dpkg/status"); err != nil || requireTool("", "dpkg-query") != nil || requireTool("", "apt-get") != nil {
		t.Skip("needs dpkg")
	}
	h := newHost(t)
	h.settled("PACKAGE --manager apt dpkg apt")
	h.settled("PACKAGE --manager apt --absent no-such-package-of-quorate")
	h.expect("PACKAGE --manager apt dpkg no-such-package-of-quorate", WouldChange, "install no-such-package-of-quorate")
	if _, err := os.Stat(filepath.Join(h.dir, "log")); err == nil {
		t.Error("a stand-in was called")
	}
}

func TestDpkgMatches(t *testing.T) {
	const text = "a\tamd64\t1.0\tinstall ok installed\nb\tall\t2\tdeinstall ok config-files\nc\ti386\t3\thold ok installed\n"
	names := []string{"a", "a=1.0", "a=1.1", "a:amd64", "a:i386", "a:amd64=1.0", "b", "c", "d"}
	if got := dpkgMatches(text, names); !slices.Equal(got, []string{"a", "a=1.0", "a:amd64", "a:amd64=1.0", "c"}) {
		t.Errorf("%q", got)
	}
}

// FuzzPackages: what is found is a name that was asked for, each once.
func FuzzPackages(f *testing.F) {
	f.Add("a\tamd64\t1\tinstall ok installed\n", "a a:b=1")
	f.Add("Inst a [1] (2 Debian)\n", ":= =:")
	line := regexp.MustCompile(`^Inst (\S+)(?: \[\S+\])? \((\S+)`)
	f.Fuzz(func(t *testing.T, text, names string) {
		words := strings.Fields(names)
		if got := dpkgMatches(text, words); len(got) > len(words) {
			t.Fatalf("%q of %q", got, words)
		}
		planned(text, line)
	})
}
