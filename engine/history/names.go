package history

import (
	"regexp"
	"slices"
	"strings"
)

// dynamic is a template's print statement or block, and what is in it.
var dynamic = regexp.MustCompile(`(?s)\{\{(.*?)\}\}|\{%(.*?)%\}`)

// quotedText is a string in a template's expression.
var quotedText = regexp.MustCompile(`'(?:[^'\\]|\\.)*'|"(?:[^"\\]|\\.)*"`)

// nameText is a name, with the dot in front of those that are attributes, or the bar in
// front of those that are filters.
var nameText = regexp.MustCompile(`[.|]?\s*[A-Za-z_][A-Za-z0-9_]*`)

// templateWords are names that mean something to the template engine.
var templateWords = []string{
	"and", "block", "call", "elif", "else", "endblock", "endcall", "endfilter", "endfor", "endif", "endmacro", "endraw", "endset", "endwith",
	"false", "False", "filter", "for", "if", "import", "in", "is", "loop", "macro", "none", "None", "not", "or", "raw", "recursive", "set", "true", "True", "with",
}

// names are the variables that a text speaks of where it is rendered, sorted. Names that
// a template makes for itself, as in a loop, are among them.
func names(text string) (found []string) {
	for _, m := range dynamic.FindAllStringSubmatch(text, -1) {
		inside := quotedText.ReplaceAllString(m[1]+m[2], "''")
		for _, name := range nameText.FindAllString(inside, -1) {
			if name = strings.TrimSpace(name); name[0] == '.' || name[0] == '|' || slices.Contains(templateWords, name) {
				continue
			}
			found = append(found, name)
		}
	}
	slices.Sort(found)
	return slices.Compact(found)
}

// speaksOf reports whether a text uses a variable: in what is rendered, or, as commands
// do with ENV, as $NAME.
func speaksOf(text, name string) bool {
	if !strings.Contains(text, name) {
		return false
	}
	if slices.Contains(names(text), name) {
		return true
	}
	for rest := text; ; {
		i := strings.Index(rest, name)
		if i < 0 {
			return false
		}
		before, behind := rest[:i], rest[i+len(name):]
		whole := behind == "" || !isNameByte(behind[0])
		if whole && (strings.HasSuffix(before, "$") || strings.HasSuffix(before, "${")) {
			return true
		}
		rest = behind
	}
}

func isNameByte(b byte) bool {
	return b == '_' || b >= '0' && b <= '9' || b >= 'a' && b <= 'z' || b >= 'A' && b <= 'Z'
}
