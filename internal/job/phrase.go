package job

import "strings"

// phrase reads the value of an option that may be quoted, after "=" or as the
// next tokens, and returns how many tokens option and value are. Blanks and line
// breaks between quotes stay as they are written.
func (p *parser) phrase(i int, inline bool) (value string, taken int, err error) {
	t := p.toks[i]
	start, last := t.start+strings.IndexByte(t.text, '=')+1, i
	if !inline {
		last++
		if last == len(p.toks) || dashed(p.toks[last].text) {
			return "", 1, nil
		}
		start = p.toks[last].start
	}
	end := p.toks[last].end
	if start == end || p.text[start] != '\'' && p.text[start] != '"' {
		return p.text[start:end], last - i + 1, nil
	}
	var word strings.Builder
	n, err := quoted(&word, p.text[start:])
	if err != nil {
		return "", 0, p.fail(start, "", "%s: %v", p.decl.Verb, err)
	}
	for last < len(p.toks) && p.toks[last].end < start+n {
		last++
	}
	if last == len(p.toks) || p.toks[last].end != start+n {
		return "", 0, p.fail(start+n, "put the whole value in one pair of quotes", "%s: text follows the closing quote", p.decl.Verb)
	}
	return word.String(), last - i + 1, nil
}
