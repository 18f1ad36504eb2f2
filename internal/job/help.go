package job

import (
	"fmt"
	"strconv"
	"strings"
)

// Help describes a verb and its options, for people.
func Help(d *Declaration) string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s [OPTIONS] %s\n  %s\n", d.Verb, d.Text, d.Summary)
	for _, o := range append(append([]OptionDecl(nil), d.Options...), Common()...) {
		name := "--" + o.Name
		switch o.Kind {
		case Int:
			name += " N"
		case Mode:
			name += " OCTAL"
		case String:
			name += " VALUE"
		case List:
			name += " WORD..."
		}
		fmt.Fprintf(&b, "  %-24s %s", name, o.Help)
		if o.Name == "timeout" && d.TimeoutSeconds != 0 {
			o.Default = strconv.FormatUint(uint64(d.TimeoutSeconds), 10)
		}
		if o.Default != "" {
			fmt.Fprintf(&b, " (%s)", o.Default)
		}
		b.WriteByte('\n')
	}
	return b.String()
}
