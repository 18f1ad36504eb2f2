package verb

import (
	"slices"
	"strings"
	"testing"
)

func TestCronFile(t *testing.T) {
	h := newHost(t)
	h.ok("WORKDIR cron.d")
	const head = "CRON --directory cron.d --name backup "
	h.settles(head + "--schedule '15  3 * * mon-fri' /bin/backup --timeout 5 --name x")
	if got := h.read("cron.d/backup"); got != "# quorate: backup\n15 3 * * mon-fri root /bin/backup --timeout 5 --name x\n" || h.mode("cron.d/backup") != "0644" {
		t.Errorf("%q, mode %s", got, h.mode("cron.d/backup"))
	}
	h.settles(head + "--user shop --schedule @daily echo {{ 1 + 1 }}")
	if got := h.read("cron.d/backup"); got != "# quorate: backup\n@daily shop echo 2\n" {
		t.Errorf("%q", got)
	}
	h.settles(head + "--absent")
	if h.read("cron.d/backup") != "absent" {
		t.Error("an empty file is left")
	}
	h.refuses("CRON --directory cron.d --name a.b --absent", "cron reads no file")
	h.refuses("CRON --directory none --name a --schedule @daily x", "no directory")
	h.refuses(head+"--schedule '{{ 1 }}' x", "five fields")
	for _, text := range []string{"--schedule @daily x", "--name a x", "--name a --schedule @daily", "--name a --schedule @often x", "--name a --absent x"} {
		if _, err := tryParse(t, "CRON", text); err == nil {
			t.Errorf("CRON %s: parsed", text)
		}
	}
}

func TestCronOfAUser(t *testing.T) {
	h := newHost(t)
	t.Setenv("QDIR", h.dir)
	h.tool("crontab", `case "$3" in
-l) cat "$QDIR/tab" 2>/dev/null || { echo "no crontab for $2" >&2; exit 1; } ;;
*) grep -q bad "$3" && { echo "bad minute" >&2; exit 1; }; cp "$3" "$QDIR/tab" ;; esac`)
	h.settles("CRON --crontab ann --name a --schedule @hourly true")
	h.write("tab", "MAILTO=ann\n"+h.read("tab")+"# end\n")
	h.settles("CRON --crontab ann --name a --schedule '*/5 * * * *' true")
	if got := h.read("tab"); got != "MAILTO=ann\n# quorate: a\n*/5 * * * * true\n# end\n" {
		t.Errorf("%q", got)
	}
	h.refuses("CRON --crontab ann --name b --schedule @hourly bad", "bad minute")
	h.settles("CRON --crontab ann --name a --absent")
	if got := h.read("tab"); got != "MAILTO=ann\n# end\n" {
		t.Errorf("%q", got)
	}
	h.tool("crontab", "echo 'not allowed' >&2; exit 1")
	h.refuses("CRON --crontab ann --name a --absent", "not allowed")
	t.Setenv("PATH", h.dir)
	h.refuses("CRON --crontab ann --name a --absent", "needs crontab")
}

func TestSchedules(t *testing.T) {
	for _, s := range []string{"* * * * *", "*/5 0-23/2 1,15 jan-mar,12 Mon", "0 0 1 1 0", "@reboot"} {
		if err := checkSchedule(s); err != nil {
			t.Errorf("%q: %v", s, err)
		}
	}
	for _, s := range []string{"", "* * * *", "* * * * * *", "@never", "60m * * * *", "a;b * * * *", "*/ * * * *", "1, * * * *"} {
		if checkSchedule(s) == nil {
			t.Errorf("%q is taken for a schedule", s)
		}
	}
}

// FuzzSetCron: an entry that was put in is there once, the lines of others stay, and
// taking it out again leaves nothing of it.
func FuzzSetCron(f *testing.F) {
	f.Add("MAILTO=a\n# quorate: n\n* * * * * x\n", "n", "@daily y")
	f.Add("# quorate: n\n# quorate: n\n", "n", "x")
	f.Fuzz(func(t *testing.T, text, name, entry string) {
		if !cronName.MatchString(name) || entry == "" || strings.ContainsAny(text+entry, "\r") || strings.ContainsAny(entry, "\n") || entry[0] == '#' {
			return
		}
		once := setCron(text, name, entry)
		if twice := setCron(once, name, entry); twice != once {
			t.Fatalf("%q becomes %q, and then %q", text, once, twice)
		}
		lines, _ := splitLines(once)
		i := slices.Index(lines, cronMark+name)
		if i < 0 || i+1 == len(lines) || lines[i+1] != entry || slices.Contains(lines[i+1:], cronMark+name) {
			t.Fatalf("%q becomes %q", text, once)
		}
		lines, _ = splitLines(setCron(once, name, ""))
		if slices.Contains(lines, cronMark+name) {
			t.Fatalf("%q keeps the entry", once)
		}
	})
}
