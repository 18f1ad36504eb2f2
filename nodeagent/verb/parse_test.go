package verb

import (
	"errors"
	"slices"
	"strings"
	"testing"

	"quorate/internal/conformance"
	"quorate/internal/job"
)

func parse(t testing.TB, verb, text string, vars ...job.Var) *job.Parsed {
	t.Helper()
	p, err := tryParse(t, verb, text, vars...)
	if err != nil {
		t.Fatalf("%s: %s: %v", verb, text, err)
	}
	return p
}

func tryParse(t testing.TB, verb, text string, vars ...job.Var) (*job.Parsed, error) {
	t.Helper()
	d, ok := Lookup(verb)
	if !ok {
		t.Fatalf("no verb %s", verb)
	}
	return job.Parse(d, text, vars)
}

// options shows what was parsed beside the text, as "name=value" and flags.
func options(p *job.Parsed) string {
	var out []string
	for _, o := range p.Job.Options {
		out = append(out, o.Name+"="+o.Value)
	}
	if p.Job.SkipCache {
		out = append(out, "skip-cache")
	}
	if p.RunOnce {
		out = append(out, "run-once")
	}
	if p.Job.TimeoutSeconds != job.TimeoutSeconds {
		out = append(out, "timeout")
	}
	return strings.Join(out, " ")
}

func TestParse(t *testing.T) {
	conformance.Case(t, conformance.Directord, "1", "3", "3b", "4", "5", "6", "7", "12", "21")
	for _, tc := range []struct{ name, verb, text, want, options string }{
		{"case 1", "RUN", "echo hi", "echo hi", ""},
		{"case 3: blanks inside a line stay", "RUN", "echo 'a   b'", "echo 'a   b'", ""},
		{"case 3b: a line break is one space", "RUN", "printf '%s '\n  one\n  two\n", "printf '%s ' one two", ""},
		{"blanks around a line break go", "RUN", "a  \n\n\t b", "a b", ""},
		{"case 4", "RUN", "--timeout 9 --retry=2 true", "true", "retry=2 timeout"},
		{"case 5", "RUN", "tar -- -x --timeout 3", "tar -- -x --timeout 3", ""},
		{"case 6", "ADD", "--blueprint f.j2 /tmp/f --chown root --chmod 0640", "f.j2 /tmp/f", "blueprint=true chmod=0640 chown=root"},
		{"case 7", "ADD", `f "/tmp/{{ who }}/f" --chmod 0600`, `f "/tmp/{{ who }}/f"`, "chmod=0600"},
		{"case 12", "RUN", "false", "false", ""},
		{"trap 2: the command keeps its own options", "RUN", "curl --retry 3 http://h", "curl --retry 3 http://h", ""},
		{"trap 2: but not these", "RUN", "echo a --skip-cache --run-once --stdout-arg x --no-block b", "echo a b", "no-block=true stdout-arg=x skip-cache run-once"},
		{"trap 3: -- ends options", "RUN", "x --name n -- y --skip-cache", "x --name n -- y --skip-cache", ""},
		{"no abbreviations", "RUN", "echo -1 -a --skip-cach", "echo -1 -a --skip-cach", ""},
		{"unknown options are the command's", "RUN", "--list x", "--list x", ""},
		{"a negative number is a value", "RUN", "--retry 1 -1", "-1", "retry=1"},
		{"= takes a dash", "RUN", "--stdout-arg=-x y", "y", "stdout-arg=-x"},
		{"a script keeps its lines", "RUN", "--skip-cache #!/bin/bash\n  a  # b\n--timeout 3\n", "#!/bin/bash\n  a  # b\n--timeout 3\n", "skip-cache"},
		{"trap 4: options after the text", "SERVICE", "a b --restarted --enable", "a b", "enable=true restarted=true"},
		{"trap 30", "SERVICE", "--daemon-reload --restarted u", "u", "daemon-reload=true restarted=true"},
		{"a negative value", "ARG", "a -5", "a -5", ""},
		{"a dashed value", "ARG", "k -- --foo bar", "k --foo bar", ""},
		{"case 21", "ARG", `--extend-args d {"a": [1]}`, `d {"a": [1]}`, "extend-args=true"},
		{"quotes stay in a value", "ARG", `s "two  words"`, `s "two  words"`, ""},
		{"trap 41: a template is one word", "WORKDIR", "/x/{{ n | default('a b') }}/y --chmod 750", "/x/{{ n | default('a b') }}/y", "chmod=0750"},
		{"case 42", "WAIT", "--cmd --retry 2 --retry-wait 0 false", "false", "cmd=true retry=2 retry-wait=0"},
		{"nothing to echo", "ECHO", "", "", ""},
		{"a list of words", "QUERY_WAIT", "k --identity a b --query-timeout 5", "k", "identity=a b query-timeout=5"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			p := parse(t, tc.verb, tc.text)
			if p.Job.Text != tc.want || options(p) != tc.options {
				t.Errorf("text %q options %q\nwant %q options %q", p.Job.Text, options(p), tc.want, tc.options)
			}
		})
	}
}

func TestParseErrors(t *testing.T) {
	conformance.Case(t, conformance.Directord, "8", "10")
	for _, tc := range []struct {
		name, verb, text string
		offset           int
		message, hint    string
	}{
		{"case 8", "QUERY", "key extra", 4, `"extra"`, ""},
		{"case 10", "SERVICE", "--restarted --stopped u", 0, "--restarted and --stopped exclude each other", ""},
		{"trap 5: unknown option", "ADD", "a b --blueprnt", 4, "ADD has no option --blueprnt", "--blueprint"},
		{"trap 5: unknown short option", "DNF", "a -y", 2, "-y", "--"},
		{"not an integer", "RUN", "--timeout 5' x", 10, `"5'"`, ""},
		{"value missing", "RUN", "echo --stdout-arg", 5, "--stdout-arg has no value", ""},
		{"value is an option", "RUN", "--stdout-arg --skip-cache x", 0, "--stdout-arg has no value", "--stdout-arg=VALUE"},
		{"value of a flag", "RUN", "--skip-cache=1 x", 0, "takes no value", ""},
		{"text in two parts", "ADD", "a --chmod 0600 b", 15, `"b"`, ""},
		{"value lost to an option", "ARG", "k v --skip-cache w", 17, `"w"`, ""},
		{"dashed value", "ARG", "k -x", 2, "-x", "--"},
		{"no value", "ARG", "k", 1, "a key and a value", ""},
		{"one path", "ADD", "a", 1, "two paths", ""},
		{"three paths", "ADD", "a b c", 5, "two paths", "quotes"},
		{"open quote", "ADD", `a "b`, 4, "quote", ""},
		{"symbolic mode", "WORKDIR", "/a --chmod u+x", 11, "octal", ""},
		{"no command", "RUN", "--skip-cache", 12, "RUN needs a command", ""},
		{"no time", "RUN", "--timeout 0 x", 0, "from 1", ""},
		{"three things to wait for", "WAIT", "--cmd --url x", 0, "exclude each other", ""},
		{"nothing to wait for", "WAIT", "x", 0, "one of", ""},
		{"required option", "SECONTEXT", "/x", 0, "--setype", ""},
		{"words where there are none", "FACTER", "x", 0, `"x"`, ""},
		{"help", "DNF", "--exec-help", 0, "help", "clear-metadata"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			_, err := tryParse(t, tc.verb, tc.text)
			var e *job.ParseError
			if !errors.As(err, &e) {
				t.Fatalf("error %v, want a ParseError", err)
			}
			if e.Offset != tc.offset || !strings.Contains(e.Message, tc.message) || !strings.Contains(e.Hint, tc.hint) {
				t.Errorf("offset %d, %s (%s)\nwant offset %d, %s (%s)", e.Offset, e.Message, e.Hint, tc.offset, tc.message, tc.hint)
			}
		})
	}
}

func TestWarnsOfStolenOptions(t *testing.T) {
	p := parse(t, "RUN", "curl --retry 3 http://h")
	if len(p.Warnings) != 1 || !strings.Contains(p.Warnings[0], "--retry") {
		t.Errorf("warnings %q", p.Warnings)
	}
	if p := parse(t, "RUN", "--retry 3 curl http://h"); len(p.Warnings) != 0 {
		t.Errorf("warnings %q", p.Warnings)
	}
}

func TestVars(t *testing.T) {
	conformance.Case(t, conformance.Directord, "9")
	v := func(name, value string) job.Var { return job.Var{Name: name, Value: value} }
	p := parse(t, "RUN", "x", v("chmod", "0440"), v("skip_cache", "yes"), v("stdout-arg", "h"), v("timeout", "5"))
	if got := options(p); got != "stdout-arg=h skip-cache timeout" {
		t.Errorf("options %q", got)
	}
	if len(p.Warnings) != 1 || !strings.Contains(p.Warnings[0], "chmod") {
		t.Errorf("case 9: warnings %q", p.Warnings)
	}
	for value, want := range map[string]string{"0600": "0600", "600": "0600", "0o600": "0600", "384": "0600", "0x180": "0600", "2755": "2755"} {
		if got, _ := parse(t, "WORKDIR", "/a", v("chmod", value)).Job.Option("chmod"); got != want {
			t.Errorf("chmod %s is %s, want %s", value, got, want)
		}
	}
	shaped := func(name, shape, value string) job.Var { return job.Var{Name: name, Value: value, Shape: shape} }
	for text, want := range map[string]string{
		options(parse(t, "CONTAINER_CONFIG_DATA", "--config-path c", shaped("config_overrides", "a mapping", `{"a": {"n": 1}}`))): `config-overrides={"a": {"n": 1}} config-path=c`,
		options(parse(t, "QUERY_WAIT", "k", shaped("identity", "a list", `["n1", 2]`))):                                           "identity=n1 2",
	} {
		if text != want {
			t.Errorf("options %q, want %q", text, want)
		}
	}
	for verb, bad := range map[string]job.Var{
		"RUN": shaped("timeout", "a list", "[1]"), "QUERY_WAIT": shaped("identity", "a mapping", "{}"),
	} {
		if _, err := tryParse(t, verb, "x", bad); err == nil || !strings.Contains(err.Error(), "not "+bad.Shape) {
			t.Errorf("%s: %v", verb, err)
		}
	}
	if p := parse(t, "RUN", "--skip-cache x", v("skip_cache", "off")); p.Job.SkipCache {
		t.Error("vars do not take a flag back")
	}
	_, err := tryParse(t, "RUN", "x", v("timeout", "soon"))
	var e *job.ParseError
	if !errors.As(err, &e) || e.Offset != -1 || e.Var != "timeout" {
		t.Errorf("error %#v, want one about timeout", err)
	}
}

func TestShippedSource(t *testing.T) {
	p := parse(t, "ADD", `'my files/*.txt' /tmp/d/`)
	if p.Source != "my files/*.txt" {
		t.Errorf("source %q", p.Source)
	}
}

// TestFingerprints holds the vectors of Directord. The one of DNF is not among
// them: its record could not be found out.
func TestFingerprints(t *testing.T) {
	conformance.Case(t, conformance.Directord, "48")
	for _, tc := range [][3]string{
		{"RUN", "a", "420796fea893c71e9851dd11250df08874d4e1c957754600d9c4c263"},
		{"RUN", "\n a", "420796fea893c71e9851dd11250df08874d4e1c957754600d9c4c263"},
		{"RUN", "--skip-cache a", "420796fea893c71e9851dd11250df08874d4e1c957754600d9c4c263"},
		{"ARG", "a -5", "405341dec26488cbce8376cb0778ca7aca562e039db975d353e46208"},
		{"ADD", "/etc/hosts /tmp/", "48a3995f8656b00e8d75273aa80c9a2c1d05938de7a22703ff5dba4a"},
		{"WORKDIR", "/a", "26049f2fd0da366e4c56df5acd98e500103e7ec7ec20c3d0e696311f"},
		{"CACHEEVICT", "all", "6b82e1399f5706e4cba5b2386696e0760e82d6e32394d7d72adc41d8"},
		{"QUERY", "x", "4a4db4f44a9c04e7fa453067eb93a555f97096109d350b28361790a0"},
		{"SERVICE", "--enable --restarted a b", "2679a2cd96dcb96d88b995c4c1b201a435b59c6adae8fce9f01d442e"},
		{"WAIT", "--seconds 5", "b7515fa703f847bd199005b83ad2aaeb9ff4f6e4701eb853112ed98c"},
		{"ECHO", "a b", "4cb84e0c9b9ebb6365f0be8cae4e20f13b69866ad70579a2a0e59c48"},
	} {
		if got := parse(t, tc[0], tc[1]).Job.Fingerprint; got != tc[2] {
			t.Errorf("%s %q: fingerprint %s, want %s", tc[0], tc[1], got, tc[2])
		}
	}
	p := parse(t, "ADD", "hosts /tmp/")
	before := p.Job.Fingerprint
	p.Paths = []string{"/etc/hosts"}
	d, _ := Lookup("ADD")
	if p.Seal(d); p.Job.Fingerprint == before || p.Job.Fingerprint != "48a3995f8656b00e8d75273aa80c9a2c1d05938de7a22703ff5dba4a" {
		t.Errorf("with the resolved path the fingerprint is %s", p.Job.Fingerprint)
	}
}

func TestTableIsComplete(t *testing.T) {
	table := Table()
	want := strings.Fields(`RUN ARG ENV ADD COPY WORKDIR CACHEFILE CACHEEVICT DNF QUERY QUEUESENTINEL SERVICE WAIT
		TEMPLATE LINE SYSCTL CRON GROUP USER PACKAGE GET MOUNT UNARCHIVE
		ECHO FACTER QUERY_WAIT JOB_WAIT REBOOT POD CONTAINER_IMAGE CONTAINER_CONFIG_DATA SECONTEXT`)
	var got []string
	for name, v := range table {
		got = append(got, name)
		if v.Decl.Verb != name || v.Decl.Executable != (v.Run != nil) || v.Decl.HasCheckMode != (v.Check != nil) || v.Decl.FingerprintKeys == nil || v.Decl.Summary == "" {
			t.Errorf("%s is declared inconsistently", name)
		}
	}
	slices.Sort(got)
	slices.Sort(want)
	if !slices.Equal(got, want) {
		t.Errorf("verbs %v\nwant  %v", got, want)
	}
}

func FuzzParse(f *testing.F) {
	for _, text := range []string{"echo hi", "--timeout 9 --retry=2 true", "a '{{ b c }}' --chmod 0600", "k -- -v", "#!/bin/sh\nx", "{{", "--", "-", "--=", "\x00\xff"} {
		f.Add("RUN", text, "timeout", "5")
		f.Add("ADD", text, "chmod", "0640")
		f.Add("ARG", text, "extend_args", "true")
		f.Add("SERVICE", text, "x", "y")
	}
	f.Fuzz(func(t *testing.T, verb, text, name, value string) {
		d, ok := Lookup(verb)
		if !ok {
			return
		}
		p, err := job.Parse(d, text, []job.Var{{Name: name, Value: value}})
		if err != nil {
			var e *job.ParseError
			if !errors.As(err, &e) || e.Offset > len(text) || e.Message == "" {
				t.Fatalf("error %#v", err)
			}
			return
		}
		if len(p.Job.Fingerprint) != 56 {
			t.Fatalf("fingerprint %q", p.Job.Fingerprint)
		}
		// Without options, what was parsed parses to itself.
		if len(p.Job.Options) == 0 && !strings.Contains(text, "--") && !strings.Contains(text, "#!") {
			again, err := job.Parse(d, p.Job.Text, nil)
			if err != nil || again.Job.Text != p.Job.Text {
				t.Fatalf("%q becomes %q, which becomes %v, %v", text, p.Job.Text, again, err)
			}
		}
	})
}
