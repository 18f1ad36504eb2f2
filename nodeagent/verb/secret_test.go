package verb

import (
	"context"
	"encoding/base64"
	"encoding/hex"
	"net/url"
	"path/filepath"
	"strings"
	"testing"

	"quorate/nodeagent/wire"
)

// shown is all that is reported of a job.
func shown(res Result) string {
	return res.Info + "\n" + string(res.Stdout.Head) + string(res.Stdout.Tail) + "\n" + string(res.Stderr.Head) + string(res.Stderr.Tail)
}

func TestSecretsAreHidden(t *testing.T) {
	h := newHost(t)
	h.ok("ARG --secret password tide-4711")
	h.ok("ARG --secret login {'user': 'ann', 'pin': 99887}")
	h.ok("ENV --secret TOKEN envtoken")
	h.write("key", "first line\nsecond line\n")
	if res := h.do("RUN --secret --stdout-arg key cat key"); strings.Contains(shown(res), "line") || res.Outcome != Succeeded {
		t.Errorf("%+v", res)
	}
	for _, text := range []string{
		"RUN echo {{ password }}", "RUN echo {{ login }} >&2", "RUN echo $TOKEN", "RUN echo '{{ key }}'", "RUN printf 'a\\n second line\\n'",
		"ECHO tide-4711", "ARG copied {{ password }}", "RUN echo {{ password }} {{ nope }}", "RUN exec tide-4711",
	} {
		got := shown(h.do(text))
		for _, secret := range []string{"tide-4711", "99887", "envtoken", "line\n"} {
			if strings.Contains(got, secret) {
				t.Errorf("%s shows %q:\n%s", text, secret, got)
			}
		}
	}
	if got := h.arg("key"); got != `'first line\nsecond line'` {
		t.Errorf("the secret itself is %s", got)
	}
	if res := h.ok("RUN echo user ann"); !strings.Contains(res, "user ann") {
		t.Errorf("what is too short to be hidden is: %s", res)
	}
	h.ok("ARG password tide-4711")
	if res := h.ok("RUN echo {{ password }} again"); !strings.Contains(res, "tide-4711") {
		t.Errorf("what is no secret any more is hidden: %s", res)
	}
}

// A secret that a program prints in another form is hidden, too.
func TestSecretsAreHiddenInOtherForms(t *testing.T) {
	h := newHost(t)
	h.ok(`ARG --secret password 'tïde/<47 11>&"x"+'`)
	h.ok("RUN true") // what follows prints it by itself
	const secret = `tïde/<47 11>&"x"+`
	for name, text := range map[string]string{
		"hex":            hex.EncodeToString([]byte(secret)),
		"HEX":            strings.ToUpper(hex.EncodeToString([]byte(secret))),
		"base64":         base64.StdEncoding.EncodeToString([]byte(secret)),
		"base64, behind": base64.StdEncoding.EncodeToString([]byte("user:" + secret + "\n")),
		"base64, within": base64.URLEncoding.EncodeToString([]byte("user" + secret + "more")),
		"query":          url.QueryEscape(secret),
		"path":           url.PathEscape(secret),
		"quote":          "t%C3%AFde/%3C47%2011%3E%26%22x%22%2B",
		"JSON":           `t\u00efde/<47 11>&\"x\"+`,
		"JSON for HTML":  `tïde/\u003c47 11\u003e\u0026\"x\"+`,
	} {
		res := h.env(0).hide(Result{Info: "it says " + text + " here", Stdout: output(text)})
		if got := shown(res); !strings.Contains(got, Hidden) || strings.Contains(got, text) || strings.Contains(got, "47") || strings.Contains(got, "343720") {
			t.Errorf("%s: of %s is shown\n%s", name, text, got)
		}
	}
	if got := h.env(0).hide(Result{Info: "tide/47"}).Info; got != "tide/47" {
		t.Errorf("what is no secret is shown as %q", got)
	}
}

func TestSecretsAreNotInDiffs(t *testing.T) {
	h := newHost(t)
	branch, err := h.store.Branch(filepath.Join(t.TempDir(), "branch.db"))
	if err != nil {
		t.Fatal(err)
	}
	defer branch.Close()
	var all string
	for i, text := range []string{"ARG --secret password tide-4711", "TEMPLATE " + h.file("f", "user = ann\npassword = {{ password }}\n") + " f"} {
		env := h.env(uint32(i))
		env.Facts = branch
		j := h.job(text)
		j.Index = uint32(i)
		all += shown(Rehearse(context.Background(), env, j, true).Result)
	}
	if strings.Contains(all, "tide-4711") || !strings.Contains(all, "+password = "+Hidden) || !strings.Contains(all, "+user = ann") {
		t.Errorf("the check shows\n%s", all)
	}
}

// Where the middle of an output is missing, a secret may be cut in two.
func TestSecretsAtTheEdges(t *testing.T) {
	h := newHost(t)
	h.ok("ARG --secret password tide-4711")
	res := h.env(0).hide(Result{Stdout: wire.Output{Head: []byte("the tide-4711 is tide-4"), Tail: []byte("711 end"), Size: 1000}})
	if got := shown(res); got != "\nthe "+Hidden+" is "+Hidden+Hidden+" end\n" {
		t.Errorf("%q", got)
	}
	if res.Stdout.Size <= 1000-30 || res.Stdout.Size == int64(len(res.Stdout.Head)+len(res.Stdout.Tail)) {
		t.Errorf("the size is %d", res.Stdout.Size)
	}
	res = h.env(0).hide(Result{Stdout: wire.Output{Head: []byte("the tide-4"), Tail: []byte("711 end"), Size: 17}})
	if got := shown(res); got != "\nthe "+Hidden+" end\n" {
		t.Errorf("%q", got)
	}
}

func TestSecretsAreNotPublished(t *testing.T) {
	h := newHost(t)
	h.ok("ARG --secret password tide-4711")
	h.ok("ARG dsn db://{{ password }}@db")
	for _, name := range []string{"password", "dsn"} {
		if res := h.beyond(&fakeFleet{}, "QUERY", name); res.Outcome != Failed || !strings.Contains(res.Info, name+" is secret here") {
			t.Errorf("%+v", res)
		}
	}
}
