package eventlog

import (
	"reflect"
	"strings"
)

// A KindSchema says what the data of a kind of events looks like: a msgpack array
// of the fields in order. It lets data be read without this program.
type KindSchema struct {
	Kind   uint16        `json:"kind"`
	Name   string        `json:"name"` // such as step_scheduled
	Fields []FieldSchema `json:"fields"`
}

// A FieldSchema is one field of an event, or what the elements of a list are.
type FieldSchema struct {
	Name string `json:"name,omitempty"` // in snake case; none for an element of a list
	// Type is bool, int, uint, string, bytes, list or struct. A list or bytes may be
	// nil. A struct is an array of its fields.
	Type   string        `json:"type"`
	Elem   *FieldSchema  `json:"elem,omitempty"`   // of a list
	Fields []FieldSchema `json:"fields,omitempty"` // of a struct
	// Words are what the values 0, 1, 2 and so on of a uint are called.
	Words []string `json:"words,omitempty"`
	// Added says that records from before the field was there end in front of it.
	Added bool `json:"added,omitempty"`
}

// Schemas returns what the data of every kind of the catalogue looks like, in
// ascending order of the kinds' numbers.
func Schemas() []KindSchema {
	var all []KindSchema
	for k := range catalogue {
		if c := &catalogue[k]; c.typ != nil {
			all = append(all, KindSchema{Kind: uint16(k), Name: c.name, Fields: fieldSchemas(c.typ)})
		}
	}
	return all
}

func fieldSchemas(t reflect.Type) []FieldSchema {
	fields := []FieldSchema{}
	for f := range t.Fields() {
		if !f.IsExported() {
			continue
		}
		s := schemaOf(f.Type)
		s.Name, _, _ = strings.Cut(f.Tag.Get("json"), ",")
		s.Added = f.Tag.Get("added") != ""
		fields = append(fields, s)
	}
	return fields
}

// schemaOf follows shapeOf, which refuses every other type.
func schemaOf(t reflect.Type) FieldSchema {
	switch t.Kind() {
	case reflect.Struct:
		return FieldSchema{Type: "struct", Fields: fieldSchemas(t)}
	case reflect.Slice:
		if t.Elem().Kind() == reflect.Uint8 {
			return FieldSchema{Type: "bytes"}
		}
		elem := schemaOf(t.Elem())
		return FieldSchema{Type: "list", Elem: &elem}
	case reflect.String, reflect.Bool:
		return FieldSchema{Type: t.Kind().String()}
	case reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64:
		return FieldSchema{Type: "int"}
	}
	s := FieldSchema{Type: "uint"}
	if t == reflect.TypeFor[Outcome]() {
		for o := Outcome(0); o <= Unknown; o++ {
			s.Words = append(s.Words, o.String())
		}
	}
	return s
}
