package template

import (
	"context"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"quorate/internal/pyvalue"
)

// program renders what it reads with Jinja2 itself, as Directord sets it up.
const program = `
import ast, copy, json, sys
try:
    import jinja2, markupsafe
except ImportError:
    sys.exit(77)

class Marked(Exception):
    pass

def marked(*args):
    raise Marked("text that was escaped for HTML is of a type of its own")

def escape(text):
    return marked() if hasattr(text, "__html__") else markupsafe.escape(text)

markupsafe.Markup.escape = classmethod(marked)
markupsafe.Markup.__repr__ = marked
env = jinja2.Environment(undefined=jinja2.StrictUndefined, keep_trailing_newline=True)
env.filters["e"] = env.filters["escape"] = escape
work = json.load(sys.stdin)
scope = ast.literal_eval(work["vars"])
out = []
for source in work["sources"]:
    try:
        template = env.from_string(source)
    except jinja2.TemplateAssertionError as e:
        out.append({"error": str(e), "own": "names of filters and tests count where nothing is filtered or tested"})
        continue
    except jinja2.TemplateSyntaxError as e:
        out.append({"error": str(e)})
        continue
    except Exception as e:
        out.append({"own": "a constant that is not needed counts: " + repr(e)})
        continue
    try:
        out.append({"want": template.render(**copy.deepcopy(scope))})
    except Marked as e:
        out.append({"own": str(e)})
    except jinja2.UndefinedError as e:
        out.append({"error": "undefined: " + str(e)})
    except Exception as e:
        out.append({"error": str(e) or repr(e)})
json.dump(out, sys.stdout)
`

// A rendered template is what became of it. Own tells of a habit of Jinja2's that is
// not taken over, which makes its outcome one that says nothing.
type rendered struct{ Want, Error, Own string }

// required is the environment variable with which "make check-jinja2" makes the
// absence of Jinja2 a failure.
const required = "QUORATE_JINJA2"

// missing skips the test where there is nothing to compare with, or fails it.
func missing(t testing.TB, what string) {
	t.Helper()
	if os.Getenv(required) != "" {
		t.Fatal(what)
	}
	t.Skip(what + `: "make check-jinja2" installs it`)
}

// jinja2 renders sources with Jinja2, or skips the test where there is none.
func jinja2(t testing.TB, vars string, sources []string) []rendered {
	t.Helper()
	python, err := exec.LookPath("python3")
	if err != nil {
		missing(t, "no python3 to compare with")
	}
	input, err := json.Marshal(map[string]any{"vars": vars, "sources": sources})
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(python, "-c", program)
	cmd.Stdin = strings.NewReader(string(input))
	output, err := cmd.Output()
	if cmd.ProcessState != nil && cmd.ProcessState.ExitCode() == 77 {
		missing(t, "no Jinja2 to compare with")
	}
	if err != nil {
		t.Fatal(err)
	}
	var out []rendered
	if err := json.Unmarshal(output, &out); err != nil || len(out) != len(sources) {
		t.Fatalf("%d results for %d templates: %v", len(out), len(sources), err)
	}
	return out
}

// TestCasesAreWhatJinja2Does keeps the recorded cases honest.
func TestCasesAreWhatJinja2Does(t *testing.T) {
	c := loadCases(t)
	var sources []string
	for _, tc := range slices.Concat(c.Cases, c.Differs) {
		sources = append(sources, tc.Template)
	}
	all := jinja2(t, c.Vars, sources)
	for i, got := range all[len(c.Cases):] {
		if tc := c.Differs[i]; got.Want == tc.Want || got.Error != "" {
			t.Errorf("%s\n\tdoes not differ from Jinja2: %+v", tc.Template, got)
		}
	}
	for i, got := range all[:len(c.Cases)] {
		tc := c.Cases[i]
		if got.Want != tc.Want || (got.Error == "") != (tc.Error == "") {
			t.Errorf("%s\n\tJinja2:   %+v\n\trecorded: %q %q", tc.Template, got, tc.Want, tc.Error)
		}
	}
}

// corpus returns the folder of the real files, or skips the test.
func corpus(t testing.TB) string {
	t.Helper()
	dir, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	for {
		if _, err := os.Stat(filepath.Join(dir, "go.mod")); err == nil {
			break
		}
		if dir == filepath.Dir(dir) {
			t.Fatal("no go.mod above the test")
		}
		dir = filepath.Dir(dir)
	}
	path := filepath.Join(dir, "..", "shared", "corpus", "task-core", "openstack", "services", "files")
	if _, err := os.Stat(path); err != nil {
		t.Skip("the corpus is not here")
	}
	return path
}

// corpusVars are arguments such as the services of the corpus set.
const corpusVars = `{
	'tripleo_network_ips': {'node-0': '192.168.1.10', 'node-1': '192.168.1.11'}, 'deployment_host': 'node-1',
	'tripleo_controller_ips': {'node-0': '192.168.1.10', 'node-1': '192.168.1.11'}, 'ctlplane_vip': '192.168.1.9',
	'ctlplane_route': '192.168.1.1', 'keystone_admin_pass': "it's secret", 'tripleo_dns_servers': ['1.1.1.1', "8.8.8.8"],
	'tripleo_keepalived': {'state': {'node-0': 'BACKUP'}, 'priority': {}, 'interface': {'node-1': 'ens4'}},
	'tripleo_kernel_sysctl_settings': {'net.ipv4.ip_forward': {'value': 1}, 'vm.swappiness': {'value': '10'}},
	'tripleo_kernel_modules': {'br_netfilter': {}, 'ip_vs': None}, 'tripleo_rabbitmq_hosts': ['node-0', 'node-1'],
	'rabbitmq_process_limit': 1048576, 'rabbitmq_ulimit': 65536, 'rabbitmq_tcp_port': '5672', 'rabbitmq_queue_master_locator': 'min',
	'rabbitmq_net_ticktime': 15, 'rabbitmq_memory_high_watermark': 0.4, 'rabbitmq_management_rates_mode': 'basic',
	'rabbitmq_management_bind_address': '127.0.0.1', 'rabbitmq_inet_listen_min': 25672, 'rabbitmq_inet_listen_max': 25672,
	'rabbitmq_default_user': 'guest', 'rabbitmq_default_pass': 'guest', 'rabbitmq_ctl_dist_port_min': 25673,
	'rabbitmq_ctl_dist_port_max': 25683, 'rabbitmq_collect_statistics_interval': 30000,
	'rabbitmq_cluster_partition_handling': 'ignore', 'rabbitmq_cluster_name': 'c', 'rabbitmq_async_threads': 128}`

func corpusTemplates(t testing.TB) (names, sources []string) {
	t.Helper()
	root := corpus(t)
	err := filepath.WalkDir(root, func(path string, d os.DirEntry, err error) error {
		if err != nil || d.IsDir() || filepath.Ext(path) != ".j2" {
			return err
		}
		data, err := os.ReadFile(path)
		name, _ := filepath.Rel(root, path)
		names, sources = append(names, name), append(sources, string(data))
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return names, sources
}

func TestCorpusRenders(t *testing.T) {
	names, sources := corpusTemplates(t)
	if len(names) != 29 {
		t.Errorf("%d templates, 29 are known", len(names))
	}
	for i, source := range sources {
		if _, err := Render(context.Background(), source, literal(t, corpusVars)); err != nil {
			t.Errorf("%s: %v", names[i], err)
		}
	}
}

func TestCorpusRendersAsJinja2(t *testing.T) {
	names, sources := corpusTemplates(t)
	for i, want := range jinja2(t, corpusVars, sources) {
		got, err := Render(context.Background(), sources[i], literal(t, corpusVars))
		if want.Error != "" || err != nil || got != want.Want {
			t.Errorf("%s differs: %v, Jinja2: %q\ngot:  %q\nwant: %q", names[i], err, want.Error, got, want.Want)
		}
	}
}

func BenchmarkRender(b *testing.B) {
	const source = "{% for k, v in m.items() %}{{ k }} = {{ v | default('none') }} # {{ loop.index }}\n{% endfor %}"
	vars := pyvalue.NewDict()
	m := pyvalue.NewDict()
	for _, k := range strings.Split("abcdefghijklmnopqrstuvwxyz", "") {
		m.SetStr(k, pyvalue.Int(1))
	}
	vars.SetStr("m", m)
	for b.Loop() {
		if _, err := Render(context.Background(), source, vars); err != nil {
			b.Fatal(err)
		}
	}
}
