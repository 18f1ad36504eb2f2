package verb

import (
	"errors"
	"fmt"
	"path"
	"strconv"
	"strings"
)

// A fstabEntry has the six fields of a line of fstab, without escapes.
type fstabEntry [6]string

// unescaped reads the octal escapes of blanks and backslashes.
func unescaped(text string) string {
	var b strings.Builder
	for i := 0; i < len(text); i++ {
		if text[i] == '\\' && i+3 < len(text) {
			if n, err := strconv.ParseUint(text[i+1:i+4], 8, 8); err == nil {
				b.WriteByte(byte(n))
				i += 3
				continue
			}
		}
		b.WriteByte(text[i])
	}
	return b.String()
}

func escaped(text string) string {
	return strings.NewReplacer(`\`, `\134`, " ", `\040`, "\t", `\011`, "\n", `\012`, "#", `\043`).Replace(text)
}

func (e fstabEntry) String() string {
	fields := make([]string, len(e))
	for i, f := range e {
		fields[i] = escaped(f)
	}
	return strings.Join(fields, " ")
}

// fstabLine reads a line. The last fields may be missing.
func fstabLine(line string) (e fstabEntry, ok bool) {
	fields := strings.Fields(line)
	if len(fields) < 3 || strings.HasPrefix(fields[0], "#") {
		return e, false
	}
	e = fstabEntry{3: "defaults", 4: "0", 5: "0"}
	for i, f := range fields[:min(len(fields), len(e))] {
		e[i] = unescaped(f)
	}
	return e, true
}

// setFstab returns the text of fstab with the entry for a mount point, or without one
// where the entry is empty. Lines that say the same in another way stay.
func setFstab(text, point string, entry fstabEntry) (string, error) {
	lines, ending := splitLines(text)
	var out []string
	found := false
	for i, l := range lines {
		e, ok := fstabLine(l)
		if !ok || path.Clean(e[1]) != point {
			out = append(out, l)
			continue
		}
		if found {
			return "", fmt.Errorf("line %d: a second entry for %s", i+1, point)
		}
		found = true
		e[1] = point
		switch {
		case entry == fstabEntry{}:
		case e == entry:
			out = append(out, l)
		default:
			out = append(out, entry.String())
		}
	}
	absent := entry == fstabEntry{}
	if !found && !absent {
		for _, f := range entry {
			if f == "" {
				return "", errors.New("an entry has no empty fields")
			}
		}
		out = append(out, entry.String())
	}
	if len(out) == len(lines) && strings.Join(out, ending) == strings.Join(lines, ending) {
		return text, nil
	}
	if len(out) == 0 {
		return "", nil
	}
	return strings.Join(out, ending) + ending, nil
}
