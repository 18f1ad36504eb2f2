package planner

import (
	"fmt"
	"slices"
	"strings"

	"quorate/internal/yaml11"
)

// A fieldSet is the declared fields of one kind of mapping, ready for use.
type fieldSet struct {
	fields  []Field
	matches []matcher
	// others are known keys that mean nothing here, such as those of other drivers.
	others []string
}

func newFieldSet(fields []Field) *fieldSet {
	s := &fieldSet{fields: fields}
	for _, f := range fields {
		s.matches = append(s.matches, matcherOf(f.Pattern))
	}
	return s
}

// forDriver narrows a set to what tasks of the driver read.
func forDriver(fields []Field, driver Driver) *fieldSet {
	var mine []Field
	var others []string
	for _, f := range fields {
		if len(f.Drivers) == 0 || slices.Contains(f.Drivers, driver) {
			mine = append(mine, f)
		} else {
			others = append(others, f.Key)
		}
	}
	s := newFieldSet(mine)
	s.others = others
	return s
}

func (s *fieldSet) index(key string) int {
	for i := range s.fields {
		if s.fields[i].Key == key {
			return i
		}
	}
	return -1
}

// A checked mapping gives the values of declared keys that have the right shape.
type checked struct {
	set    *fieldSet
	values []*yaml11.Node
}

// get returns the value of a key, nil where it is absent or wrong.
func (c checked) get(key string) *yaml11.Node {
	if i := c.set.index(key); i >= 0 && c.values != nil {
		return c.values[i]
	}
	return nil
}

// text returns a scalar's text, empty where it is absent or wrong.
func (c checked) text(key string) string {
	if n := c.get(key); n != nil {
		return n.Text
	}
	return ""
}

func (c checked) name(key string) name { return nameOf(c.get(key)) }

// names returns the elements of a list of texts, each once.
func (c checked) names(key string) []name {
	n := c.get(key)
	if n == nil {
		return nil
	}
	if n.Kind == yaml11.Scalar {
		return []name{nameOf(n)}
	}
	out := make([]name, 0, len(n.Items))
	seen := make(map[string]bool, len(n.Items))
	for _, item := range n.Items {
		if !seen[item.Text] {
			seen[item.Text] = true
			out = append(out, nameOf(item))
		}
	}
	return out
}

func (c checked) flag(key string) bool {
	if n := c.get(key); n != nil {
		v, _ := n.Bool()
		return v
	}
	return false
}

func nameOf(n *yaml11.Node) name {
	if n == nil {
		return name{}
	}
	return name{n.Text, spotOf(n)}
}

func spotOf(n *yaml11.Node) spot { return spot{uint32(n.Line), uint32(n.Column)} }

// check holds a mapping against its declaration. what names it in messages, for
// instance `task "init"`; ok is false where something is missing or wrong.
func (d *decoder) check(n *yaml11.Node, what string, set *fieldSet) (c checked, ok bool) {
	c.set = set
	if n.Kind != yaml11.Mapping {
		d.errorf("wrong-type", n, "", "%s must be a mapping, not %s", what, shapeOf(n))
		return c, false
	}
	c.values = make([]*yaml11.Node, len(set.fields))
	ok = true
	wrong := make([]bool, len(set.fields))
	for _, p := range n.Pairs {
		i := set.index(p.Key.Text)
		if i < 0 {
			if near := d.unknownKey(n, p.Key, what, set); near >= 0 {
				wrong[near], ok = true, false
			}
			continue
		}
		if !d.checkValue(p.Value, what, &set.fields[i], set.matches[i]) {
			wrong[i], ok = true, false
			continue
		}
		c.values[i] = p.Value
	}
	for i, f := range set.fields {
		if f.Required && c.values[i] == nil && !wrong[i] {
			d.errorf("missing-key", n, "", "%s has no %q", what, f.Key)
			ok = false
		}
	}
	return c, ok
}

// unknownKey complains about a key that looks like a misspelling of another, and
// returns the position of that where it is an error, else -1. Where the other one
// is there too, the key may be somebody's own, and is only warned of. Other unknown
// keys are allowed and mean nothing.
func (d *decoder) unknownKey(n, key *yaml11.Node, what string, set *fieldSet) int {
	if slices.Contains(set.others, key.Text) {
		return -1
	}
	candidates := func(there bool) func(func(string) bool) {
		return func(yield func(string) bool) {
			for _, f := range set.fields {
				if (n.Get(f.Key) != nil) == there && !yield(f.Key) {
					return
				}
			}
		}
	}
	near := nearest(key.Text, candidates(false))
	if near == "" {
		if near = nearest(key.Text, candidates(true)); near != "" && editDistance(key.Text, near, 2) <= 1 {
			d.warnf("unknown-key", key, didYouMean(near), "%s has the key %q beside %q, which means nothing", what, key.Text, near)
		}
		return -1
	}
	hint := didYouMean(near)
	if editDistance(key.Text, near, 2) > 1 {
		d.warnf("unknown-key", key, hint, "%s has the key %q, which means nothing", what, key.Text)
		return -1
	}
	d.errorf("unknown-key", key, hint, "%s has the key %q, which means nothing", what, key.Text)
	return set.index(near)
}

// checkValue holds one value against its field.
func (d *decoder) checkValue(n *yaml11.Node, what string, f *Field, match matcher) bool {
	wrong := func(want string) bool {
		d.errorf("wrong-type", n, d.quoteHint(n, want, f), "%s: %q must be %s, not %s", what, f.Key, want, shapeOf(n))
		return false
	}
	switch f.Kind {
	case FieldText:
		if n.Kind != yaml11.Scalar || n.Tag != yaml11.Str {
			return wrong("text")
		}
		return d.checkText(n, what, f, match)
	case FieldVersion:
		if n.Kind != yaml11.Scalar || n.Tag != yaml11.Str && n.Tag != yaml11.Int && n.Tag != yaml11.Float {
			return wrong("a version such as 1.0.0")
		}
		return d.checkText(n, what, f, match)
	case FieldBool:
		if _, isBool := n.Bool(); !isBool {
			return wrong("true or false")
		}
	case FieldTruth:
		if n.Kind != yaml11.Scalar {
			return wrong("true or false")
		}
	case FieldTexts, FieldNames:
		if f.Kind == FieldNames && n.Kind == yaml11.Scalar && n.Tag == yaml11.Str {
			return d.checkText(n, what, f, match)
		}
		if n.Kind != yaml11.Sequence {
			return wrong("a list of texts")
		}
		return d.checkTexts(n, what, f, match)
	case FieldInts:
		return d.checkInts(n, wrong)
	case FieldMapping, FieldHosts:
		if n.Kind != yaml11.Mapping {
			return wrong("a mapping")
		}
		return d.checkCount(n, len(n.Pairs), what, f)
	case FieldJobs, FieldMessages, FieldTasks:
		if n.Kind != yaml11.Sequence {
			return wrong("a list")
		}
		return d.checkCount(n, len(n.Items), what, f)
	}
	return true
}

// quoteHint says how to write the value of a field so that it is what is wanted. There
// is no field for what is one of several in a list.
func (d *decoder) quoteHint(n *yaml11.Node, want string, f *Field) string {
	switch {
	case n.Kind == yaml11.Scalar && n.Tag != yaml11.Str && n.Tag != yaml11.Null && want == "text":
		return fmt.Sprintf("write it in quotes: %q", n.Text)
	case n.Kind == yaml11.Scalar && n.Tag == yaml11.Str && strings.HasPrefix(want, "a list of"):
		return fmt.Sprintf("write it as a list: [%s]", n.Text)
	case n.IsNull() && f == nil:
		return "leave it out, or give it a value"
	case n.IsNull() && f.Kind == FieldJobs:
		return `give it its jobs, each on a line of its own: - RUN: "uptime"`
	case n.IsNull() && f.Required:
		return "it is needed: give it a value"
	case n.IsNull():
		return "leave the key out, or give it a value"
	}
	return ""
}

func (d *decoder) checkText(n *yaml11.Node, what string, f *Field, match matcher) bool {
	if len(f.Enum) > 0 && !slices.Contains(f.Enum, n.Text) {
		code := "bad-value"
		if f.Key == "driver" {
			code = "unknown-driver"
		}
		hint := didYouMean(nearest(n.Text, slices.Values(f.Enum)))
		if hint == "" {
			hint = "it may be " + strings.Join(f.Enum, ", ")
		}
		d.errorf(code, n, hint, "%s: %q cannot be %q", what, f.Key, n.Text)
		return false
	}
	if !match(n.Text) {
		d.errorf("bad-value", n, patternHint(f.Pattern), "%s: %q cannot be %q", what, f.Key, n.Text)
		return false
	}
	return true
}

// patternHint says in words what a pattern allows.
func patternHint(pattern string) string {
	switch pattern {
	case PatternName:
		return "use letters, digits, dots, dashes and underscores"
	case PatternHost:
		return "use lower-case letters, digits, dots and dashes"
	case PatternRole:
		return "begin with a letter or digit; use letters, digits, dots, dashes, underscores and blanks"
	case PatternServiceRef:
		return "use letters, digits, dots, dashes, underscores and blanks"
	case PatternVersion:
		return "use numbers with dots between them"
	}
	return "it must match " + pattern
}

func (d *decoder) checkTexts(n *yaml11.Node, what string, f *Field, match matcher) bool {
	ok := true
	for i, item := range n.Items {
		if item.Kind != yaml11.Scalar || item.Tag != yaml11.Str {
			d.errorf("wrong-type", item, d.quoteHint(item, "text", nil), "%s: item %d of %q must be text, not %s", what, i+1, f.Key, shapeOf(item))
			ok = false
			continue
		}
		ok = d.checkText(item, what, f, match) && ok
	}
	if f.Unique && ok {
		seen := map[string]*yaml11.Node{}
		for _, item := range n.Items {
			if first := seen[item.Text]; first != nil {
				d.errorf("duplicate-item", item, "", "%s: %q lists %q a second time, first in line %d", what, f.Key, item.Text, first.Line)
				ok = false
				continue
			}
			seen[item.Text] = item
		}
	}
	return d.checkCount(n, len(n.Items), what, f) && ok
}

// checkInts accepts a list of integers, or one alone.
func (d *decoder) checkInts(n *yaml11.Node, wrong func(string) bool) bool {
	items := []*yaml11.Node{n}
	if n.Kind == yaml11.Sequence {
		items = n.Items
	}
	for _, item := range items {
		if v, ok := item.Int(); !ok || v < -1<<31 || v > 1<<31-1 {
			return wrong("a list of integers")
		}
	}
	return true
}

func (d *decoder) checkCount(n *yaml11.Node, count int, what string, f *Field) bool {
	if count < f.ItemsMin {
		d.errorf("bad-value", n, "", "%s: %q needs at least %d", what, f.Key, f.ItemsMin)
		return false
	}
	return true
}

// shapeOf names what a node is, for messages.
func shapeOf(n *yaml11.Node) string {
	switch n.Kind {
	case yaml11.Mapping:
		return "a mapping"
	case yaml11.Sequence:
		return "a list"
	}
	switch n.Tag {
	case yaml11.Null:
		return "nothing"
	case yaml11.Bool:
		return "the boolean " + n.Text
	case yaml11.Int, yaml11.Float:
		return "the number " + n.Text
	case yaml11.Timestamp:
		return "the date " + n.Text
	}
	return "text"
}
