package bundle

import (
	"bytes"
	"encoding/json"
	"fmt"
	"unicode/utf8"
)

// The JSON of a bundle is what Python's json.dumps(value, ensure_ascii=False,
// separators=(",", ":")) prints, which is easy to repeat elsewhere.

const hexDigits = "0123456789abcdef"

// appendText appends a JSON string. The text is UTF-8.
func appendText(dst []byte, text []byte) []byte {
	dst = append(dst, '"')
	from := 0
	for i, c := range text {
		if c >= ' ' && c != '"' && c != '\\' {
			continue
		}
		dst = append(dst, text[from:i]...)
		from = i + 1
		switch c {
		case '"', '\\':
			dst = append(dst, '\\', c)
		case '\b':
			dst = append(dst, '\\', 'b')
		case '\f':
			dst = append(dst, '\\', 'f')
		case '\n':
			dst = append(dst, '\\', 'n')
		case '\r':
			dst = append(dst, '\\', 'r')
		case '\t':
			dst = append(dst, '\\', 't')
		default:
			dst = append(dst, '\\', 'u', '0', '0', hexDigits[c>>4], hexDigits[c&15])
		}
	}
	return append(append(dst, text[from:]...), '"')
}

// appendBytes appends what need not be text: a string where it is UTF-8, and
// otherwise an object with its base64.
func appendBytes(dst []byte, b []byte) []byte {
	if utf8.Valid(b) {
		return appendText(dst, b)
	}
	dst = append(dst, `{"base64":"`...)
	dst = appendBase64(dst, b)
	return append(dst, `"}`...)
}

// document encodes one of the small documents, whose strings are ASCII and hold
// nothing that JSON writes in two ways, and ends it with a newline.
func document(v any) ([]byte, error) {
	var buf bytes.Buffer
	enc := json.NewEncoder(&buf)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(v); err != nil {
		return nil, err
	}
	return buf.Bytes(), nil
}

// parse decodes a document, which must be what document makes of it.
func parse(text []byte, v any) error {
	dec := json.NewDecoder(bytes.NewReader(text))
	dec.DisallowUnknownFields()
	if err := dec.Decode(v); err != nil {
		return err
	}
	again, err := document(v)
	if err != nil {
		return err
	}
	if !bytes.Equal(again, text) {
		return fmt.Errorf("not in canonical form")
	}
	return nil
}

// plain reports a text that every JSON encoder writes alike.
func plain(text string, bytesMax int) bool {
	if len(text) > bytesMax {
		return false
	}
	for _, c := range []byte(text) {
		if c < ' ' || c > '~' || c == '"' || c == '\\' {
			return false
		}
	}
	return true
}
