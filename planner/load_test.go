package planner_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"quorate/internal/conformance"
	"quorate/planner"
)

// TestServiceErrors holds what is said of each mistake in a service file.
func TestServiceErrors(t *testing.T) {
	const head = "id: a\nversion: 1.0.0\ntype: service\n"
	cases := []struct{ name, text, want string }{
		{"misspelled key", head + "tasks:\n  - id: t\n    driver: noop\n    require: [x]\n",
			`services/a.yaml:7:5 unknown-key: task "t" has the key "require", which means nothing (did you mean "requires"?)`},
		{"key with underscore", head + "tasks:\n  - {id: t, driver: noop, needed_by: [x]}\n", `did you mean "needed-by"?`},
		{"misspelled required key", strings.Replace(head, "type", "tpye", 1) + "tasks:\n  - {id: t, driver: noop}\n", `services/a.yaml:3:1 unknown-key: service "a" has the key "tpye"`},
		{"no version", "id: a\ntype: service\ntasks:\n  - {id: t, driver: noop}\n", `services/a.yaml:1:1 missing-key: service "a" has no "version"`},
		{"wrong type", strings.Replace(head, "service", "role", 1) + "tasks:\n  - {id: t, driver: noop}\n", `3:7 bad-value: service "a": "type" cannot be "role" (it may be service)`},
		{"no tasks", head + "tasks: []\n", `4:8 bad-value: service "a": "tasks" needs at least 1`},
		{"tasks are no list", head + "tasks: {a: b}\n", `4:8 wrong-type: service "a": "tasks" must be a list, not a mapping`},
		{"task is no mapping", head + "tasks:\n  - init\n", `5:5 wrong-type: task 1 must be a mapping, not text`},
		{"number as id", head + "tasks:\n  - {id: 5, driver: noop}\n", `5:10 wrong-type: task "5": "id" must be text, not the number 5 (write it in quotes: "5")`},
		{"bad id", head + "tasks:\n  - {id: 'a b', driver: noop}\n", `5:10 bad-value: task "a b": "id" cannot be "a b" (use letters, digits, dots, dashes and underscores)`},
		{"no driver", head + "tasks:\n  - {id: t}\n", `5:5 missing-key: task "t" has no "driver"`},
		{"unknown driver", head + "tasks:\n  - {id: t, driver: directrod, jobs: []}\n", `5:21 unknown-driver: task "t": "driver" cannot be "directrod" (did you mean "directord"?)`},
		{"foreign driver", head + "tasks:\n  - {id: t, driver: kubernetes}\n", `(it may be directord, local, print, service, noop, ansible_runner)`},
		{"print without message", head + "tasks:\n  - {id: t, driver: print}\n", `task "t" has no "message"`},
		{"local without command", head + "tasks:\n  - {id: t, driver: local}\n", `task "t" has no "command"`},
		{"empty command", head + "tasks:\n  - {id: t, driver: local, command: ' '}\n", `bad-value: the command of a local task is empty`},
		{"returncodes", head + "tasks:\n  - {id: t, driver: local, command: x, returncodes: [0, a]}\n", `"returncodes" must be a list of integers`},
		{"directord without jobs", head + "tasks:\n  - {id: t, driver: directord}\n", `task "t" has no "jobs"`},
		{"text for a list", head + "tasks:\n  - {id: t, driver: noop, requires: x}\n", `"requires" must be a list of texts, not text (write it as a list: [x])`},
		{"number in a list", head + "tasks:\n  - {id: t, driver: noop, provides: [1.5]}\n", `item 1 of "provides" must be text, not the number 1.5`},
		{"bad symbol", head + "tasks:\n  - {id: t, driver: noop, provides: ['a:b']}\n", `"provides" cannot be "a:b"`},
		{"jobs left empty", head + "tasks:\n  - id: t\n    driver: directord\n    jobs:\n", `must be a list, not nothing (give it its jobs, each on a line of its own: - RUN: "uptime")`},
		{"needed key left empty", head + "tasks:\n  - id:\n    driver: noop\n", `must be text, not nothing (it is needed: give it a value)`},
		{"item left empty", head + "tasks:\n  - id: t\n    driver: noop\n    requires: [~]\n", `must be text, not nothing (leave it out, or give it a value)`},
		{"key left empty", head + "tasks:\n  - id: t\n    driver: noop\n    requires:\n", `must be a list of texts, not nothing (leave the key out, or give it a value)`},
		{"boolean", head + "tasks:\n  - {id: t, driver: noop, idempotent: 1}\n", `"idempotent" must be true or false, not the number 1`},
		{"job is text", head + "tasks:\n  - {id: t, driver: directord, jobs: [RUN]}\n", `5:39 wrong-type: task "t", job 1 must be a mapping, not text (write it as VERB: text)`},
		{"job without verb", head + "tasks:\n  - {id: t, driver: directord, jobs: [{name: x}]}\n", `missing-key: task "t", job 1 has no verb`},
		{"unknown verb", head + "tasks:\n  - {id: t, driver: directord, jobs: [{RNU: x}]}\n", `5:40 unknown-verb: task "t", job 1: there is no verb RNU (did you mean "RUN"?)`},
		{"job text is a list", head + "tasks:\n  - {id: t, driver: directord, jobs: [{RUN: [x]}]}\n", `the text of RUN must be text, not a list`},
		{"option without value", head + "tasks:\n  - id: t\n    driver: directord\n    jobs:\n      - RUN: \"x --timeout 1\"\n      - RUN: x --timeout five\n", `services/a.yaml:9:26 job: task "t", job 2: RUN: --timeout`},
		{"vars of the wrong shape", head + "tasks:\n  - {id: t, driver: directord, jobs: [{RUN: x, vars: [a]}]}\n", `"vars" must be a mapping, not a list`},
		{"var of the wrong shape", head + "tasks:\n  - {id: t, driver: directord, jobs: [{RUN: x, vars: {timeout: [1]}}]}\n", `vars: "timeout" must be text, a number or a boolean, not a list`},
		{"var of the wrong value", head + "tasks:\n  - {id: t, driver: directord, jobs: [{RUN: x, vars: {timeout: soon}}]}\n", `5:64 job: task "t", job 1: RUN: vars: `},
		{"missing file", head + "tasks:\n  - {id: t, driver: directord, jobs: [{ADD: files/x /y}]}\n",
			`5:39 no-such-file: ADD ships "files/x", but there is no such file (looked for services/files/x)`},
		{"YAML", head + "tasks:\n  - {id: t, driver: noop\n", `services/a.yaml:6:1 syntax: `},
		{"duplicate key", head + "tasks:\n  - {id: t, driver: noop, id: u}\n", `5:27 syntax: the key "id" is here a second time`},
		{"two documents", head + "tasks:\n  - {id: t, driver: noop}\n---\nid: b\n", `7:1 wrong-type: a service holds 2 documents, not one`},
	}
	for _, c := range cases {
		o := compileFiles(t, deployment(map[string]string{"services/a.yaml": c.text}, "h1: a"), planner.Options{})
		got := o.lines(errs)
		if len(got) != 1 || !strings.Contains(got[0], c.want) {
			t.Errorf("%s:\n got %s\nwant %s", c.name, strings.Join(got, "\n     "), c.want)
		}
	}
}

func TestServiceWarnings(t *testing.T) {
	conformance.Case(t, conformance.Directord, "2")
	const head = "id: a\nversion: 1.0.0\ntype: service\n"
	cases := []struct{ name, text, want string }{
		{"key beside the verb", head + "tasks:\n  - {id: t, driver: directord, jobs: [{RUN: a, ECHO: b}]}\n", `extra-key: task "t", job 1 has the key "ECHO" beside the verb RUN; it is ignored`},
		{"verb that cannot be executed", head + "tasks:\n  - {id: t, driver: directord, jobs: [{POD: a}]}\n", `5:40 not-executable: task "t", job 1: POD can be planned but not executed`},
		{"playbook", head + "tasks:\n  - {id: t, driver: ansible_runner, playbook: site.yaml}\n", `not-executable: task "t" runs an Ansible playbook`},
		{"unknown action", head + "tasks:\n  - {id: t, driver: service, jobs: [{ehco: a}, {echo: b}]}\n", `unknown-action: task "t": job 1 has the action "ehco", which does nothing (did you mean "echo"?)`},
		{"unknown var", head + "tasks:\n  - {id: t, driver: directord, jobs: [{RUN: x, vars: {chmod: 0440}}]}\n", `job: task "t", job 1: vars: RUN has no option chmod; it is ignored`},
		{"misspelled key beside the right one", head + "tasks:\n  - {id: t, driver: noop, requires: [], require: [x]}\n", `unknown-key: task "t" has the key "require" beside "requires", which means nothing (did you mean "requires"?)`},
		{"key that is somewhat like another", head + "tasks:\n  - {id: t, driver: noop, idempotence: x}\n", `unknown-key: task "t" has the key "idempotence", which means nothing (did you mean "idempotent"?)`},
	}
	for _, c := range cases {
		o := compileFiles(t, deployment(map[string]string{"services/a.yaml": c.text}, "h1: a"), planner.Options{})
		if o.Plan == nil {
			t.Errorf("%s: %q", c.name, o.lines(errs))
			continue
		}
		if got := o.lines(warns); len(got) != 1 || !strings.Contains(got[0], c.want) {
			t.Errorf("%s:\n got %s\nwant %s", c.name, strings.Join(got, "\n     "), c.want)
		}
	}
}

// TestExtraKeys: files of the older tools may hold keys of their own.
func TestExtraKeys(t *testing.T) {
	files := deployment(map[string]string{"services/a.yaml": "id: a\nversion: 1.0.0\ntype: service\nrequires: [whatever]\nmaintainer: {a: [1]}\ntasks:\n" +
		"  - {id: t, driver: print, message: x, jobs: nonsense, playbook: [1], owner: me}\n"}, "h1: a")
	files["inventory.yaml"] = "groups: {}\nhosts:\n  h1: {role: r, anything: ignored}\n"
	files["roles.yaml"] = "r: {services: [a], description: x}\n"
	o := compileFiles(t, files, planner.Options{})
	o.wantPlan(t, "a-t")
	o.wantLines(t, warns)
}

func TestInventoryAndRolesErrors(t *testing.T) {
	service := map[string]string{"services/a.yaml": service("a", "id: t, driver: noop")}
	cases := []struct{ name, inventory, roles, want string }{
		{"no hosts", "host:\n  h1: {role: r}\n", "r: {services: [a]}\n", `inventory.yaml:1:1 unknown-key: the inventory has the key "host", which means nothing (did you mean "hosts"?)`},
		{"empty hosts", "hosts: {}\n", "r: {services: [a]}\n", `inventory.yaml:1:8 bad-value: the inventory: "hosts" needs at least 1`},
		{"empty inventory", "", "r: {services: [a]}\n", `inventory.yaml:0:0 wrong-type: an inventory is empty`},
		{"inventory is a list", "- hosts\n", "r: {services: [a]}\n", `inventory.yaml:1:1 wrong-type: the inventory must be a mapping, not a list`},
		{"host without role", "hosts:\n  h1: {}\n", "r: {services: [a]}\n", `inventory.yaml:2:7 missing-key: hosts.h1 has no "role"`},
		{"list of roles", "hosts:\n  h1: {role: [r]}\n", "r: {services: [a]}\n", `hosts.h1: "role" must be text, not a list`},
		{"number as role", "hosts:\n  h1: {role: 1}\n", "r: {services: [a]}\n", `(write it in quotes: "1")`},
		{"bad role", "hosts:\n  h1: {role: _r}\n", "r: {services: [a]}\n", `hosts.h1: "role" cannot be "_r"`},
		{"host twice", "hosts:\n  h1: {role: r}\n  h1: {role: r}\n", "r: {services: [a]}\n", `inventory.yaml:3:3 syntax: the key "h1" is here a second time`},
		{"role without services", "hosts:\n  h1: {role: r}\n", "r: {service: [a]}\n", `roles.yaml:1:5 unknown-key: role "r" has the key "service"`},
		{"role is a list", "hosts:\n  h1: {role: r}\n", "r: [a]\n", `roles.yaml:1:4 wrong-type: role "r" must be a mapping, not a list`},
		{"service twice in a role", "hosts:\n  h1: {role: r}\n", "r: {services: [a, a]}\n", `roles.yaml:1:19 duplicate-item: role "r": "services" lists "a" a second time`},
		{"bad name of a role", "hosts:\n  h1: {role: r}\n", "r: {services: [a]}\n_x: {services: []}\n", `roles.yaml:2:1 bad-value: "_x" cannot be the name of a role`},
		{"roles are a list", "hosts:\n  h1: {role: r}\n", "- r\n", `roles.yaml:1:1 wrong-type: the roles must be a mapping, not a list`},
	}
	for _, c := range cases {
		service["inventory.yaml"], service["roles.yaml"] = c.inventory, c.roles
		o := compileFiles(t, service, planner.Options{})
		got := o.lines(errs)
		if len(got) != 1 || !strings.Contains(got[0], c.want) {
			t.Errorf("%s:\n got %s\nwant %s", c.name, strings.Join(got, "\n     "), c.want)
		}
	}
}

// TestAllErrorsAtOnce: one run of the compiler tells everything.
func TestAllErrorsAtOnce(t *testing.T) {
	o := compileFiles(t, map[string]string{
		"services/a.yaml": service("a", "id: t, driver: prnt, message: x", "id: u, driver: print"),
		"services/b.yaml": service("b", "id: t, driver: noop, requires: [b], provides: [b]"),
		"services/c.yaml": "id: [\ntasks:\n",
		"inventory.yaml":  "hosts:\n  H1: {role: r}\n  h2: {role: r}\n",
		"roles.yaml":      "r: {services: [b, a]}\n",
	}, planner.Options{Restrict: []string{"b-u"}})
	o.wantLines(t, errs, "bad-value: hosts.H1", "unknown-driver", `missing-key: task "u"`, "services/c.yaml:3:1 syntax",
		`unknown-task: there is no task, service or job "b-u" to restrict to (did you mean "b-t"?)`, "cycle")
}

func TestSourcesFromFoldersAndFiles(t *testing.T) {
	dir := tree(t, map[string]string{
		"services/a.yaml":  service("a", "id: t, driver: noop"),
		"inventory/2.yaml": "hosts:\n  h1: {role: r}\n", "inventory/1.yml": "hosts:\n  h2: {role: r}\n",
		"roles/x.yaml": "r: {services: [a]}\n", "roles/y.yaml": "s: {services: []}\n",
		"twice/1.yaml": "hosts:\n  h1: {role: r}\n", "twice/2.yaml": "hosts:\n  h1: {role: r}\n",
		"twins/1.yaml": "r: {services: [a]}\n", "twins/2.yaml": "r: {services: [a]}\n", "empty/x": "",
	})
	at := func(name string) string { return filepath.Join(dir, name) }
	o := compile(t, dir, planner.Sources{Services: at("services/a.yaml"), Inventory: at("inventory"), Roles: at("roles")}, planner.Options{})
	o.wantPlan(t, "a-t")
	if got := strings.Join(o.Hosts, " "); got != "h2 h1" {
		t.Errorf("hosts are %s, want those of the files in the order of their names", got)
	}
	cases := []struct {
		src  planner.Sources
		want string
	}{
		{planner.Sources{Services: at("services"), Inventory: at("twice"), Roles: at("roles")}, `twice/2.yaml:2:3 duplicate-host: host "h1" is also in twice/1.yaml:2`},
		{planner.Sources{Services: at("services"), Inventory: at("inventory"), Roles: at("twins")}, `twins/2.yaml:1:1 duplicate-role: role "r" is also in twins/1.yaml:1`},
		{planner.Sources{Services: at("servces"), Inventory: at("inventory"), Roles: at("roles")}, `servces:0:0 no-such-file: there is no such file or folder of services`},
		{planner.Sources{Services: at("empty"), Inventory: at("inventory"), Roles: at("roles")}, `empty:0:0 no-such-file: the folder holds no .yaml or .yml file`},
		{planner.Sources{Services: at("services"), Inventory: at("inventory")}, `missing-source: services need an inventory and roles`},
		{planner.Sources{Services: at("inventory/2.yaml"), Inventory: at("inventory"), Roles: at("roles")}, `2.yaml:1:1 missing-key: the service has no "id"`},
	}
	for _, c := range cases {
		o := compile(t, dir, c.src, planner.Options{})
		if got := strings.Join(o.lines(errs), "\n"); !strings.Contains(got, c.want) {
			t.Errorf("got %s\nwant %s", got, c.want)
		}
	}
}

func TestHostlessServiceIsForgiven(t *testing.T) {
	o := compileFiles(t, deployment(map[string]string{
		"services/a.yaml": service("a", "id: t, driver: noop"),
		"services/b.yaml": service("b", "id: t, driver: directord, jobs: [{ADD: nowhere /x}, {RUN: x --timeout y}]"),
	}, "h1: a"), planner.Options{})
	o.wantPlan(t, "a-t")
	o.wantLines(t, warns, `task "t", job 2: RUN`, `unused-service`)
}

func TestUnreadableFile(t *testing.T) {
	dir := tree(t, deployment(map[string]string{"services/a.yaml": service("a", "id: t, driver: noop")}, "h1: a"))
	if err := os.Symlink(filepath.Join(dir, "nowhere"), filepath.Join(dir, "services", "z.yaml")); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(filepath.Join(dir, "services"), filepath.Join(dir, "services", "loop")); err != nil {
		t.Fatal(err)
	}
	o := compile(t, dir, sources(dir), planner.Options{})
	if got := strings.Join(o.lines(errs), "\n"); !strings.Contains(got, "nested deeper") {
		t.Errorf("a loop of folders: %s", got)
	}
}
