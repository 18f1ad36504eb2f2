package facts

import (
	"bytes"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"net/url"
	"slices"
	"strings"
	"unicode/utf16"
)

// formBytesMin is how long another form of a secret is at least that is hidden: what is
// shorter, and no text that anybody chose, is found where no secret is.
const formBytesMin = 8

// forms are the other forms in which programs commonly print a text: in base64, also
// within more that is encoded, in hex, and escaped for JSON and for URLs.
func forms(text string) (all []string) {
	for _, form := range append(append(base64Forms(text), jsonForms(text)...),
		hex.EncodeToString([]byte(text)), strings.ToUpper(hex.EncodeToString([]byte(text))),
		url.QueryEscape(text), url.PathEscape(text), percent(text, ""), percent(text, "/"),
	) {
		if form != text && len(form) >= formBytesMin && !slices.Contains(all, form) {
			all = append(all, form)
		}
	}
	return all
}

// base64Forms are the characters that stand for the text alone, wherever it begins among
// what is encoded.
func base64Forms(text string) (all []string) {
	for _, encoding := range []*base64.Encoding{base64.RawStdEncoding, base64.RawURLEncoding} {
		for before := range 3 {
			whole := encoding.EncodeToString(append(make([]byte, before), text...))
			first, end := (8*before+5)/6, 8*(before+len(text))/6
			all = append(all, whole[min(first, end):end])
		}
	}
	return all
}

// jsonForms are the text as it stands between the quotes of JSON: as it is, and with
// escapes for HTML; and each of these in ASCII.
func jsonForms(text string) []string {
	var plain bytes.Buffer
	encoder := json.NewEncoder(&plain)
	encoder.SetEscapeHTML(false)
	html, err := json.Marshal(text)
	if err != nil || encoder.Encode(text) != nil {
		return nil // a text always has a form
	}
	quoted := strings.Trim(plain.String(), "\n")
	quoted = quoted[1 : len(quoted)-1]
	escaped := string(html[1 : len(html)-1])
	return []string{quoted, escaped, ascii(quoted), ascii(escaped)}
}

// ascii escapes what is not ASCII as Python's JSON does.
func ascii(text string) string {
	var out strings.Builder
	for _, r := range text {
		switch {
		case r < 0x80:
			out.WriteRune(r)
		case r < 0x10000:
			fmt.Fprintf(&out, `\u%04x`, r)
		default:
			high, low := utf16.EncodeRune(r)
			fmt.Fprintf(&out, `\u%04x\u%04x`, high, low)
		}
	}
	return out.String()
}

// percent escapes everything for URLs but letters, digits, - _ . ~ and what is safe.
func percent(text, safe string) string {
	var out strings.Builder
	for _, b := range []byte(text) {
		switch {
		case b >= 'a' && b <= 'z', b >= 'A' && b <= 'Z', b >= '0' && b <= '9', strings.IndexByte("-_.~"+safe, b) >= 0:
			out.WriteByte(b)
		default:
			fmt.Fprintf(&out, "%%%02X", b)
		}
	}
	return out.String()
}
