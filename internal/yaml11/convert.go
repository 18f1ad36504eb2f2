package yaml11

import (
	"encoding/base64"
	"fmt"
	"strings"

	"go.yaml.in/yaml/v4"
)

// A converter turns the library's nodes of one file into ours.
type converter struct {
	name string
	// anchors are the converted targets of aliases in the current document.
	anchors map[*yaml.Node]*anchored
	// aliased counts the nodes that following aliases and merges has added.
	aliased int
	// slab is where nodes come from: one allocation for many.
	slab []Node
}

// An anchored node is the target of aliases; its node is nil while it is being
// converted, so that an alias inside of its own target is seen.
type anchored struct {
	node *Node
	size int
}

func (c *converter) fail(at *yaml.Node, format string, args ...any) *SyntaxError {
	return &SyntaxError{Name: c.name, Line: at.Line, Column: at.Column, Message: fmt.Sprintf(format, args...)}
}

func (c *converter) node(kind Kind, at *yaml.Node) *Node {
	if len(c.slab) == 0 {
		c.slab = make([]Node, 32)
	}
	n := &c.slab[0]
	c.slab = c.slab[1:]
	n.Kind, n.Line, n.Column = kind, at.Line, at.Column
	return n
}

// convert returns the node and the number of nodes it amounts to, aliases followed.
func (c *converter) convert(in *yaml.Node, depth int) (*Node, int, error) {
	if depth > DepthMax {
		return nil, 0, c.fail(in, "collections are nested deeper than %d", DepthMax)
	}
	if in.Kind == yaml.AliasNode {
		return c.alias(in, depth)
	}
	if in.Anchor == "" {
		return c.build(in, depth)
	}
	if c.anchors == nil {
		c.anchors = map[*yaml.Node]*anchored{}
	}
	a := &anchored{}
	c.anchors[in] = a
	n, size, err := c.build(in, depth)
	a.node, a.size = n, size
	return n, size, err
}

func (c *converter) alias(in *yaml.Node, depth int) (*Node, int, error) {
	a := c.anchors[in.Alias]
	if a == nil || a.node == nil {
		return nil, 0, c.fail(in, "the alias *%s stands inside of what it names", in.Value)
	}
	if err := c.grow(in, a.size); err != nil {
		return nil, 0, err
	}
	if height(a.node, DepthMax-depth) < 0 {
		return nil, 0, c.fail(in, "collections are nested deeper than %d", DepthMax)
	}
	return a.node, a.size, nil
}

// grow counts nodes that an alias or a merge adds.
func (c *converter) grow(at *yaml.Node, nodes int) error {
	if c.aliased += nodes; c.aliased > AliasedNodesMax {
		return c.fail(at, "following the aliases adds more than %d nodes", AliasedNodesMax)
	}
	return nil
}

// height returns what is left of the allowance below n, or -1 where it is used up.
// The caller has paid for the walk: aliased nodes are bounded in number.
func height(n *Node, allowance int) int {
	if allowance < 0 {
		return -1
	}
	left := allowance
	for _, item := range n.Items {
		if left = min(left, height(item, allowance-1)); left < 0 {
			return -1
		}
	}
	for _, p := range n.Pairs {
		if left = min(left, height(p.Value, allowance-1)); left < 0 {
			return -1
		}
	}
	return left
}

func (c *converter) build(in *yaml.Node, depth int) (*Node, int, error) {
	switch in.Kind {
	case yaml.MappingNode:
		if err := c.checkTag(in, "!!map", "!!set"); err != nil {
			return nil, 0, err
		}
		return c.mapping(in, depth)
	case yaml.SequenceNode:
		if err := c.checkTag(in, "!!seq", "!!omap", "!!pairs"); err != nil {
			return nil, 0, err
		}
		n := c.node(Sequence, in)
		n.Items = make([]*Node, 0, len(in.Content))
		size := 1
		for _, child := range in.Content {
			item, s, err := c.convert(child, depth+1)
			if err != nil {
				return nil, 0, err
			}
			n.Items = append(n.Items, item)
			size += s
		}
		return n, size, nil
	}
	n, err := c.scalar(in)
	return n, 1, err
}

// checkTag refuses tags that a safe loader has no constructor for.
func (c *converter) checkTag(in *yaml.Node, allowed ...string) error {
	if in.Style&yaml.TaggedStyle == 0 {
		return nil
	}
	for _, tag := range allowed {
		if in.Tag == tag {
			return nil
		}
	}
	return c.fail(in, "the tag %s means nothing here", in.Tag)
}

const quoted = yaml.SingleQuotedStyle | yaml.DoubleQuotedStyle | yaml.LiteralStyle | yaml.FoldedStyle

func (c *converter) scalar(in *yaml.Node) (*Node, error) {
	n := c.node(Scalar, in)
	n.Text = in.Value
	if in.Style&yaml.TaggedStyle == 0 {
		if in.Style&quoted == 0 {
			n.Tag = Resolve(in.Value)
		}
		return n, nil
	}
	ok := true
	switch in.Tag {
	case "!!str":
	case "!!binary":
		data, err := base64.StdEncoding.DecodeString(strings.Join(strings.Fields(in.Value), ""))
		n.Text, ok = string(data), err == nil
	case "!!null":
		n.Tag = Null
	case "!!bool":
		n.Tag = Bool
		_, ok = truths[strings.ToLower(in.Value)]
	case "!!int":
		n.Tag = Int
		_, ok = n.BigInt()
	case "!!float":
		n.Tag = Float
		_, ok = n.Float()
	case "!!timestamp":
		n.Tag = Timestamp
		_, ok = n.Moment()
	default:
		return nil, c.fail(in, "the tag %s means nothing here", in.Tag)
	}
	if !ok {
		return nil, c.fail(in, "%q is no %s", in.Value, strings.TrimPrefix(in.Tag, "!!"))
	}
	return n, nil
}
