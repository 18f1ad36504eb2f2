// Package yaml11 reads YAML as PyYAML's safe loader does (YAML 1.1 scalars) and
// keeps the position of every node.
//
// The planner needs it because existing service files were written for PyYAML,
// the agent because CACHEFILE loads such files on the node.
package yaml11

// Kind is the shape of a node.
type Kind uint8

// The shapes of nodes.
const (
	Scalar Kind = iota
	Mapping
	Sequence
)

// Tag is the type that PyYAML's safe loader would resolve a scalar to.
type Tag uint8

// The types of scalars.
const (
	Str Tag = iota
	Null
	Bool
	Int
	Float
	Timestamp
)

// A Node is one node of a document. Aliases and merge keys are already resolved.
type Node struct {
	Kind Kind
	Tag  Tag // of a scalar
	// Text is a scalar's text: the source text of a plain one, the content of a
	// quoted or block one. Use Bool, Int or Float for its value.
	Text string
	// Pairs are a mapping's entries in file order; keys are unique.
	Pairs []Pair
	// Items are a sequence's elements.
	Items []*Node
	// Line and Column are counted from 1.
	Line, Column int
}

// A Pair is one entry of a mapping.
type Pair struct{ Key, Value *Node }
