package cli

import (
	"fmt"
	"io/fs"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"quorate/engine/api"
)

// A showcase is testdata/fleet at work: its three hosts as processes, whose tools are
// the stand-ins, a copy of its files to edit, and a mirror of those files.
type showcase struct {
	*cluster
	dir    string
	mirror string
	run    int
}

func newShowcase(t *testing.T) *showcase {
	t.Helper()
	source := filepath.Join(repositoryRoot(t), "testdata", "fleet")
	dir := t.TempDir()
	if err := os.CopyFS(dir, os.DirFS(source)); err != nil {
		t.Fatal(err)
	}
	mirror := httptest.NewServer(http.FileServer(http.Dir(filepath.Join(source, "files"))))
	t.Cleanup(mirror.Close)
	t.Setenv("PATH", filepath.Join(source, "tools")+string(os.PathListSeparator)+os.Getenv("PATH"))
	return &showcase{cluster: newCluster(t, "embedded", "web-1", "db-1", "edge-1"), dir: dir, mirror: mirror.URL}
}

// upgrade runs the orchestration, which has to succeed, and returns its summary and
// what the log has of each job.
func (f *showcase) upgrade() (summary string, jobs []api.Output) {
	f.t.Helper()
	o := f.command("orchestrate", "--var", "mirror="+f.mirror, filepath.Join(f.dir, "upgrade.yaml"))
	f.run++
	if o.code() != 0 {
		outputs := f.command("run", "output", fmt.Sprint(f.run))
		outputs.code()
		f.t.Fatal(o, outputs)
	}
	for out, err := range f.client.Output(f.t.Context(), fmt.Sprint(f.run), "", "") {
		if err != nil {
			f.t.Fatal(err)
		}
		jobs = append(jobs, out)
	}
	lines := lastLines(o.out.String(), 1)
	return lines[0], jobs
}

// edit replaces a text in one of the files that the orchestration ships.
func (f *showcase) edit(name, old, text string) {
	f.t.Helper()
	path := filepath.Join(f.dir, "files", name)
	data, err := os.ReadFile(path)
	if err != nil || !strings.Contains(string(data), old) {
		f.t.Fatalf("%s lacks %q: %v", name, old, err)
	}
	if err := os.WriteFile(path, []byte(strings.ReplaceAll(string(data), old, text)), 0o644); err != nil {
		f.t.Fatal(err)
	}
}

// read is a file of a host.
func (f *showcase) read(path string) string {
	host, name, _ := strings.Cut(path, "/")
	data, err := os.ReadFile(filepath.Join(f.cluster.dir, host, "root", name))
	if err != nil {
		return err.Error()
	}
	return string(data)
}

// named lists the jobs for which a condition holds, as NAME@HOST in order.
func named(jobs []api.Output, holds func(api.Output) bool) []string {
	var out []string
	for _, j := range jobs {
		name := j.Name
		if name == "" {
			name = fmt.Sprintf("%s/%d %s", j.Task, j.Job, j.Verb)
		}
		if holds(j) {
			out = append(out, name+"@"+j.Host)
		}
	}
	slices.Sort(out)
	return out
}

func changed(j api.Output) bool { return j.Changed }

// on is a job on each of some hosts.
func on(job string, hosts ...string) []string {
	var out []string
	for _, h := range hosts {
		out = append(out, job+"@"+h)
	}
	return out
}

// TestFleet upgrades a small fleet by an orchestration that uses Directord's verbs
// and options and ours: the first time everything is done, the second time nothing,
// and after a file is edited what depends on it.
func TestFleet(t *testing.T) {
	if testing.Short() {
		t.Skip("four upgrades of three hosts")
	}
	f := newShowcase(t)
	summary, jobs := f.upgrade()
	if n := len(jobs); n != 154 || !strings.Contains(summary, "7 tasks, 12 steps, 154 jobs; succeeded 12, skipped 0, changed ") {
		t.Errorf("%d jobs: %s", n, summary)
	}
	f.checkEffects()
	f.checkCalls()

	before := f.tree()
	summary, jobs = f.upgrade()
	if got := named(jobs, changed); got != nil || !strings.Contains(summary, "succeeded 12, skipped 0, changed 0, unchanged 154, failed 0, unknown 0") {
		t.Errorf("the second upgrade changed %q: %s", got, summary)
	}
	everywhere := []string{"db-1", "edge-1", "web-1"}
	readers := slices.Sorted(slices.Values(slices.Concat(on("who this is", everywhere...), on("which host this is", everywhere...),
		on("look at the robots", "web-1"), on("look at the web server", "web-1"), on("see that the version is everywhere", everywhere...))))
	if got := named(jobs, func(j api.Output) bool { return j.Verb == "RUN" && j.Info != "task skipped" }); !slices.Equal(got, readers) {
		t.Errorf("the second upgrade ran\n%q, want only what reads\n%q", got, readers)
	}
	if after := f.tree(); !slices.Equal(after, before) {
		i := 0
		for i < min(len(before), len(after)) && before[i] == after[i] {
			i++
		}
		t.Errorf("the second upgrade left\n%s\nwhere there was\n%s", strings.Join(after[i:], "\n"), strings.Join(before[i:], "\n"))
	}

	f.edit("robots.txt", "/cart", "/basket")
	_, jobs = f.upgrade()
	if got, want := named(jobs, changed), []string{"deliver the robots@web-1", "tell of new robots@web-1"}; !slices.Equal(got, want) {
		t.Errorf("new robots changed\n%q, want\n%q", got, want)
	}
	f.edit("fleet.yaml", "2.4.0", "2.5.0")
	_, jobs = f.upgrade()
	want := slices.Sorted(slices.Values(slices.Concat(
		on("ship the values", everywhere...), on("load the values", everywhere...), on("tell commands the version", everywhere...),
		on("configure the web server", "web-1"), on("restart the web server", "web-1"),
		on("migrate the database", "db-1"), on("write the history", "edge-1"))))
	if got := named(jobs, changed); !slices.Equal(got, want) {
		t.Errorf("a new version changed\n%q, want\n%q", got, want)
	}
	if got := f.read("edge-1/var/log/upgrades"); got != "edge-1 is upgraded to 2.4.0\nedge-1 is upgraded to 2.5.0\n" {
		t.Errorf("history:\n%s", got)
	}
}

// tree has mode, time, name and content of every file of all hosts, but for what the
// tools keep: they are asked, and told, again.
func (f *showcase) tree() []string {
	f.t.Helper()
	var out []string
	for _, host := range []string{"db-1", "edge-1", "web-1"} {
		root := filepath.Join(f.cluster.dir, host, "root")
		err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
			switch {
			case err != nil:
				return err
			case d.IsDir() && d.Name() == "tools":
				return fs.SkipDir
			case d.IsDir():
				return nil
			}
			info, err := d.Info()
			if err != nil {
				return err
			}
			name := host + strings.TrimPrefix(path, root)
			out = append(out, fmt.Sprintf("%s %s %s %q", info.Mode(), info.ModTime(), name, f.read(name)))
			return nil
		})
		if err != nil {
			f.t.Fatal(err)
		}
	}
	return out
}

// checkEffects looks at what the first upgrade has left on the hosts' disks.
func (f *showcase) checkEffects() {
	f.t.Helper()
	version := "2.4.0"
	for path, want := range map[string]string{
		"web-1/etc/httpd/site.conf": "# web-1, a web of the upgrade, version " + version + "\nListen 10.0.0.11:8080\nMaxClients 256\n" +
			"Resolver 10.0.0.2 # 1 of 2\nResolver 10.0.0.3 # 2 of 2\nServerAdmin root@web-1\n",
		"web-1/srv/site/pages/hours.txt":           "Open from 8 to 18.\n",
		"web-1/srv/mirror/site/index.html":         "<h1>The shop</h1>\n",
		"web-1/srv/site/robots.txt":                "User-agent: *\nDisallow: /cart\n",
		"web-1/var/lib/fleet/facts":                "kernel Linux\nno swap\n4096\n",
		"web-1/var/log/web":                        "robots are 3334431127-30\n",
		"web-1/var/packages":                       "4\n",
		"web-1/etc/motd":                           "This host belongs to the fleet: what is changed by hand is changed back.\n",
		"web-1/var/lib/fleet/loop":                 "1\n3\n",
		"web-1/var/lib/fleet/sourced":              "5 1\n",
		"web-1/var/tools/active/httpd":             "active\n",
		"db-1/etc/my.cnf":                          "[mysqld]\nmax_connections = 256\n# BEGIN quorate galera\nwsrep_on = ON\n# END quorate galera\n",
		"db-1/etc/fstab":                           "/dev/vdb1 /srv/mysql xfs noatime 0 0\n",
		"db-1/etc/sysctl.d/fleet.conf":             "vm.swappiness = 1\n",
		"db-1/etc/cron.d/backup":                   "# quorate: backup\n15 3 * * * root mysqldump --all-databases\n",
		"db-1/var/system/etc/group":                "mysql:x:27:\n",
		"db-1/var/system/etc/passwd":               "mysql:x:27:27:The database:/srv/mysql:/sbin/nologin\n",
		"db-1/var/lib/fleet/mysql":                 "up\n",
		"db-1/var/lib/fleet/schema":                version + "\n",
		"edge-1/etc/haproxy.cfg":                   "frontend shop\n    bind 10.0.0.31:443\n    default_backend web\nbackend web\n    server web-1 10.0.0.11:8080 check\n",
		"edge-1/var/lib/fleet/addresses":           "db-1=10.0.0.21;edge-1=10.0.0.31;web-1=10.0.0.11\n",
		"edge-1/var/lib/fleet/first":               "10-0-0-21\n",
		"edge-1/var/lib/fleet/configs":             "{image: registry.example/haproxy:2.8, net: host, restart: always}\n",
		"edge-1/var/lib/fleet/watcher":             "watching\n",
		"edge-1/var/tools/enabled/iptables":        "disabled\n",
		"edge-1/var/tools/active/firewalld":        "inactive\n",
		"edge-1/var/tools/images/balancer_current": "sha256 of registry.example/haproxy:2.8\n",
		"edge-1/var/log/upgrades":                  "edge-1 is upgraded to " + version + "\n",
	} {
		if got := f.read(path); got != want {
			f.t.Errorf("%s holds\n%s\nwant\n%s", path, got, want)
		}
	}
	for path, want := range map[string]fs.FileMode{
		"web-1/etc/fleet": 0o750, "edge-1/etc/fleet/values.yaml": 0o640, "web-1/srv/site/robots.txt": 0o444,
		"web-1/etc/motd": 0o444, "edge-1/etc/haproxy.cfg": 0o640, "db-1/etc/cron.d/backup": 0o644,
	} {
		info, err := os.Stat(filepath.Join(f.cluster.dir, strings.Replace(path, "/", "/root/", 1)))
		if err != nil || info.Mode().Perm() != want {
			f.t.Errorf("%s has the mode %v, want %s: %v", path, info, want, err)
		}
	}
	for _, path := range []string{"db-1/etc/motd", "edge-1/etc/fleet/motd", "db-1/var/log/upgrades", "edge-1/var/tools/pods/haproxy-pod"} {
		if got := f.read(path); !strings.Contains(got, "no such file") {
			f.t.Errorf("%s is there: %q", path, got)
		}
	}
}

// checkCalls looks at what the tools were called for, as far as that changes anything.
func (f *showcase) checkCalls() {
	f.t.Helper()
	for host, want := range map[string][]string{
		"db-1": {
			"dnf -q -y --setopt=exit_on_lock=True install mariadb-server",
			"sysctl -q -w vm.swappiness=1",
			"semanage fcontext --add --type mysqld_db_t --ftype a --range s0 --seuser system_u /srv/mysql(/.*)?",
			"systemctl daemon-reload", "systemctl enable mariadb", "systemctl start mariadb", "systemctl reload mariadb",
			"mysql -e CREATE DATABASE IF NOT EXISTS shop", "mysql -N -- shop --timeout 5", "mysql -e SELECT 1", "mysql -e CALL migrate('2.4.0')",
		},
		"web-1": {
			"dnf clean all", "dnf makecache", "dnf -q -y --exclude=kernel,glibc install httpd mod_ssl", "dnf -q -y --best install httpd",
			"dnf -q -y remove telnet", "dnf -q -y --setopt=exit_on_lock=True install tuned curl", "systemctl enable tuned", "systemctl start tuned",
			"systemctl restart httpd", "systemctl enable httpd", "systemctl restart httpd",
		},
		"edge-1": {
			"podman --remote --url unix:///run/podman.sock image pull registry.example/haproxy:2.8",
			"podman --remote --url unix:///run/podman.sock image pull registry.example/exporter:1.7",
			"podman image pull --tls-verify=false registry.example/haproxy:2.8",
			"podman image tag registry.example/haproxy:2.8 balancer:current", "podman image push balancer:current",
			"podman image list --format json", "podman image inspect balancer:current",
			"podman play kube --tls-verify=false etc/haproxy-pod.yaml", "podman pod start haproxy-pod",
			"podman container exec --privileged --env LANG=C --env TZ=UTC haproxy haproxy version",
			"podman pod inspect haproxy-pod", "podman pod kill --signal SIGHUP haproxy-pod",
			"podman pod stop --time 30 haproxy-pod", "podman pod rm --force haproxy-pod",
			"systemctl disable firewalld", "systemctl stop firewalld", "systemctl mask iptables", "systemctl unmask iptables", "systemctl stop iptables",
		},
	} {
		calls := strings.Split(strings.TrimSpace(f.read(host+"/var/tools/calls")), "\n")
		for _, call := range calls {
			if len(want) > 0 && call == want[0] {
				want = want[1:]
			}
		}
		if len(want) > 0 {
			f.t.Errorf("%s: %q was not called, or not in its place:\n%s", host, want[0], strings.Join(calls, "\n"))
		}
	}
}
