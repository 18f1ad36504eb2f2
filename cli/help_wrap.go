package cli

import (
	"bytes"
	"fmt"
	"io"
	"strings"
)

// Columns of help texts: as many as any terminal has, and where the flags' words begin.
const (
	helpColumns = 80
	helpFlags   = 26
)

// A helpWriter fits help texts into helpColumns. What is longer in a paragraph goes on in
// its next line. A text ends with a line that is short enough.
type helpWriter struct {
	out   io.Writer
	rest  []byte // of a line
	flags bool   // the lines are of flags
	carry string // what is to begin the next line of the paragraph
}

// Write implements io.Writer.
func (h *helpWriter) Write(p []byte) (int, error) {
	h.rest = append(h.rest, p...)
	for {
		line, rest, whole := bytes.Cut(h.rest, []byte("\n"))
		if !whole {
			return len(p), nil
		}
		text := h.fit(strings.TrimRight(string(line), " "))
		h.rest = append(h.rest[:0], rest...)
		if _, err := io.WriteString(h.out, text); err != nil {
			return len(p), err
		}
	}
}

// fit returns the lines that one becomes.
func (h *helpWriter) fit(line string) string {
	if prose := line != "" && line[0] != ' '; prose {
		h.flags = strings.HasSuffix(line, "lags:")
		if h.carry != "" {
			line, h.carry = h.carry+" "+line, ""
		}
		if len(line) > helpColumns {
			first, rest, _ := strings.Cut(wrapWords(line, helpColumns, ""), "\n")
			line, h.carry = first, strings.ReplaceAll(rest, "\n", " ")
		}
		return line + "\n"
	}
	before := ""
	if h.carry != "" {
		before, h.carry = wrapWords(h.carry, helpColumns, "")+"\n", ""
	}
	name, text, row := strings.Cut(strings.TrimLeft(line, " "), "  ")
	text = strings.TrimLeft(text, " ")
	switch {
	case !row:
		return before + wrapWords(line, helpColumns, "  ") + "\n"
	case !h.flags:
		return before + wrapWords(line, helpColumns, strings.Repeat(" ", len(line)-len(text))) + "\n"
	}
	indent := strings.Repeat(" ", helpFlags)
	head := fmt.Sprintf("  %-*s", helpFlags-2, name)
	if len(head) > helpFlags || strings.HasSuffix(head, name) {
		return before + "  " + name + "\n" + wrapWords(indent+text, helpColumns, indent) + "\n"
	}
	return before + wrapWords(head+text, helpColumns, indent) + "\n"
}
