package yaml11

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"strings"

	"go.yaml.in/yaml/v4"
)

// The limits of what Parse reads.
const (
	// BytesMax is the greatest size of a file in bytes.
	BytesMax = 16 << 20
	// DepthMax is the deepest nesting of collections, aliases followed.
	DepthMax = 200
	// AliasedNodesMax bounds the nodes that a document gains when its aliases and
	// merge keys are followed, so that a small file cannot stand for a huge one.
	AliasedNodesMax = 1 << 18
)

// A SyntaxError says where a file is not the YAML that this package reads.
type SyntaxError struct {
	Name         string // of the file, as given to Parse
	Line, Column int    // counted from 1; 0 is unknown
	Message      string
}

// Error implements error.
func (e *SyntaxError) Error() string {
	return fmt.Sprintf("%s:%d:%d: %s", e.Name, e.Line, e.Column, e.Message)
}

// Parse reads the documents of a file. Its error is a *SyntaxError.
//
// Nodes that are reached through aliases are shared, not copied: treat them as
// read-only.
func Parse(name string, data []byte) (docs []*Node, err error) {
	if len(data) > BytesMax {
		return nil, &SyntaxError{Name: name, Message: fmt.Sprintf("the file has %d bytes, more than %d", len(data), BytesMax)}
	}
	// The library reports through panics of its own and turns those into errors;
	// an index error in it must not take a server down with it either.
	defer func() {
		if v := recover(); v != nil {
			docs, err = nil, &SyntaxError{Name: name, Message: fmt.Sprintf("the YAML scanner gave up: %v", v)}
		}
	}()
	// PyYAML reads every 1.x alike; the library insists on 1.1.
	if rest, ok := bytes.CutPrefix(data, []byte("%YAML 1.2")); ok {
		data = append([]byte("%YAML 1.1"), rest...)
	}
	loader, err := yaml.NewLoader(bytes.NewReader(data))
	if err != nil {
		return nil, &SyntaxError{Name: name, Message: err.Error()}
	}
	c := &converter{name: name}
	for {
		var doc yaml.Node
		if err := loader.Load(&doc); err == io.EOF {
			return docs, nil
		} else if err != nil {
			return nil, syntaxError(name, err)
		}
		c.anchors, c.aliased = nil, 0
		root := &doc
		if root.Kind == yaml.DocumentNode {
			if len(root.Content) == 0 {
				continue
			}
			root = root.Content[0]
		}
		n, _, err := c.convert(root, 0)
		if err != nil {
			return nil, err
		}
		docs = append(docs, n)
	}
}

// syntaxError takes the position out of the library's error.
func syntaxError(name string, err error) *SyntaxError {
	var load *yaml.LoadError
	if !errors.As(err, &load) {
		return &SyntaxError{Name: name, Message: err.Error()}
	}
	message := load.Message
	if load.ContextMsg != "" {
		message = load.ContextMsg + ": " + message
	}
	mark := load.Mark
	if mark.Line == 0 {
		mark = load.ContextMark
	}
	return &SyntaxError{Name: name, Line: mark.Line, Column: mark.Column, Message: strings.TrimSpace(message)}
}
