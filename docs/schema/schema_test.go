package main

import (
	"bytes"
	"encoding/json"
	"io/fs"
	"math/big"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/santhosh-tekuri/jsonschema/v6"

	"quorate/internal/yaml11"
	"quorate/nodeagent/verb"
	"quorate/planner"
)

// TestSchemasAreFresh fails where the tables or verbs have changed since.
func TestSchemasAreFresh(t *testing.T) {
	for _, f := range schemas() {
		have, err := os.ReadFile(f.Name)
		if err != nil || !bytes.Equal(have, f.Content) {
			t.Errorf("%s is stale (%v): go run ./docs/schema", f.Name, err)
		}
	}
}

// compiled returns the schemas as they are written, by the role of the files.
func compiled(t *testing.T) map[planner.Role]*jsonschema.Schema {
	t.Helper()
	out := map[planner.Role]*jsonschema.Schema{}
	for _, f := range schemas() {
		out[f.Role] = compile(t, compiler(t, f.Name, f.Content), f.Name)
	}
	return out
}

// compiler returns one that knows the schema of the name, and looks at formats.
func compiler(t *testing.T, name string, content []byte) *jsonschema.Compiler {
	t.Helper()
	doc, err := jsonschema.UnmarshalJSON(bytes.NewReader(content))
	if err != nil {
		t.Fatal(err)
	}
	c := jsonschema.NewCompiler()
	c.AssertFormat()
	if err := c.AddResource(name, doc); err != nil {
		t.Fatal(err)
	}
	return c
}

// compile returns the schema at the place, such as reply.json or reply.json#/$defs/x.
func compile(t *testing.T, c *jsonschema.Compiler, place string) *jsonschema.Schema {
	t.Helper()
	s, err := c.Compile(place)
	if err != nil {
		t.Fatalf("%s: %v", place, err)
	}
	return s
}

// check returns nil where the text is JSON as the schema has it.
func check(s *jsonschema.Schema, text string) error {
	v, err := jsonschema.UnmarshalJSON(strings.NewReader(text))
	if err != nil {
		return err
	}
	return s.Validate(v)
}

// asJSON is what a validator sees of a YAML node.
func asJSON(n *yaml11.Node) any {
	switch n.Kind {
	case yaml11.Mapping:
		m := map[string]any{}
		for _, p := range n.Pairs {
			m[p.Key.Text] = asJSON(p.Value)
		}
		return m
	case yaml11.Sequence:
		l := []any{}
		for _, item := range n.Items {
			l = append(l, asJSON(item))
		}
		return l
	}
	if n.IsNull() {
		return nil
	}
	if v, ok := n.Bool(); ok {
		return v
	}
	if v, ok := n.BigInt(); ok {
		return json.Number(v.String())
	}
	if v, ok := n.Float(); ok {
		return json.Number(big.NewFloat(v).Text('f', -1))
	}
	return n.Text
}

// validate returns the schema's verdict on each document of a file.
func validate(t *testing.T, schema *jsonschema.Schema, path string) error {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	docs, err := yaml11.Parse(path, data)
	if err != nil {
		return err
	}
	for _, d := range docs {
		if err := schema.Validate(asJSON(d)); err != nil {
			return err
		}
	}
	return nil
}

// yamlFiles lists the YAML files below a folder.
func yamlFiles(t *testing.T, dir string) []string {
	t.Helper()
	var out []string
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err == nil && !d.IsDir() && strings.HasSuffix(path, ".yaml") {
			out = append(out, path)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func TestOwnSamplesAreValid(t *testing.T) {
	schema := compiled(t)
	root := filepath.Join("..", "..", "testdata")
	counted := 0
	for role, dirs := range map[planner.Role][]string{
		planner.RoleService:       {"shop/services", "invalid/good/web.yaml"},
		planner.RoleInventory:     {"shop/inventory.yaml", "invalid/good/inventory.yaml"},
		planner.RoleRoles:         {"shop/roles.yaml", "invalid/good/roles.yaml"},
		planner.RoleOrchestration: {"orchestrations/rolling.yaml", "orchestrations/deliver.yaml", "orchestrations/everywhere.yaml", "orchestrations/failing.yaml"},
	} {
		for _, dir := range dirs {
			for _, path := range yamlFiles(t, filepath.Join(root, dir)) {
				counted++
				if err := validate(t, schema[role], path); err != nil {
					t.Errorf("%s: %v", path, err)
				}
			}
		}
	}
	if counted < 24 {
		t.Errorf("only %d files were looked at", counted)
	}
}

// TestCorpusIsValid: files written for the older tools need no change.
func TestCorpusIsValid(t *testing.T) {
	root := filepath.Join("..", "..", "..", "shared", "corpus", "task-core")
	if _, err := os.Stat(root); err != nil {
		t.Skip("the corpus is not beside the repository")
	}
	schema := compiled(t)
	services := append(yamlFiles(t, filepath.Join(root, "framework", "services")), yamlFiles(t, filepath.Join(root, "openstack", "services"))...)
	if len(services) < 40 {
		t.Fatalf("only %d services", len(services))
	}
	for _, path := range services {
		if err := validate(t, schema[planner.RoleService], path); err != nil {
			t.Errorf("%s: %v", path, err)
		}
	}
	for path, role := range map[string]planner.Role{
		"framework/inventory.yaml": planner.RoleInventory, "openstack/basic/basic_inventory.yaml": planner.RoleInventory,
		"framework/roles.yaml": planner.RoleRoles, "openstack/basic/basic_roles.yaml": planner.RoleRoles,
	} {
		if err := validate(t, schema[role], filepath.Join(root, path)); err != nil {
			t.Errorf("%s: %v", path, err)
		}
	}
}

// inShape reports whether a mistake of this code shows in the shape of a file.
func inShape(code string) bool {
	switch code {
	case "missing-key", "wrong-type", "bad-value", "unknown-driver", "unknown-verb", "duplicate-item", "syntax":
		return true
	}
	return false
}

var expectation = regexp.MustCompile(`(?m)^# expect: (error|warning) ([a-z-]+) `)

// TestInvalidSamples: the schema refuses exactly those of the samples whose
// mistake shows in the shape of the file; the planner alone sees the others.
func TestInvalidSamples(t *testing.T) {
	seenByPlannerOnly := map[string]bool{"two-documents.yaml": true} // each of them is valid
	roles := map[string]planner.Role{
		"services": planner.RoleService, "inventory": planner.RoleInventory, "roles": planner.RoleRoles, "orchestrations": planner.RoleOrchestration,
	}
	schema := compiled(t)
	refused := 0
	for dir, role := range roles {
		for _, path := range yamlFiles(t, filepath.Join("..", "..", "testdata", "invalid", dir)) {
			data, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			m := expectation.FindStringSubmatch(string(data))
			if m == nil {
				t.Errorf("%s does not say what to expect", path)
				continue
			}
			base := filepath.Base(path)
			want := m[1] == "error" && inShape(m[2]) && !seenByPlannerOnly[base]
			verdict := validate(t, schema[role], path)
			if (verdict != nil) != want {
				t.Errorf("%s (%s): refused %v, want %v: %v", path, m[2], verdict != nil, want, verdict)
			}
			if verdict != nil {
				refused++
			}
		}
	}
	if refused < 20 {
		t.Errorf("only %d samples were refused", refused)
	}
}

// plannerRefuses reports whether the planner finds a mistake in the shape of a file.
func plannerRefuses(t *testing.T, role planner.Role, text string) bool {
	t.Helper()
	path := filepath.Join(t.TempDir(), "x.yaml")
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	var src planner.Sources
	switch role {
	case planner.RoleService:
		// Mistakes in jobs are errors where the service has a host.
		src = planner.Sources{Services: path, Inventory: path + ".hosts", Roles: path + ".roles"}
		for name, text := range map[string]string{src.Inventory: "hosts: {h1: {role: r}}", src.Roles: "r: {services: [a]}"} {
			if err := os.WriteFile(name, []byte(text), 0o644); err != nil {
				t.Fatal(err)
			}
		}
	case planner.RoleInventory:
		src.Inventory = path
	case planner.RoleRoles:
		src.Roles = path
	default:
		src.Orchestrations = []string{path}
	}
	_, diagnostics := planner.Load(src, planner.Options{Verbs: verb.Lookup})
	return slices.ContainsFunc(diagnostics, func(d planner.Diagnostic) bool { return d.Severity == planner.Error && inShape(d.Code) })
}

// TestSchemaDetails holds what no sample file is worth having for. The planner
// must agree on each.
func TestSchemaDetails(t *testing.T) {
	const head = "id: a\nversion: 1.0.0\ntype: service\ntasks:\n  - {id: t, "
	schema := compiled(t)
	for _, c := range []struct {
		role  planner.Role
		text  string
		valid bool
	}{
		{planner.RoleService, head + "driver: noop}", true},
		{planner.RoleService, head + "driver: noop, jobs: 5, owner: me}", true}, // of another driver, and of nobody
		{planner.RoleService, head + "driver: directord, jobs: 5}", false},
		{planner.RoleService, head + "driver: directord, jobs: [{RUN: x, name: 5, vars: {timeout: 5}, assign: h1}]}", true},
		{planner.RoleService, head + "driver: directord, jobs: [{run: x}]}", true},
		{planner.RoleService, head + "driver: directord, jobs: [{RUN: [x]}]}", false},
		{planner.RoleService, head + "driver: directord, jobs: [{RUN: x, vars: {timeout: [5]}}]}", false},
		{planner.RoleService, head + "driver: directord, jobs: [{}]}", false},
		{planner.RoleService, head + "driver: local, command: x, returncodes: 3}", true},
		{planner.RoleService, head + "driver: local, command: x, returncodes: [0, 1.5]}", false},
		{planner.RoleService, head + "driver: local, command: x, quiet: 1}", false},
		{planner.RoleService, head + "driver: service, jobs: [{echo: hello}, {other: x}]}", true},
		{planner.RoleService, head + "driver: service, jobs: [{echo: [hello]}]}", false},
		{planner.RoleService, head + "driver: noop, needed-by: [a.b], idempotent: yes, always: false}", true},
		{planner.RoleService, strings.Replace(head, "1.0.0", "1.0", 1) + "driver: noop}", true},
		{planner.RoleInventory, "hosts: {h1: {role: r, zone: north}}", true},
		{planner.RoleInventory, "hosts: {h_1: {role: r}}", false},
		{planner.RoleRoles, "r: {services: []}", true},
		{planner.RoleRoles, "{}", false},
		{planner.RoleOrchestration, "[]", true},
		{planner.RoleOrchestration, "- {jobs: [], async: maybe, targets: h1, on_failure: continue}", true},
		{planner.RoleOrchestration, "- {jobs: [], targets: [1]}", false},
	} {
		docs, err := yaml11.Parse("x", []byte(c.text))
		if err != nil {
			t.Fatal(err)
		}
		if err := schema[c.role].Validate(asJSON(docs[0])); (err == nil) != c.valid {
			t.Errorf("%s\nvalid %v, want %v: %v", c.text, err == nil, c.valid, err)
		}
		if plannerRefuses(t, c.role, c.text) == c.valid {
			t.Errorf("%s\nthe planner does not agree that it is valid: %v", c.text, c.valid)
		}
	}
}
