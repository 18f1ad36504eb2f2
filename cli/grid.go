package cli

import (
	"fmt"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/jedib0t/go-pretty/v6/table"
)

// A grid is a table to be printed: a header and rows of cells.
type grid struct {
	header []any
	rows   [][]any
}

func (g *grid) add(cells ...any) { g.rows = append(g.rows, cells) }

// printGrid prints an aligned table without borders, on a terminal within its columns.
func (p *program) printGrid(g *grid) error {
	if len(g.rows) == 0 {
		p.con.note("nothing to show")
		return nil
	}
	t := table.NewWriter()
	style := table.StyleDefault
	style.Options = table.OptionsNoBordersAndSeparators
	style.Box.PaddingLeft = ""
	t.SetStyle(style)
	t.AppendHeader(table.Row(g.header))
	for _, row := range g.rows {
		for i, cell := range row {
			if s, ok := cell.(string); ok {
				row[i] = printable(s)
			}
		}
		t.AppendRow(table.Row(row))
	}
	if p.con.outTerminal {
		t.SetColumnConfigs(narrowed(g.widths(p.con.columns())))
	}
	for line := range strings.Lines(t.Render() + "\n") {
		if _, err := fmt.Fprintln(p.con.out, strings.TrimRight(line, " \n")); err != nil {
			return err
		}
	}
	return nil
}

// Bounds of what a table that is too wide takes from its columns, in columns of the
// terminal. The last one, which tends to be a sentence, gives first.
const (
	columnMin  = 10
	lastMin    = 12
	lastEnough = 24
)

// widths are the widths that the columns of a table get on a terminal: words are broken
// only where breaking between them is not enough, and numbers and times never. A table of
// very many columns may still be too wide.
func (g *grid) widths(columns int) []int {
	n := len(g.header)
	widths, words, least := make([]int, n), make([]int, n), make([]int, n)
	over := n - 1 - columns
	for i := range n {
		var whole bool
		widths[i], words[i], whole = g.natural(i)
		if least[i] = words[i]; !whole {
			least[i] = max(columnMin, cellWidth(g.header[i]))
		}
		words[i] = max(words[i], least[i])
		over += widths[i]
	}
	if n == 0 || over <= 0 {
		return widths
	}
	first := slices.Clone(widths)
	first[n-1] = max(words[n-1], min(max(widths[n-1]/3, lastMin), lastEnough))
	for _, floor := range [][]int{first, words, least} {
		over = shrink(widths, floor, over)
	}
	return widths
}

// shrink takes so much from the widest columns, down to a floor, and returns how much is
// left to be taken.
func shrink(widths, floor []int, over int) int {
	for ; over > 0; over-- {
		widest := -1
		for i, w := range widths {
			if w > floor[i] && (widest < 0 || w > widths[widest]) {
				widest = i
			}
		}
		if widest < 0 {
			break
		}
		widths[widest]--
	}
	return over
}

// natural is the width of a column whose cells are not broken, and that of its longest
// word; whole says that no word of it may be broken.
func (g *grid) natural(column int) (width, word int, whole bool) {
	width = cellWidth(g.header[column])
	word, whole = width, true
	for _, row := range g.rows {
		if column >= len(row) {
			continue
		}
		width = max(width, cellWidth(row[column]))
		for w := range strings.FieldsSeq(fmt.Sprint(row[column])) {
			word = max(word, cellWidth(w))
		}
		if s, ok := row[column].(string); ok && s != "-" && s != "" {
			_, err := time.Parse(time.RFC3339, s)
			whole = whole && err == nil
		}
	}
	return width, word, whole
}

func cellWidth(cell any) int { return utf8.RuneCountInString(fmt.Sprint(cell)) }

// narrowed breaks cells that are wider than their columns.
func narrowed(widths []int) []table.ColumnConfig {
	configs := make([]table.ColumnConfig, len(widths))
	for i, w := range widths {
		configs[i] = table.ColumnConfig{Number: i + 1, WidthMax: w, WidthMaxEnforcer: broken}
	}
	return configs
}

// broken breaks a text into lines of at most so many columns: between words where that is
// possible, or else behind a comma, so that a long name makes no row wider than the terminal.
func broken(text string, columns int) string {
	words := strings.Split(text, " ")
	for i, word := range words {
		rest, parts := []rune(word), []string(nil)
		for len(rest) > columns {
			at := columns
			if comma := strings.LastIndexByte(string(rest[:columns]), ','); comma > 0 {
				at = utf8.RuneCountInString(string(rest[:columns])[:comma+1])
			}
			parts, rest = append(parts, string(rest[:at])), rest[at:]
		}
		words[i] = strings.Join(append(parts, string(rest)), " ")
	}
	return wrapWords(strings.Join(words, " "), columns, "")
}
