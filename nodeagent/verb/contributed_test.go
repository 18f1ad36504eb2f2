package verb

import (
	"strings"
	"testing"
)

// Each verb is one call of its tool, which a stand-in records.
func TestContributedTools(t *testing.T) {
	for text, want := range map[string]string{
		"POD --start p":                                             "podman pod start p\n",
		"POD --stop p --timeout 7":                                  "podman pod stop --time 7 p\n",
		"POD --rm p --force":                                        "podman pod rm --force p\n",
		"POD --kill p":                                              "podman pod kill --signal SIGKILL p\n",
		"POD --kill p --kill-signal SIGHUP":                         "podman pod kill --signal SIGHUP p\n",
		"POD --inspect p --socket-path /s":                          "podman --remote --url unix:///s pod inspect p\n",
		"POD --play p.yaml --no-tlsverify":                          "podman play kube --tls-verify=false p.yaml\n",
		"POD --exec-run c --command ls x --env A=1,B=2":             "podman container exec --env A=1 --env B=2 c ls x\n",
		"POD --exec-run c --command ls --privileged":                "podman container exec --privileged c ls\n",
		"CONTAINER_IMAGE --pull a b --no-tlsverify":                 "podman image pull --tls-verify=false a\npodman image pull --tls-verify=false b\n",
		"CONTAINER_IMAGE --push a":                                  "podman image push a\n",
		"CONTAINER_IMAGE --tag a b:1":                               "podman image tag a b:1\n",
		"CONTAINER_IMAGE --list":                                    "podman image list --format json\n",
		"CONTAINER_IMAGE --inspect a b":                             "podman image inspect a b\n",
		"SECONTEXT /srv(/.*)? --setype t":                           "selinuxenabled \nsemanage fcontext --add --type t --noreload /srv(/.*)?\n",
		"SECONTEXT /s --setype t --ftype d --selevel s0 --seuser u": "selinuxenabled \nsemanage fcontext --add --type t --ftype d --range s0 --seuser u --noreload /s\n",
		"SECONTEXT /s --setype t --reload":                          "selinuxenabled \nsemanage fcontext --add --type t /s\n",
		"FACTER --custom-dir /c --external-dir /e":                  "facter --json --custom-dir /c --external-dir /e\n",
	} {
		t.Run(text, func(t *testing.T) {
			h := newHost(t)
			h.tool("podman", "")
			h.tool("semanage", "")
			h.tool("selinuxenabled", "")
			h.tool("facter", `echo '{}'`)
			if h.ok(text); orders(h) != want {
				t.Errorf("called\n%swant\n%s", h.read("log"), want)
			}
		})
	}
}

func TestContributedOptions(t *testing.T) {
	for verb, texts := range map[string][]string{
		"POD":             {"", "--start a --stop b", "--exec-run c"},
		"CONTAINER_IMAGE": {"--pull", "--tag a", "--list a", "a"},
		"SECONTEXT":       {"/a", "/a --setype t --ftype x"},
		"REBOOT":          {"", "soon"},
		"QUERY":           {"{{ k }}"},
		"JOB_WAIT":        {"fp"},
	} {
		for _, text := range texts {
			if p, err := tryParse(t, verb, text); err == nil {
				t.Errorf("%s %s is taken as %+v", verb, text, p.Job)
			}
		}
	}
}

func TestMissingContributedTools(t *testing.T) {
	h := newHost(t)
	t.Setenv("PATH", h.dir)
	for text, tool := range map[string]string{
		"FACTER": "facter", "POD --start p": "podman", "CONTAINER_IMAGE --list": "podman", "SECONTEXT /a --setype t": "semanage",
	} {
		res := h.do(text)
		if want := strings.Fields(text)[0] + " needs " + tool + ", which this host does not have"; res.Outcome != Failed || res.Info != want {
			t.Errorf("%s: %q, want %q", text, res.Info, want)
		}
	}
}

// Trap 18: what facter finds out is one argument beside the others.
func TestFacterKeepsOtherArguments(t *testing.T) {
	h := newHost(t)
	h.tool("facter", `echo '{"os": {"name": "Rocky", "release": {"major": "9"}}, "processors": 4, "up": true}'`)
	h.ok("ARG mine 1", "FACTER")
	if got := h.ok(`RUN echo "{{ facter.os.name }} {{ facter.processors + 1 }} {{ facter.up }} {{ mine }}"`); got != "Rocky 5 True 1" {
		t.Errorf("printed %q", got)
	}
	h.tool("facter", "echo '{'; echo no >&2; exit 3")
	h.newRun()
	if res := h.do("FACTER --skip-cache"); res.Outcome != Failed || res.Exit != 3 || !strings.Contains(string(res.Stderr.Head), "no") {
		t.Errorf("a facter that fails: %+v", res)
	}
	if h.arg("mine") != "1" || !strings.Contains(h.arg("facter"), "Rocky") {
		t.Errorf("after the failure: %s, %s", h.arg("mine"), h.arg("facter"))
	}
}

// What facter prints may be longer than what is kept of an output.
func TestFacterPrintsMuch(t *testing.T) {
	h := newHost(t)
	h.tool("facter", `printf '{"a": "'; head -c 200000 /dev/zero | tr '\0' x; echo '"}'`)
	h.ok("FACTER")
	if got := h.ok(`RUN echo {{ facter.a | length }}`); got != "200000" {
		t.Errorf("%s characters", got)
	}
}

func TestContainerConfigData(t *testing.T) {
	h := newHost(t)
	h.ok("WORKDIR configs")
	h.write("configs/b.json", `{"image": "b", "ports": [1]}`)
	h.write("configs/a.json", `{"image": "a"}`)
	h.write("configs/other.txt", `no`)
	h.ok("CONTAINER_CONFIG_DATA --config-path configs")
	if got := h.arg("configs"); got != "{'a.json': {'image': 'a'}, 'b.json': {'image': 'b', 'ports': [1]}}" {
		t.Errorf("configs %s", got)
	}
	h.write("configs/a.json", `{"image": "a2"}`)
	p := parse(t, "CONTAINER_CONFIG_DATA", "--config-path configs --config-overrides={'b':{'image':'x'}}")
	if res := Execute(t.Context(), h.env(7), &p.Job); res.Outcome != Succeeded || !res.Changed {
		t.Fatalf("%+v", res)
	}
	if got := h.arg("configs"); got != "{'a.json': {'image': 'a2'}, 'b.json': {'image': 'x', 'ports': [1]}}" {
		t.Errorf("with overrides %s", got)
	}
	for _, text := range []string{"--config-path nowhere", "--config-path configs --config-pattern *.txt"} {
		if res := h.do("CONTAINER_CONFIG_DATA " + text); res.Outcome != Failed {
			t.Errorf("%s: %+v", text, res)
		}
	}
	h.ok("CACHEEVICT configs")
	if res := h.do("RUN echo {{ configs }}"); res.Outcome != Failed {
		t.Errorf("after the eviction: %+v", res)
	}
}

// A rule that is there is changed; where SELinux is off there is nothing to do.
func TestSecontext(t *testing.T) {
	h := newHost(t)
	h.tool("semanage", `case "$*" in *--add*) echo "already defined" >&2; exit 1;; esac`)
	h.ok("SECONTEXT /s --setype t")
	if want := "semanage fcontext --add --type t --noreload /s\nsemanage fcontext --modify --type t --noreload /s\n"; orders(h) != want {
		t.Errorf("called\n%s", h.read("log"))
	}
	h = newHost(t)
	h.tool("selinuxenabled", "exit 1")
	h.tool("semanage", "exit 1")
	if res := h.do("SECONTEXT /s --setype t"); res.Outcome != Succeeded || res.Changed || res.Info == "" {
		t.Errorf("without SELinux: %+v", res)
	}
	h = newHost(t)
	h.tool("semanage", "echo bad >&2; exit 2")
	if res := h.do("SECONTEXT /s --setype t"); res.Outcome != Failed || res.Exit != 2 || !strings.HasPrefix(res.Info, "semanage fcontext") {
		t.Errorf("a semanage that fails: %+v", res)
	}
}

// The first image that fails ends the job, and options are templates like the text.
func TestImagesAndTemplates(t *testing.T) {
	h := newHost(t)
	h.tool("podman", `case "$*" in *bad*) exit 125;; esac`)
	h.ok("ARG registry r.example")
	res := h.do("CONTAINER_IMAGE --pull {{ registry }}/a bad c")
	if res.Outcome != Failed || res.Exit != 125 || res.Info != "podman image pull bad: exit status 125" {
		t.Errorf("%+v", res)
	}
	h.ok("POD --play {{registry}}.yaml")
	if want := "podman image pull r.example/a\npodman image pull bad\npodman play kube r.example.yaml\n"; orders(h) != want {
		t.Errorf("called\n%swant\n%s", h.read("log"), want)
	}
}
