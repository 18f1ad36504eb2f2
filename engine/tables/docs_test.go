package tables_test

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"quorate/engine/tables"
)

// TestDocs: the questions of docs/sql.md can be asked, and its columns are those of the
// tables.
func TestDocs(t *testing.T) {
	text, err := os.ReadFile(filepath.Join("..", "..", "docs", "sql.md"))
	if err != nil {
		t.Fatal(err)
	}
	dir, _ := big(t, "c1", 200)
	file := filepath.Join(t.TempDir(), "log.db")
	if _, err := load(t, dir, file, allRows, tables.Options{}); err != nil {
		t.Fatal(err)
	}
	questions := regexp.MustCompile("(?s)```sql\n(.*?)```").FindAllSubmatch(text, -1)
	if len(questions) < 5 {
		t.Errorf("%d questions", len(questions))
	}
	for _, q := range questions {
		rows(t, file, string(q[1]))
	}
	seen := 0
	word := regexp.MustCompile("`([a-z_]+)`")
	for _, line := range regexp.MustCompile("(?m)^\\| `([a-z_]+)` \\|[^|]*\\|(.*)\\|$").FindAllStringSubmatch(string(text), -1) {
		var want []string
		for _, m := range word.FindAllStringSubmatch(line[2], -1) {
			want = append(want, m[1])
		}
		if got := rows(t, file, "SELECT name FROM pragma_table_info('"+line[1]+"')"); got != strings.Join(want, "\n") {
			t.Errorf("%s has the columns %q, and not %q", line[1], got, want)
		}
		seen++
	}
	if got := rows(t, file, "SELECT count(*) FROM sqlite_schema WHERE type IN ('table', 'view')"); got != "13" || seen != 13 {
		t.Errorf("%s tables, %d in the docs", got, seen)
	}
}
