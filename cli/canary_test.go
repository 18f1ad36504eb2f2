package cli

import (
	"bytes"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"quorate/engine/api"
)

// A canary is a secret of a host, in the forms in which it may turn up.
type canary struct {
	host, text string
	forms      map[string]string
}

func newCanary(host string) canary {
	text := `Kä+"7/<` + host + `>%canary&4711`
	quoted, _ := json.Marshal(text)
	return canary{host, text, map[string]string{
		"raw": text, "base64": base64.RawStdEncoding.EncodeToString([]byte(text)), "hex": hex.EncodeToString([]byte(text)),
		"url": url.QueryEscape(text), "path": url.PathEscape(text), "json": string(quoted[1 : len(quoted)-1]),
		"python": strings.ReplaceAll(strings.ReplaceAll(text, `"`, `\"`), "ä", `\u00e4`),
		"cli":    strings.ReplaceAll(string(quoted[1:len(quoted)-1]), "ä", `\u00e4`),
	}}
}

// found names the form in which the canary is somewhere, or "".
func (c *canary) found(in []byte) string {
	for name, form := range c.forms {
		if bytes.Contains(in, []byte(form)) {
			return c.host + " " + name
		}
	}
	return ""
}

// own reports whether a file is of the host's agent alone: its memory, of which jobs are
// rendered, the copies of it for rehearsals, and what its commands wrote.
func (c *canary) own(name string) bool {
	for _, part := range []string{"facts", "rehearsals/", "jobs/"} {
		if strings.HasPrefix(name, c.host+"/"+part) {
			return true
		}
	}
	return false
}

// canaryFiles are a deployment whose secrets, which are on the hosts alone, go every way
// that a job has, and which is wrong in some.
func canaryFiles() map[string]string {
	return map[string]string{
		"services/web.yaml": `id: web
version: "1.0"
type: service
tasks:
  - id: learn
    driver: directord
    provides: [web.learn]
    jobs:
      - RUN: --secret --stdout-arg password cat secret
      - ARG: "--secret login {'user': 'ann', 'password': '{{ password }}'}"
  - id: use
    driver: directord
    provides: [web.use]
    requires: [web.learn]
    always: true
    jobs:
      - RUN: 'echo public-canary; cat secret; cat secret >&2'
      - RUN: "echo '{{ password }}' '{{ login.password }}'"
      - RUN: 'base64 -w0 secret; od -An -vtx1 secret | tr -d " \n"'
      - RUN: "echo '{{ password | urlencode }}' '{{ password | tojson }}'"
      - ECHO: "{{ password }}"
      - ENV: "--secret TOKEN '{{ password }}'"
      - RUN: 'echo "$TOKEN"'
      - ADD: --blueprint conf rendered
      - WORKDIR: "of-{{ password | length }}"
  - id: hold
    driver: directord
    provides: [web.hold]
    requires: [web.use]
    jobs:
      - RUN: 'cat secret; echo there >> $EFFECTS; $HOLD; cat secret'
  - id: fail
    driver: directord
    requires: [web.hold]
    jobs:
      - RUN: "echo '{{ password }}' >&2; ls '/nowhere/{{ password }}'; exit 3"
  - id: ask
    driver: directord
    requires: [web.hold]
    jobs:
      - RUN: --stdout-arg copied cat secret
      - RUN: "--stdout-arg dsn printf db://ann:; cat secret"
      - QUERY: dsn
`,
		"services/conf":  "user = ann\npassword = {{ password }}\n",
		"inventory.yaml": "hosts:\n  host-1: {role: web}\n  edge-1: {role: web}\n",
		"roles.yaml":     "web:\n  services: [web]\n",
	}
}

// What is secret on a host stays there, in whatever form a job prints it, whether the job
// succeeds, fails, is rehearsed, or outlives its agent: nothing that the log, an
// orchestrator, a relay, or another agent keeps holds it, and nothing that a command shows.
// Nor does any of them keep what a token or an identity was issued with.
func TestSecretsStayOnTheirHost(t *testing.T) {
	t.Parallel()
	s := newSite(t, logRaft, canaryFiles(), "host-1")
	s.atSite("edge-1")
	var canaries []canary
	for _, host := range []string{"host-1", "edge-1"} {
		c := newCanary(host)
		canaries = append(canaries, c)
		if err := os.WriteFile(filepath.Join(s.dir, host, "root", "secret"), []byte(c.text+"\n"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	issued, err := s.client.CreateOperator(t.Context(), api.OperatorCreate{Name: "alice"})
	if err != nil {
		t.Fatal(err)
	}
	token, err := s.client.CreateToken(t.Context(), api.TokenCreate{Name: "later", Role: roleAgent, TTLSeconds: 600})
	if err != nil {
		t.Fatal(err)
	}
	key := issued.Bundle[strings.Index(issued.Bundle, "PRIVATE KEY-----\n")+len("PRIVATE KEY-----\n"):]
	canaries = append(canaries, canary{"token", token.Token, map[string]string{"raw": token.Token[len(token.Token)-20:]}},
		canary{"identity", key, map[string]string{"raw": key[:60]}})

	var shown bytes.Buffer
	show := func(args ...string) *command {
		cmd := s.command(args...)
		cmd.code()
		fmt.Fprintf(&shown, "\n$ %v\n%s%s", args, &cmd.out, &cmd.err)
		return cmd
	}
	hold := filepath.Join(s.dir, "hold")
	if err := os.WriteFile(hold, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	apply := s.command(append([]string{"apply"}, s.sources()...)...)
	eventually(t, "the jobs that are held", func() bool {
		select {
		case <-apply.done:
			t.Fatalf("it ended before: %s", apply)
		default:
		}
		text, _ := os.ReadFile(filepath.Join(s.dir, "effects"))
		return strings.Count(string(text), "there") == 2
	})
	s.kill("host-1", "edge-1") // their jobs go on
	s.restart("host-1", "edge-1")
	s.connected("host-1", "edge-1")
	if err := os.Remove(hold); err != nil {
		t.Fatal(err)
	}
	if code := apply.code(); code == 0 {
		t.Errorf("what has to fail succeeded: %s", apply)
	}
	fmt.Fprintf(&shown, "\n%s", apply)
	show(append([]string{"apply"}, s.sources()...)...)
	show(append([]string{"apply", "--check"}, s.sources()...)...)
	show(append([]string{"plan"}, s.sources()...)...)
	show("run", "show", "1", "-o", "json")
	show("run", "timeline", "1", "-o", "json")
	for _, host := range []string{"host-1", "edge-1"} {
		show("agent", "facts", host, "-o", "json")
		show("run", "output", "1", "--host", host)
	}
	bundle := filepath.Join(s.dir, "bundle")
	show("audit", "export", "--file", bundle)
	log := show("log", "ls", "-o", "ndjson")
	if !strings.Contains(log.out.String(), "public-canary") && !strings.Contains(log.out.String(), base64.StdEncoding.EncodeToString([]byte("public-canary"))[:12]) {
		t.Errorf("the log shows no output, so that nothing is shown by what it does not show:\n%s", log)
	}
	for _, c := range canaries {
		if form := c.found(shown.Bytes()); form != "" {
			t.Errorf("%s is shown:\n%s", form, around(shown.Bytes(), c))
		}
	}
	if !strings.Contains(shown.String(), "dsn is secret here") {
		t.Error("nothing tells that a secret was asked for")
	}
	s.scan(t, canaries)
}

// scan looks into every file of every process.
func (s *site) scan(t *testing.T, canaries []canary) {
	seen := 0
	err := filepath.WalkDir(s.dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() {
			return nil // files come and go, sockets are none
		}
		name, err := filepath.Rel(s.dir, path)
		if err != nil {
			return err
		}
		if host, in, _ := strings.Cut(name, "/"); in == "root/secret" || in == "root/rendered" || host == "input" {
			return nil // where it belongs
		}
		content, err := os.ReadFile(path)
		if err != nil {
			return nil
		}
		seen++
		for _, c := range canaries {
			form := c.found(content)
			if form != "" && c.own(name) {
				if info, err := d.Info(); err == nil && info.Mode().Perm()&0o077 != 0 {
					t.Errorf("%s holds %s, and has the mode %s", name, form, info.Mode())
				}
				continue
			}
			if form != "" {
				t.Errorf("%s holds %s: %s", name, form, around(content, c))
			}
		}
		return nil
	})
	if err != nil || seen < 30 {
		t.Errorf("looked into %d files, %v", seen, err)
	}
}

// around is what stands before and behind a canary.
func around(in []byte, c canary) string {
	for _, form := range c.forms {
		if i := bytes.Index(in, []byte(form)); i >= 0 {
			return fmt.Sprintf("%.300q", in[max(0, i-100):min(len(in), i+len(form)+100)])
		}
	}
	return ""
}
