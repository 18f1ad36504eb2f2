package planner

import (
	"bytes"
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"quorate/internal/job"
)

// SchemaDialect is the version of JSON Schema that [Schemas] writes.
const SchemaDialect = "https://json-schema.org/draft/2020-12/schema"

// A SchemaFile is the JSON Schema of one kind of input file.
type SchemaFile struct {
	Role    Role
	Name    string // for instance "service.json"
	Content []byte
}

// Schemas returns the JSON Schemas of all input files, made of the same tables
// that files are validated with, and of the verbs given, sorted by name. An
// editor completes and checks with them; they accept what the planner accepts of
// a file by itself, except for verbs written in mixed case.
func Schemas(verbs []*job.Declaration) []SchemaFile {
	service := schemaOf(ServiceFields())
	service.title(RoleService, "Service", "A service of Task-Core: tasks that provide and require symbols, run on every host whose role lists the service.")
	service.Defs = properties{{"task", taskSchema()}, {"job", jobSchema(verbs)}}

	inventory := schemaOf(InventoryFields())
	inventory.title(RoleInventory, "Inventory", "The hosts of a deployment and the role of each.")
	inventory.Defs = properties{{"host", schemaOf(HostFields())}}

	roles := &jsonSchema{Type: "object", MinProperties: 1, PropertyNames: &jsonSchema{Pattern: PatternRole}, AdditionalProperties: schemaOf(RoleFields())}
	roles.title(RoleRoles, "Roles", "What the hosts of each role run: a list of services by role.")

	orchestration := &jsonSchema{Type: "array", Items: schemaOf(OrchestrationFields())}
	orchestration.title(RoleOrchestration, "Orchestration", "An orchestration file of Directord: a list of groups of jobs.")
	orchestration.Defs = properties{{"job", jobSchema(verbs)}}

	var files []SchemaFile
	for _, f := range []struct {
		role   Role
		schema *jsonSchema
	}{{RoleInventory, inventory}, {RoleOrchestration, orchestration}, {RoleRoles, roles}, {RoleService, service}} {
		files = append(files, SchemaFile{f.role, string(f.role) + ".json", f.schema.encode()})
	}
	return files
}

// A jsonSchema is the part of JSON Schema that is needed here, in the order in
// which it is written.
type jsonSchema struct {
	Schema               string          `json:"$schema,omitempty"`
	ID                   string          `json:"$id,omitempty"`
	Ref                  string          `json:"$ref,omitempty"`
	Title                string          `json:"title,omitempty"`
	Description          string          `json:"description,omitempty"`
	Type                 any             `json:"type,omitempty"` // a string or a list of them
	Const                string          `json:"const,omitempty"`
	Enum                 []string        `json:"enum,omitempty"`
	Examples             []string        `json:"examples,omitempty"`
	Pattern              string          `json:"pattern,omitempty"`
	Default              json.RawMessage `json:"default,omitempty"`
	MinItems             int             `json:"minItems,omitempty"`
	UniqueItems          bool            `json:"uniqueItems,omitempty"`
	Items                *jsonSchema     `json:"items,omitempty"`
	MinProperties        int             `json:"minProperties,omitempty"`
	PropertyNames        *jsonSchema     `json:"propertyNames,omitempty"`
	Required             []string        `json:"required,omitempty"`
	Properties           properties      `json:"properties,omitempty"`
	AdditionalProperties *jsonSchema     `json:"additionalProperties,omitempty"`
	Not                  *jsonSchema     `json:"not,omitempty"`
	AnyOf                []*jsonSchema   `json:"anyOf,omitempty"`
	AllOf                []*jsonSchema   `json:"allOf,omitempty"`
	If                   *jsonSchema     `json:"if,omitempty"`
	Then                 *jsonSchema     `json:"then,omitempty"`
	Defs                 properties      `json:"$defs,omitempty"`
}

// properties are the members of a JSON object that keeps its order.
type properties []property

type property struct {
	key    string
	schema *jsonSchema
}

// MarshalJSON writes the members as an object.
func (p properties) MarshalJSON() ([]byte, error) {
	var b bytes.Buffer
	b.WriteByte('{')
	for i, member := range p {
		if i > 0 {
			b.WriteByte(',')
		}
		key, err := json.Marshal(member.key)
		if err != nil {
			return nil, err
		}
		b.Write(key)
		b.WriteByte(':')
		e := json.NewEncoder(&b)
		e.SetEscapeHTML(false)
		if err := e.Encode(member.schema); err != nil {
			return nil, err
		}
	}
	b.WriteByte('}')
	return b.Bytes(), nil
}

func (s *jsonSchema) title(role Role, title, description string) {
	s.Schema, s.ID = SchemaDialect, "urn:quorate:schema:"+string(role)
	s.Title, s.Description = title, description
}

func (s *jsonSchema) encode() []byte {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	e.SetIndent("", "  ")
	if err := e.Encode(s); err != nil {
		panic("planner: a schema holds only what JSON encodes: " + err.Error())
	}
	return b.Bytes()
}

// scalarTypes are the types of a YAML scalar.
func scalarTypes() []string { return []string{"string", "number", "boolean", "null"} }

// schemaOf is the schema of a mapping with these fields; other keys are allowed.
func schemaOf(fields []Field) *jsonSchema {
	s := &jsonSchema{Type: "object"}
	for i := range fields {
		s.Properties = append(s.Properties, property{fields[i].Key, fieldSchema(&fields[i])})
		if fields[i].Required {
			s.Required = append(s.Required, fields[i].Key)
		}
	}
	return s
}

// fieldSchema says of one field what checkValue demands of it.
func fieldSchema(f *Field) *jsonSchema {
	s := &jsonSchema{Description: f.Help, Default: json.RawMessage(f.Default)}
	if f.Default == "" {
		s.Default = nil
	}
	text := &jsonSchema{Type: "string", Pattern: f.Pattern}
	switch f.Kind {
	case FieldText:
		s.Type, s.Pattern, s.Enum, s.Examples = "string", f.Pattern, f.Enum, f.Suggest
	case FieldVersion:
		s.Type, s.Pattern = []string{"string", "number"}, f.Pattern
	case FieldBool:
		s.Type = "boolean"
	case FieldTruth:
		s.Type = scalarTypes()
	case FieldTexts:
		s.Type, s.Items, s.MinItems, s.UniqueItems = "array", text, f.ItemsMin, f.Unique
	case FieldNames:
		s.AnyOf = []*jsonSchema{{Type: "array", Items: text}, text}
	case FieldInts:
		integer := &jsonSchema{Type: "integer"}
		s.AnyOf = []*jsonSchema{{Type: "array", Items: integer}, integer}
	case FieldMapping:
		s.Type = "object"
	case FieldJobs:
		s.Type, s.Items, s.MinItems = "array", &jsonSchema{Ref: "#/$defs/job"}, f.ItemsMin
	case FieldMessages:
		s.Type, s.Items = "array", &jsonSchema{Type: "object", Properties: properties{
			{"echo", &jsonSchema{Type: scalarTypes(), Description: "The text to record."}},
		}}
	case FieldTasks:
		s.Type, s.Items, s.MinItems = "array", &jsonSchema{Ref: "#/$defs/task"}, f.ItemsMin
	case FieldHosts:
		s.Type, s.MinProperties = "object", f.ItemsMin
		s.PropertyNames, s.AdditionalProperties = &jsonSchema{Pattern: f.Pattern}, &jsonSchema{Ref: "#/$defs/host"}
	}
	return s
}

// taskSchema is the schema of a task: what all have in common, and per driver
// what only that one reads.
func taskSchema() *jsonSchema {
	var common []Field
	byDriver := map[Driver][]Field{}
	for _, f := range TaskFields() {
		if len(f.Drivers) == 0 {
			common = append(common, f)
		}
		for _, d := range f.Drivers {
			byDriver[d] = append(byDriver[d], f)
		}
	}
	s := schemaOf(common)
	for _, d := range Drivers() {
		if len(byDriver[d]) == 0 {
			continue
		}
		then := schemaOf(byDriver[d])
		then.Type = nil
		s.AllOf = append(s.AllOf, &jsonSchema{
			If:   &jsonSchema{Properties: properties{{"driver", &jsonSchema{Const: string(d)}}}, Required: []string{"driver"}},
			Then: then,
		})
	}
	return s
}

// jobSchema is the schema of a job: a verb with its text, and keys beside it.
// Verbs are known in upper and in lower case.
func jobSchema(verbs []*job.Declaration) *jsonSchema {
	s := &jsonSchema{Type: "object", Description: "One verb with its text: `RUN: echo hello`."}
	var beside []string
	for _, f := range JobFields() {
		value := fieldSchema(&f)
		switch f.Kind {
		case FieldText:
			value.Type = scalarTypes()
		case FieldMapping:
			value.Type = []string{"object", "null"}
			value.Properties = varsProperties(verbs)
			value.AdditionalProperties = &jsonSchema{} // ignored, with a warning
		default: // one text stands for a list of one
			value.Type, value.Items = nil, nil
			value.AnyOf = []*jsonSchema{{Type: "array", Items: &jsonSchema{Type: "string"}}, {Type: []string{"string", "null"}}}
		}
		s.Properties = append(s.Properties, property{f.Key, value})
		beside = append(beside, f.Key)
	}
	keys := slices.Clone(beside)
	sorted := slices.SortedFunc(slices.Values(verbs), compareVerbs)
	for _, v := range sorted {
		s.Properties = append(s.Properties, property{v.Verb, &jsonSchema{Type: scalarTypes(), Description: verbHelp(v)}})
		keys = append(keys, v.Verb)
	}
	for _, v := range sorted {
		lower := strings.ToLower(v.Verb)
		s.Properties = append(s.Properties, property{lower, &jsonSchema{Ref: "#/$defs/job/properties/" + v.Verb}})
		keys = append(keys, lower)
	}
	s.PropertyNames = &jsonSchema{Enum: keys}
	s.Not = &jsonSchema{PropertyNames: &jsonSchema{Enum: beside}} // there is a verb
	return s
}

func compareVerbs(a, b *job.Declaration) int { return strings.Compare(a.Verb, b.Verb) }

// verbHelp describes a verb and its own options.
func verbHelp(v *job.Declaration) string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s\n\n%s", v.Summary, strings.TrimSpace(v.Verb+" [OPTIONS] "+v.Text))
	if !v.Executable {
		b.WriteString("\n\nCan be planned but not executed.")
	}
	for _, o := range v.Options {
		fmt.Fprintf(&b, "\n--%s: %s", o.Name, o.Help)
	}
	return b.String()
}

// varsProperties are the options of all verbs, as names in a job's vars.
func varsProperties(verbs []*job.Declaration) properties {
	help, structured := map[string]string{}, map[string]bool{}
	for _, o := range job.Common() {
		help[o.Name] = o.Help
	}
	for _, v := range slices.SortedFunc(slices.Values(verbs), compareVerbs) {
		for _, o := range v.Options {
			text := v.Verb + ": " + o.Help
			if old := help[o.Name]; old != "" && !strings.Contains(old, text) {
				text = old + "\n" + text
			}
			help[o.Name] = text
			structured[o.Name] = structured[o.Name] || o.Kind == job.List || o.Kind == job.Literal
		}
	}
	var names []string
	for name := range help {
		names = append(names, name)
	}
	slices.Sort(names)
	var out properties
	for _, name := range names {
		types := scalarTypes()
		if structured[name] {
			types = append(types, "array", "object")
		}
		out = append(out, property{strings.ReplaceAll(name, "-", "_"), &jsonSchema{Type: types, Description: help[name]}})
	}
	return out
}
