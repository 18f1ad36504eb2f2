package acceptance

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"quorate/internal/soak/lab"
)

// A day after the first: an edit, and the tasks that may call anything because of it.
type day struct {
	name, file, old, new string
	tasks                []string
	// wants is a part of a call that has to be among them, on each of these hosts.
	wants string
	hosts int
}

// daysAfter edits the deployment that was applied, and applies it again: programs are
// called by what changed, and what depends on it, and by nothing else.
func daysAfter(t *testing.T, l *lab.Lab, s *sandbox) {
	t.Helper()
	dir := t.TempDir()
	if err := os.CopyFS(dir, os.DirFS(corpusDir)); err != nil {
		t.Fatal(err)
	}
	seen := len(s.calls(t))
	for _, d := range []day{
		{
			name: "a template", file: "services/files/memcached/memcached.j2", new: "# edited\n",
			tasks: []string{"memcached-service"}, wants: "restart memcached", hosts: 3,
		},
		{
			name: "an option", file: "basic/basic_options.yaml", old: "password: keepalived_pass", new: "password: another",
			tasks: []string{"keepalived-init", "mariadb-galera"}, wants: "restart keepalived", hosts: 3,
		},
	} {
		d.edit(t, dir)
		args := []string{"apply", "-o", "ndjson", "--timeout", applyTimeout, "-s", filepath.Join(dir, "services"),
			"-i", filepath.Join(dir, "basic/basic_inventory.yaml"), "-r", filepath.Join(dir, "basic/basic_roles.yaml")}
		if out, err := l.Run(t.Context(), l.Servers()[0], args...); err != nil {
			t.Fatalf("%s was edited: %v\n%s", d.name, err, out)
		}
		calls := s.calls(t)
		d.judge(t, calls[seen:])
		seen = len(calls)
	}
}

// restless are the tasks of the corpus that call something in every run: with jobs that say
// so, by --skip-cache, and those that each give /var/cache/swift another owner and mode than
// the others do, with what requires them.
func restless() []string {
	all := []string{"repos-setup", "swift_storage-storage", "swift_storage-rsyncd"}
	for _, kind := range []string{"account", "container", "object"} {
		all = append(all, "swift_ringbuilder-"+kind+"-ring", "swift_storage-"+kind+"-setup", "swift_storage-"+kind+"-service")
	}
	return all
}

// edit replaces a text in a file of the copy, or adds one at its end.
func (d *day) edit(t *testing.T, dir string) {
	t.Helper()
	path := filepath.Join(dir, d.file)
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	edited := string(text) + d.new
	if d.old != "" {
		edited = strings.ReplaceAll(string(text), d.old, d.new)
	}
	if edited == string(text) {
		t.Fatalf("%s does not hold %q", d.file, d.old)
	}
	if err := os.WriteFile(path, []byte(edited), 0o644); err != nil {
		t.Fatal(err)
	}
}

// judge looks at what was called because of the edit.
func (d *day) judge(t *testing.T, calls []call) {
	t.Helper()
	hosts := map[string]bool{}
	may := append(restless(), d.tasks...)
	for _, c := range calls {
		if !slices.Contains(may, c.task) {
			t.Errorf("%s was edited: job %d of %s on %s called %s", d.name, c.job, c.task, c.host, c.argv)
		}
		if d.wants != "" && strings.Contains(c.argv, d.wants) {
			hosts[c.host] = true
		}
	}
	if len(hosts) != d.hosts {
		t.Errorf("%s was edited: %q was called on %d hosts, want %d", d.name, d.wants, len(hosts), d.hosts)
	}
}
