package verb

import (
	"regexp"
	"strings"
	"testing"
)

func TestLine(t *testing.T) {
	for _, tc := range []struct{ name, before, job, want string }{
		{"at the end", "a\nb\n", "--line c", "a\nb\nc\n"},
		{"no line end at the end", "a\nb", "--line c", "a\nb\nc"},
		{"an empty file", "", "--line c", "c\n"},
		{"CRLF stays", "a\r\nb\r\n", "--line c", "a\r\nb\r\nc\r\n"},
		{"replaces the last match", "x 1\nx 2\ny\n", "--regexp '^x ' --line 'x 3'", "x 1\nx 3\ny\n"},
		{"no match", "y\n", "--regexp '^x ' --line 'x 3'", "y\nx 3\n"},
		{"after", "a\nb\na\nb\n", "--after ^a --line c", "a\nb\na\nc\nb\n"},
		{"before", "a\nb\n", "--before ^b --line c", "a\nc\nb\n"},
		{"before nothing", "a\nb\n", "--before ^z --line c", "a\nb\nc\n"},
		{"first", "a\n", "--first --line c", "c\na\n"},
		{"absent line", "a\nb\na\n", "--absent --line a", "b\n"},
		{"absent by expression", "a1\nb\na2", "--absent --regexp ^a", "b"},
		{"the last line goes", "a\n", "--absent --line a", ""},
		{"a block", "a\n", "--marker m --block 'x\ny'", "a\n# BEGIN quorate m\nx\ny\n# END quorate m\n"},
		{"a block is replaced", "a\n# BEGIN quorate m\nx\n# END quorate m\nb\n", "--marker m --block 'z\n'", "a\n# BEGIN quorate m\nz\n# END quorate m\nb\n"},
		{"another block stays", "# BEGIN quorate n\n# END quorate n\n", "--marker m --block z --comment ;;", "# BEGIN quorate n\n# END quorate n\n;; BEGIN quorate m\nz\n;; END quorate m\n"},
		{"absent block", "a\n# BEGIN quorate m\nx\n# END quorate m\nb\n", "--marker m --absent", "a\nb\n"},
		{"a block before a line", "a\nb\n", "--before ^b --block z", "a\n# BEGIN quorate default\nz\n# END quorate default\nb\n"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			h := newHost(t)
			h.write("f", tc.before)
			h.settles("LINE f " + tc.job)
			if got := h.read("f"); got != tc.want {
				t.Errorf("%q, want %q", got, tc.want)
			}
		})
	}
}

func TestLineLeavesAlone(t *testing.T) {
	h := newHost(t)
	for _, tc := range [][2]string{
		{"a\nc\nb\n", "--line c --first"},
		{"x 3\nx 1\n", "--regexp '^x ' --line 'x 3'"},
		{"a\n", "--absent --line b"},
		{"a\n", "--absent --marker m"},
	} {
		h.write("f", tc[0])
		h.settled("LINE f " + tc[1])
	}
	h.settled("LINE missing --absent --line b")
}

func TestLineFiles(t *testing.T) {
	h := newHost(t)
	h.refuses("LINE f --line a", "--create makes it")
	h.settles("LINE --create --chmod 0600 'my file' --line '{{ 1 + 1 }} = two'")
	if h.read("my file") != "2 = two\n" || h.mode("my file") != "0600" {
		t.Errorf("%q, mode %s", h.read("my file"), h.mode("my file"))
	}
	h.settles("LINE --chmod 0644 'my file' --line '2 = two'")
	h.refuses("LINE no/f --create --line a", "no directory")
	h.refuses("LINE 'my file' --line \"{{ 'a\nb' }}\"", "line breaks")
	for _, broken := range []string{"# BEGIN quorate m\n", "# END quorate m\n", "# BEGIN quorate m\n# BEGIN quorate m\n# END quorate m\n"} {
		h.write("f", broken)
		h.refuses("LINE f --marker m --block a", "line ")
	}
	for _, text := range []string{"f", "f --absent", "f --line a --block b", "f --line a --regexp (", "f --line a --after x --before y", "f g --line a"} {
		if _, err := tryParse(t, "LINE", text); err == nil {
			t.Errorf("LINE %s: parsed", text)
		}
	}
}

// FuzzLine: a second edit changes nothing, and an absent line is absent.
func FuzzLine(f *testing.F) {
	f.Add("a\nb\n", "c", "^a", uint8(0))
	f.Add("a\r\nb", "", "", uint8(7))
	f.Add("\r\n\n", "", "", uint8(17)) // lines that end in different ways
	f.Add("x\na\r\n", "", "^x|^a$", uint8(5))
	f.Add("# BEGIN quorate default\n# END quorate default\n", "x\ny", "b", uint8(8))
	f.Fuzz(func(t *testing.T, text, add, expression string, how uint8) {
		re, err := regexp.Compile(expression)
		if err != nil || len(text) > 1<<12 {
			return
		}
		e := &lineEdit{absent: how&1 > 0, first: how&2 > 0}
		if how&4 > 0 {
			e.regexp = re
		}
		if how&16 > 0 {
			e.after = re
		}
		if how&8 > 0 {
			e.begin, e.end = "# BEGIN quorate default", "# END quorate default"
			e.block = strings.Split(add, "\n")
		} else if e.line = add; strings.ContainsAny(add, "\r\n") {
			return
		}
		once, err := e.edit(text)
		if err != nil {
			return
		}
		twice, err := e.edit(once)
		if err != nil || twice != once {
			t.Fatalf("%q becomes %q, and then %q, %v", text, once, twice, err)
		}
	})
}
