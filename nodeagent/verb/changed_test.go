package verb

import (
	"strings"
	"testing"
)

// What is as the job wants it counts as unchanged, although the job is done.
func TestToolsReportChanges(t *testing.T) {
	h := newHost(t)
	h.tool("systemctl", `case $1 in
is-*) cat "$1" ;;
start) echo active > is-active ;;
stop) echo inactive > is-active ;;
enable) echo enabled > is-enabled ;;
mask) echo masked > is-enabled ;;
esac`)
	h.tool("rpm", "cat packages")
	h.tool("dnf", `for last; do :; done; grep -qx "$last" packages || echo "$last" >> packages`)
	h.tool("podman", `case "$*" in *inspect*) cat image;; *) echo new > image;; esac`)
	h.write("is-active", "inactive\n")
	h.write("is-enabled", "disabled\n")
	h.write("packages", "")
	for i, c := range []struct {
		text    string
		changed bool
	}{
		{"SERVICE --enable u", true},
		{"SERVICE --enable u", false},
		{"SERVICE u", false},
		{"SERVICE --restarted u", true},
		{"SERVICE --mask --stopped u", true},
		{"SERVICE --mask --stopped u", false},
		{"SERVICE --daemon-reload --mask u", true},
		{"DNF a", true},
		{"DNF a", false},
		{"DNF --latest --exclude x,{{ 'y' }} b", true},
		{"CONTAINER_IMAGE --pull a", true}, // there is none before
		{"CONTAINER_IMAGE --pull a", false},
		{"CONTAINER_IMAGE --push a", true},
		{"RUN true", true},
		{"RUN --read-only true", false},
	} {
		h.newRun()
		verb, text, _ := strings.Cut(c.text, " ")
		res := h.do(verb + " --skip-cache " + text)
		if res.Outcome != Succeeded || res.Changed != c.changed {
			t.Errorf("%d: %s: changed %v, want %v: %+v", i, c.text, res.Changed, c.changed, res)
		}
	}
	if res := h.do("RUN --read-only --skip-cache false"); res.Outcome != Failed || !res.Changed {
		t.Errorf("a reader that fails may have done anything: %+v", res)
	}
	if !strings.Contains(h.read("log"), "--exclude=x,y") {
		t.Errorf("an option is no template:\n%s", h.read("log"))
	}
}

// An owner may be an argument of the host.
func TestRenderedOwner(t *testing.T) {
	h := newHost(t)
	h.ok("RUN --stdout-arg owner id -u", "RUN --stdout-arg group id -g")
	src := h.file("f", "x")
	for _, text := range []string{"ADD " + src + " g --chown {{ owner }}:{{ group }} --chmod 0640", "WORKDIR --chown {{ owner }} d"} {
		if res := h.do(text); res.Outcome != Succeeded {
			t.Errorf("%s: %+v", text, res)
		}
	}
	if res := h.do("WORKDIR --chown {{ nobody_said }} d"); res.Outcome != Failed || !strings.Contains(res.Info, "nobody_said") {
		t.Errorf("%+v", res)
	}
}
