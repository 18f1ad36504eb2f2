package cli

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"regexp"
	"slices"
	"strings"
	"unicode/utf8"

	"go.yaml.in/yaml/v4"
)

// A format is how data is printed.
type format string

// The formats.
const (
	formatTable  format = "table"
	formatJSON   format = "json"
	formatYAML   format = "yaml"
	formatNDJSON format = "ndjson"
)

func parseFormat(s string) (format, error) {
	all := []format{formatTable, formatJSON, formatYAML, formatNDJSON}
	if slices.Contains(all, format(s)) {
		return format(s), nil
	}
	return "", usage("quorate --help", "unknown output format %q: want table, json, yaml or ndjson", s)
}

// format is what --output says; it was checked before the command started.
func (p *program) format() format { return format(p.output) }

// emit prints one document: as JSON or YAML, or as what human prints.
func (p *program) emit(document any, human func() error) error {
	switch p.format() {
	case formatJSON:
		return p.printJSON(document, "  ")
	case formatNDJSON:
		return p.printJSON(document, "")
	case formatYAML:
		return printYAML(p.con.out, document)
	}
	return human()
}

// emitAll prints a list: the document as JSON or YAML, its elements as NDJSON, or
// a table.
func emitAll[T any](p *program, document any, elements []T, human *grid) error {
	if p.format() != formatNDJSON {
		return p.emit(document, func() error { return p.printGrid(human) })
	}
	for _, e := range elements {
		if err := p.printJSON(e, ""); err != nil {
			return err
		}
	}
	return nil
}

func (p *program) printJSON(v any, indent string) error {
	enc := json.NewEncoder(p.con.out)
	enc.SetEscapeHTML(false)
	enc.SetIndent("", indent)
	return enc.Encode(v)
}

// printYAML prints what the JSON would hold, with the same names in the same order.
func printYAML(w io.Writer, v any) error {
	data, err := json.Marshal(v)
	if err != nil {
		return err
	}
	var node yaml.Node
	if err := yaml.Unmarshal(data, &node); err != nil {
		return err
	}
	blockStyle(&node)
	var buf bytes.Buffer
	enc := yaml.NewEncoder(&buf)
	enc.SetIndent(2)
	if err := enc.Encode(&node); err != nil {
		return err
	}
	_, err = w.Write(buf.Bytes())
	return err
}

// plainText matches strings that no version of YAML reads as anything else, but
// for the words of YAML 1.1, plainWords.
var (
	plainText  = regexp.MustCompile(`^[A-Za-z/][A-Za-z0-9 ._/@+-]*$`)
	plainWords = regexp.MustCompile(`^(?i:y|n|yes|no|on|off|true|false|null)$`)
)

// blockStyle takes the styles of JSON out of a document. Strings that some
// reader would take for a number, a date or a truth value stay quoted.
func blockStyle(n *yaml.Node) {
	quoted := n.Kind == yaml.ScalarNode && n.Tag == "!!str" && (!plainText.MatchString(n.Value) || plainWords.MatchString(n.Value))
	if !quoted {
		n.Style = 0
	}
	for _, c := range n.Content {
		blockStyle(c)
	}
}

// printable takes control characters out of text that others wrote: an agent
// must not be able to drive the operator's terminal.
func printable(s string) string {
	return strings.Map(func(r rune) rune {
		if r == '\n' || r == '\t' {
			return ' '
		}
		if r < 0x20 || r >= 0x7f && r < 0xa0 {
			return '?'
		}
		return r
	}, s)
}

// prose prints a line of words, on a terminal within its columns. What does not fit goes on
// behind the indent.
func (p *program) prose(indent, format string, args ...any) error {
	line := fmt.Sprintf(format, args...)
	if p.con.outTerminal {
		line = wrapWords(line, p.con.columns(), indent)
	}
	_, err := fmt.Fprintln(p.con.out, line)
	return err
}

// wrapWords breaks a line between words, so that no part has more than so many columns
// unless a word does. All parts but the first begin with the indent.
func wrapWords(line string, columns int, indent string) string {
	words := strings.Split(line, " ")
	var b strings.Builder
	at := 0
	for i, word := range words {
		n := utf8.RuneCountInString(word)
		switch {
		case i == 0:
		case at+1+n > columns && at > len(indent):
			b.WriteString("\n" + indent)
			at = len(indent)
		default:
			b.WriteByte(' ')
			at++
		}
		b.WriteString(word)
		at += n
	}
	return b.String()
}
