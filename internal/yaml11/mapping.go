package yaml11

import (
	"strconv"

	"go.yaml.in/yaml/v4"
)

// pairsIndexedFrom is the number of pairs from which an index of the keys is
// cheaper than looking through them.
const pairsIndexedFrom = 12

// mapping converts a mapping. Pairs that are merged in come first, as PyYAML
// has it, and the mapping's own override them in place.
func (c *converter) mapping(in *yaml.Node, depth int) (*Node, int, error) {
	n := c.node(Mapping, in)
	n.Pairs = make([]Pair, 0, len(in.Content)/2)
	size := 1
	var merged []Pair
	own := keyIndex{}
	for i := 0; i+1 < len(in.Content); i += 2 {
		k, v := in.Content[i], in.Content[i+1]
		value, valueSize, err := c.convert(v, depth+1)
		if err != nil {
			return nil, 0, err
		}
		if isMerge(k) {
			pairs, err := c.merge(v, value)
			if err != nil {
				return nil, 0, err
			}
			merged = append(merged, pairs...)
			continue
		}
		key, keySize, err := c.convert(k, depth+1)
		if err != nil {
			return nil, 0, err
		}
		if key.Kind != Scalar {
			return nil, 0, c.fail(k, "a mapping or list cannot be a key")
		}
		if at := own.find(n.Pairs, key); at >= 0 {
			return nil, 0, c.fail(k, "the key %q is here a second time, first in line %d", key.Text, n.Pairs[at].Key.Line)
		}
		n.Pairs = append(n.Pairs, Pair{key, value})
		own.added(n.Pairs)
		size += keySize + valueSize
	}
	if merged != nil {
		n.Pairs = override(merged, n.Pairs)
		size = 1 + 2*len(n.Pairs)
		for _, p := range n.Pairs {
			size += weight(p.Value)
		}
	}
	return n, size, nil
}

// isMerge reports whether a key is the plain << of YAML 1.1.
func isMerge(k *yaml.Node) bool {
	if k.Kind != yaml.ScalarNode {
		return false
	}
	if k.Style&yaml.TaggedStyle != 0 {
		return k.Tag == "!!merge"
	}
	return k.Value == "<<" && k.Style&quoted == 0
}

// merge returns the pairs that a merge key brings in; of a list's mappings the
// earlier ones win, so they come last.
func (c *converter) merge(at *yaml.Node, value *Node) ([]Pair, error) {
	sources := []*Node{value}
	if value.Kind == Sequence {
		sources = value.Items
	}
	var pairs []Pair
	for i := len(sources) - 1; i >= 0; i-- {
		if sources[i].Kind != Mapping {
			return nil, c.fail(at, "a merge key takes a mapping or a list of mappings")
		}
		pairs = append(pairs, sources[i].Pairs...)
	}
	nodes := 0
	for _, p := range pairs {
		nodes += 1 + weight(p.Value)
	}
	return pairs, c.grow(at, nodes)
}

// weight counts the nodes below and at n, aliases followed.
func weight(n *Node) int {
	size := 1
	for _, item := range n.Items {
		size += weight(item)
	}
	for _, p := range n.Pairs {
		size += 1 + weight(p.Value)
	}
	return size
}

// override lays later pairs over earlier ones of the same key, which keep their place.
func override(merged, own []Pair) []Pair {
	var out []Pair
	index := keyIndex{}
	for _, pairs := range [2][]Pair{merged, own} {
		for _, p := range pairs {
			if at := index.find(out, p.Key); at >= 0 {
				out[at] = p
				continue
			}
			out = append(out, p)
			index.added(out)
		}
	}
	return out
}

// A keyIndex finds keys among pairs: by looking while they are few, then by hash.
type keyIndex struct{ at map[keyID]int }

// A keyID is what makes two keys the same.
type keyID struct {
	tag  Tag
	text string
}

func identity(n *Node) keyID {
	id := keyID{n.Tag, n.Text}
	switch n.Tag {
	case Null:
		id.text = ""
	case Bool:
		v, _ := n.Bool()
		id.text = strconv.FormatBool(v)
	case Int:
		if v, ok := n.BigInt(); ok {
			id.text = v.String()
		}
	case Float:
		v, _ := n.Float()
		id.text = strconv.FormatFloat(v, 'g', -1, 64)
	}
	return id
}

// find returns the position of the pair with the key, or -1.
func (x *keyIndex) find(pairs []Pair, key *Node) int {
	id := identity(key)
	if x.at != nil {
		if at, ok := x.at[id]; ok {
			return at
		}
		return -1
	}
	for i := range pairs {
		if k := pairs[i].Key; k.Tag == id.tag && identity(k) == id {
			return i
		}
	}
	return -1
}

// added tells the index of the newest pair.
func (x *keyIndex) added(pairs []Pair) {
	switch {
	case x.at != nil:
		x.at[identity(pairs[len(pairs)-1].Key)] = len(pairs) - 1
	case len(pairs) == pairsIndexedFrom:
		x.at = make(map[keyID]int, 2*len(pairs))
		for i, p := range pairs {
			x.at[identity(p.Key)] = i
		}
	}
}
