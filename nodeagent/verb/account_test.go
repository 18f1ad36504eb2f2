package verb

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// accounts puts stand-ins for the tools on the PATH: getent answers from files of the
// host, the others write into their log alone.
func accounts(t *testing.T) *host {
	h := newHost(t)
	t.Setenv("QDIR", h.dir)
	h.tool("getent", `[ -n "$2" ] || exec cat "$QDIR/$1"
grep "^$2:" "$QDIR/$1" || exit 2`)
	for _, tool := range []string{"useradd", "usermod", "userdel", "groupadd", "groupmod", "groupdel"} {
		h.tool(tool, "[ ! -e \"$QDIR/broken\" ] || { echo 'cannot lock /etc/passwd' >&2; exit 1; }")
	}
	h.write("passwd", "ann:x:1000:1000:Ann:/home/ann:/bin/sh\n")
	h.write("group", "ann:x:1000:\nadm:x:4:root,ann\nwww:x:80:ann\n")
	return h
}

// calls does a job and returns what it called, but for questions.
func (h *host) calls(text string) string {
	h.t.Helper()
	_ = os.Remove(filepath.Join(h.dir, "log"))
	c := h.check(text)
	res := h.do(text)
	if res.Outcome != Succeeded || res.Changed != (c.Verdict == WouldChange) {
		h.t.Errorf("%s: checked %s, outcome %d, changed %t, %s", text, c.Verdict, res.Outcome, res.Changed, res.Info)
	}
	var out []string
	for line := range strings.Lines(h.read("log")) {
		if !strings.HasPrefix(line, "getent ") {
			out = append(out, strings.TrimSpace(line))
		}
	}
	return strings.Join(out, "; ")
}

func TestAccounts(t *testing.T) {
	h := accounts(t)
	for text, want := range map[string]string{
		"GROUP ann":                     "",
		"GROUP --gid 1000 ann":          "",
		"GROUP --gid 1001 ann":          "groupmod -g 1001 ann",
		"GROUP --system --gid 850 shop": "groupadd -g 850 -r shop",
		"GROUP --absent ann":            "groupdel ann",
		"GROUP --absent shop":           "",
		"USER ann":                      "",
		"USER --uid 1000 --group ann --shell /bin/sh --comment Ann --home /home/ann ann": "",
		"USER --group 1000 --groups adm,www ann":                                         "",
		"USER --group adm ann":                                                           "usermod -g adm ann",
		"USER --shell bash --comment 'Ann Lee' ann":                                      "usermod -c Ann Lee -s bash ann",
		"USER --groups www ann":                                                          "usermod -G www ann",
		"USER --append --groups www ann":                                                 "",
		"USER --append --groups db,www ann":                                              "usermod -G adm,db,www ann",
		"USER --uid 850 --group shop --groups docker,adm bob":                            "useradd -u 850 -g shop -G docker,adm -m bob",
		"USER --system bob":                                                              "useradd -r -M bob",
		"USER --no-home bob":                                                             "useradd -M bob",
		"USER --absent bob":                                                              "",
		"USER --absent --remove-home ann":                                                "userdel -r ann",
	} {
		if got := h.calls(text); got != want {
			t.Errorf("%s called %q, want %q", text, got, want)
		}
	}
}

func TestAccountFailures(t *testing.T) {
	h := accounts(t)
	h.write("broken", "")
	h.refuses("USER bob", "useradd: cannot lock /etc/passwd (exit status 1)")
	h.refuses("GROUP {{ '-x' }}", "is no name of a group")
	h.refuses("USER --comment {{ 'a:b' }} bob", "neither colons")
	h.tool("getent", "exit 3")
	h.refuses("USER bob", "getent: exit status 3")
	for _, text := range []string{"-- -x", "--absent --uid 5 x", "--remove-home x", "--append x", "--uid -5 x", "a b"} {
		if _, err := tryParse(t, "USER", text); err == nil {
			t.Errorf("USER %s: parsed", text)
		}
	}
	t.Setenv("PATH", h.dir)
	h.refuses("USER some-new-user", "USER needs useradd, which this host does not have")
	h.refuses("GROUP some-new-group", "GROUP needs groupadd, which this host does not have")
}

// TestAccountsOfAnotherSystem uses the machine's own tools on files of a directory.
func TestAccountsOfAnotherSystem(t *testing.T) {
	if os.Getuid() != 0 || requireTool("", "useradd") != nil || requireTool("", "groupmod") != nil {
		t.Skip("needs root and the tools of shadow-utils")
	}
	h := newHost(t)
	h.ok("WORKDIR r/etc", "WORKDIR r/home")
	for _, name := range []string{"passwd", "shadow", "group", "gshadow"} {
		h.write("r/etc/"+name, "")
	}
	h.settles("GROUP --root r --gid 1850 shop")
	h.settles("GROUP --root r www")
	h.settles("USER --root r --no-home --uid 1850 --group shop --groups www --comment 'The shop' shop")
	h.settles("USER --root r --shell /bin/bash --groups {{ '' }} shop")
	if got := h.read("r/etc/passwd"); got != "shop:x:1850:1850:The shop:/home/shop:/bin/bash\n" {
		t.Errorf("%q", got)
	}
	h.settles("GROUP --root r --gid 1851 shop")
	h.settles("USER --root r --absent shop")
	h.settles("GROUP --root r --absent www")
	if got := h.read("r/etc/passwd"); got != "" {
		t.Errorf("%q", got)
	}
}

// FuzzAccounts: what is found of a name is an entry of that name.
func FuzzAccounts(f *testing.F) {
	f.Add("a:x:1:b,c\n:::\na:x:2:\r\n", "a")
	f.Fuzz(func(t *testing.T, text, name string) {
		for database, n := range map[string]int{"passwd": 7, "group": 4} {
			if fields := accountFields(text, database, name); fields != nil && (len(fields) != n || fields[0] != name) {
				t.Fatalf("%q in %q: %q", name, text, fields)
			}
		}
		if all := memberships(text, name); !slices.IsSorted(all) {
			t.Fatalf("%q", all)
		}
	})
}
