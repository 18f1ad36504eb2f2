package verb

import (
	"path/filepath"
	"testing"
)

func TestTemplate(t *testing.T) {
	h := newHost(t)
	source := h.file("site.conf.j2", "port {{ port }}\n")
	h.refuses("TEMPLATE "+source+" site.conf", "'port' is undefined")
	h.ok("ARG port 80", "WORKDIR sites")
	h.settles("TEMPLATE --chmod 0640 " + source + " sites/")
	if h.read("sites/site.conf") != "port 80\n" || h.mode("sites/site.conf") != "0640" {
		t.Errorf("%q, mode %s", h.read("sites/site.conf"), h.mode("sites/site.conf"))
	}
	h.ok("ARG port 81")
	h.expect("TEMPLATE "+source+" sites/", WouldChange, "-port 80\n+port 81\n")
	h.settles("TEMPLATE " + source + " sites/")
	if h.mode("sites/site.conf") != "0640" {
		t.Errorf("mode %s: it is not kept", h.mode("sites/site.conf"))
	}
	h.refuses("TEMPLATE "+source+" no/such/", "no directory")
}

func TestTemplateIsValidated(t *testing.T) {
	h := newHost(t)
	h.write("f", "old\n")
	h.refuses("TEMPLATE --validate 'grep -q good %s' "+h.file("f.j2", "bad\n")+" f", "does not accept it: exit status 1")
	if left, _ := filepath.Glob(filepath.Join(h.dir, ".*")); len(left) > 0 || h.read("f") != "old\n" {
		t.Errorf("left behind: %v; the file holds %q", left, h.read("f"))
	}
	h.settles("TEMPLATE --validate 'grep -q good %s' " + h.file("f.j2", "good\n") + " f")
	if _, err := tryParse(t, "TEMPLATE", "--validate true a b"); err == nil {
		t.Error("a command without the path was accepted")
	}
}
