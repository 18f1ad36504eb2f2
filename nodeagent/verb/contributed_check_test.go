package verb

import (
	"strings"
	"testing"
)

func TestCheckOfContributed(t *testing.T) {
	h := newHost(t)
	h.tool("podman", `case "$*" in
*"image inspect"*" here") echo 1 ;; *"image inspect"*" also") echo 2 ;; *"image exists odd") exit 125 ;; *"image exists gone") exit 1 ;; *"image exists"*) ;;
*"pod inspect"*" up") echo Running ;; *"pod inspect"*" down") echo Exited ;; *) echo "no such pod" >&2; exit 125 ;; esac`)
	h.expect("CONTAINER_IMAGE --pull here gone", WouldChange, "pull gone")
	h.expect("CONTAINER_IMAGE --pull here", CannotTell, "newer")
	h.expect("CONTAINER_IMAGE --pull odd", CannotTell, "exit status 125")
	h.expect("CONTAINER_IMAGE --tag here also", WouldChange, "tag here as also")
	h.expect("CONTAINER_IMAGE --tag here here", Unchanged)
	h.expect("CONTAINER_IMAGE --tag gone also", WouldFail, "no image gone")
	h.expect("CONTAINER_IMAGE --push here", WouldChange, "push here")
	h.expect("CONTAINER_IMAGE --push gone", WouldFail, "no image gone")
	h.expect("CONTAINER_IMAGE --inspect here", Unchanged)
	h.expect("CONTAINER_IMAGE --list", Unchanged)
	h.expect("POD --start up", Unchanged)
	h.expect("POD --start down", WouldChange, "start down, which is Exited")
	h.expect("POD --stop up", WouldChange)
	h.expect("POD --stop down", Unchanged)
	h.expect("POD --rm down", WouldChange)
	h.expect("POD --kill gone", WouldFail, "no such pod")
	h.expect("POD --play f", CannotTell)
	h.expect("POD --exec-run up --command ls", CannotTell)
	for line := range strings.Lines(h.read("log")) {
		if !strings.Contains(line, " inspect --format ") && !strings.Contains(line, " image exists ") {
			t.Errorf("the checks ran %s", line)
		}
	}
	h.tool("facter", `echo '{"os": 1}'`)
	h.expect("FACTER", WouldChange, "1 facts")
	h.expect("FACTER --external-dir d", CannotTell, "programs")
	h.settles("FACTER")
	h.ok("WORKDIR configs")
	h.write("configs/a.json", `{"image": "a"}`)
	h.expect("CONTAINER_CONFIG_DATA --config-path none", WouldFail)
	h.settles("CONTAINER_CONFIG_DATA --config-path configs")
}

// A pod that is as it is to be is unchanged.
func TestPodTellsWhatChanged(t *testing.T) {
	h := newHost(t)
	h.tool("podman", `case "$*" in *"pod inspect"*) cat state ;; *"pod start"*) echo Running >state ;; *"pod stop"*) echo Exited >state ;; esac`)
	h.write("state", "Created\n")
	for _, c := range []struct {
		text    string
		changed bool
	}{
		{"--stop p", false}, {"--start p", true}, {"--start p", false}, {"--inspect p", false},
		{"--stop p", true}, {"--stop p", false}, {"--rm p", true}, {"--play f", true},
	} {
		h.newRun()
		if res := h.do("POD --skip-cache " + c.text); res.Outcome != Succeeded || res.Changed != c.changed {
			t.Errorf("%s: changed %v, want %v: %+v", c.text, res.Changed, c.changed, res)
		}
	}
}

// A rule that is there as it is to be is left alone.
func TestSecontextTellsWhatChanged(t *testing.T) {
	h := newHost(t)
	h.tool("semanage", `case "$*" in *--list*) printf '%-20s %-18s %s\n' /s 'all files' system_u:object_r:t:s0 /d directory system_u:object_r:t:s0:c1,c2 ;; esac`)
	for _, c := range []struct {
		text    string
		changed string
	}{
		{"/s --setype t", ""}, {"/s --setype t --ftype a --selevel s0 --seuser system_u", ""},
		{"/d --setype t --ftype d --selevel s0:c1,c2", ""},
		{"/s --setype u", "change the context of /s, which is system_u:object_r:t:s0"},
		{"/s --setype t --selevel s1", "change the context"}, {"/s --setype t --seuser root", "change the context"},
		{"/d --setype t", "add the type t for /d"}, {"/s --setype t --reload", "load the policy anew"},
	} {
		h.newRun()
		want := Unchanged
		if c.changed != "" {
			want = WouldChange
		}
		h.expect("SECONTEXT "+c.text, want, c.changed)
		if res := h.do("SECONTEXT --skip-cache " + c.text); res.Outcome != Succeeded || res.Changed != (c.changed != "") {
			t.Errorf("%s: %+v", c.text, res)
		}
	}
	h.tool("selinuxenabled", "exit 1")
	h.expect("SECONTEXT /x --setype t", Unchanged, "disabled")
}
