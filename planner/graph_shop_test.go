package planner_test

import (
	"bytes"
	"context"
	"encoding/xml"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"quorate/internal/pyvalue"
	"quorate/internal/yaml11"
	"quorate/nodeagent/template"
	"quorate/nodeagent/verb"
	"quorate/planner"
)

const shopDir = "../testdata/shop"

func shop() planner.Sources {
	return planner.Sources{Services: shopDir + "/services", Inventory: shopDir + "/inventory.yaml", Roles: shopDir + "/roles.yaml"}
}

// TestShopCompiles also holds what the README of testdata says of the shop.
func TestShopCompiles(t *testing.T) {
	lines, plan := found(shop(), planner.Options{})
	want := []string{shopDir + "/roles.yaml:9 warning unused-role", shopDir + "/services/search.yaml:2 warning unused-service"}
	if plan == nil || !slices.Equal(lines, want) {
		t.Fatalf("diagnostics %q, want %q", lines, want)
	}
	if len(plan.Tasks) != 47 || len(plan.Hosts) != 6 || len(plan.Levels()) != 20 {
		t.Errorf("%d tasks on %d hosts in %d levels", len(plan.Tasks), len(plan.Hosts), len(plan.Levels()))
	}
	tasks := map[string]*planner.Task{}
	for i := range plan.Tasks {
		tasks[plan.Tasks[i].ID] = &plan.Tasks[i]
	}
	if got := tasks["proxy-start"]; len(got.Provides) != 2 || !slices.Contains(got.Symbols, "firewall.ready") {
		t.Errorf("proxy-start provides %v and requires %v", got.Provides, got.Symbols)
	}
	for id, host := range map[string]string{"database-bootstrap": "data-1", "api-migrate": "app-1"} {
		j := tasks[id].Jobs[0]
		if set := plan.HostSets[j.HostSet]; len(set) != 1 || plan.Hosts[set[0]] != host {
			t.Errorf("%s is for the host set %v, want %s alone", id, set, host)
		}
	}
}

// TestShopEffectsCanBeCounted: exactly the commands of tasks that must not run
// twice leave a line in the log of effects.
func TestShopEffectsCanBeCounted(t *testing.T) {
	_, plan := found(shop(), planner.Options{})
	counted := 0
	for i := range plan.Tasks {
		task := &plan.Tasks[i]
		if task.Driver != planner.DriverDirectord {
			continue
		}
		for _, j := range task.Jobs {
			leaves := strings.HasSuffix(j.Spec.Text, `&& echo "$QUORATE_TASK $QUORATE_JOB" >> var/log/effects.log`)
			if want := j.Spec.Verb == "RUN" && !task.Idempotent; leaves != want {
				t.Errorf("%s, job %d: leaves an effect %v, want %v: %s", task.ID, j.Spec.Index, leaves, want, j.Spec.Text)
			}
			if leaves {
				counted++
			}
		}
	}
	if counted != 24 {
		t.Errorf("%d commands leave an effect, testdata/README.md says 24", counted)
	}
}

// TestShopTemplatesRender renders every template with the shop's options for
// every host that might get it. Undefined names are errors.
func TestShopTemplatesRender(t *testing.T) {
	data, err := os.ReadFile(shopDir + "/options.yaml")
	if err != nil {
		t.Fatal(err)
	}
	docs, err := yaml11.Parse("options.yaml", data)
	if err != nil {
		t.Fatal(err)
	}
	paths, err := filepath.Glob(shopDir + "/services/files/*/*.j2")
	if err != nil || len(paths) < 10 {
		t.Fatalf("%d templates: %v", len(paths), err)
	}
	for _, path := range paths {
		source, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		for _, host := range []string{"edge-1", "app-2", "data-3"} {
			if strings.Contains(path, "/backup/") && host != "data-3" {
				continue
			}
			vars := templateValue(docs[0]).(*pyvalue.Dict)
			vars.SetStr("deployment_host", pyvalue.Str(host))
			vars.SetStr("database_members", pyvalue.Str("192.0.2.31:5432"))
			text, err := template.Render(context.Background(), string(source), vars)
			if err != nil || strings.Contains(text, "\n\n\n") || strings.Contains(text, "{{") {
				t.Errorf("%s for %s: %v\n%s", path, host, err, text)
			}
		}
	}
}

func templateValue(n *yaml11.Node) pyvalue.Value {
	switch n.Kind {
	case yaml11.Mapping:
		d := pyvalue.NewDict()
		for _, p := range n.Pairs {
			d.SetStr(p.Key.Text, templateValue(p.Value))
		}
		return d
	case yaml11.Sequence:
		l := pyvalue.NewList()
		for _, item := range n.Items {
			l.Items = append(l.Items, templateValue(item))
		}
		return l
	}
	if v, ok := n.Int(); ok {
		return pyvalue.Int(v)
	}
	if v, ok := n.Bool(); ok {
		return pyvalue.Bool(v)
	}
	return pyvalue.Str(n.Text)
}

func TestSampleOrchestrationsCompile(t *testing.T) {
	for file, tasks := range map[string]int{"rolling": 3, "deliver": 2, "everywhere": 1, "failing": 2} {
		path := fmt.Sprintf("../testdata/orchestrations/%s.yaml", file)
		lines, plan := found(planner.Sources{Orchestrations: []string{path}},
			planner.Options{Hosts: []string{"edge-1", "app-1", "app-2", "data-1", "data-2", "data-3"}})
		if plan == nil || len(lines) > 0 {
			t.Errorf("%s: %q", file, lines)
			continue
		}
		if len(plan.Tasks) != tasks {
			t.Errorf("%s: %d tasks, want %d", file, len(plan.Tasks), tasks)
		}
	}
}

// TestRealPlansCanBeDrawn draws what really gets drawn, and checks that the
// picture is XML with a box per task.
func TestRealPlansCanBeDrawn(t *testing.T) {
	t.Run("shop", func(t *testing.T) {
		_, plan := found(shop(), planner.Options{})
		checkDrawings(t, plan)
	})
	t.Run("openstack", func(t *testing.T) {
		dir := filepath.Join(corpus(t), "openstack")
		checkDrawings(t, compileClean(t, planner.Sources{
			Services: dir + "/services", Inventory: dir + "/basic/basic_inventory.yaml", Roles: dir + "/basic/basic_roles.yaml",
		}, planner.Options{Verbs: verb.Lookup}))
	})
}

func checkDrawings(t *testing.T, plan *planner.Plan) {
	t.Helper()
	var svg bytes.Buffer
	for _, err := range []error{plan.SVG(&svg), plan.Dot(io.Discard), plan.Mermaid(io.Discard)} {
		if err != nil {
			t.Fatal(err)
		}
	}
	if got := strings.Count(svg.String(), "data-task="); got != len(plan.Tasks) {
		t.Errorf("%d boxes for %d tasks", got, len(plan.Tasks))
	}
	if err := xml.Unmarshal(svg.Bytes(), new(struct{})); err != nil {
		t.Errorf("the picture is no XML: %v", err)
	}
	view := planner.View(plan, nil, nil)
	at := map[string]int{}
	for i, level := range view.Order {
		for _, id := range level {
			at[id] = i
		}
	}
	for _, task := range view.Tasks {
		for _, a := range task.After {
			if at[a.Task] >= at[task.ID] {
				t.Errorf("%s is not after %s", task.ID, a.Task)
			}
		}
	}
}
