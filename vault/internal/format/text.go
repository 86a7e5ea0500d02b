package format

import (
	"bytes"
	"encoding/json"
	"fmt"
	"unicode/utf8"
)

// text is a string that a cluster gave, in JSON. JSON has no place for bytes that are not
// UTF-8, and would change them: such a string becomes an object with its bytes in base64.
// Everything else is escaped here and not by encoding/json, whose choice of escapes
// changes with its version, because equal content must have equal bytes for ever.
type text string

type binaryText struct {
	Base64 []byte `json:"base64"`
}

// MarshalJSON escapes only what JSON demands: quotes, backslashes and control characters.
func (t text) MarshalJSON() ([]byte, error) {
	if !utf8.ValidString(string(t)) {
		return json.Marshal(binaryText{[]byte(t)})
	}
	dst := append(make([]byte, 0, len(t)+2), '"')
	for _, c := range []byte(t) {
		switch {
		case c == '"' || c == '\\':
			dst = append(dst, '\\', c)
		case c < 0x20:
			dst = fmt.Appendf(dst, `\u%04x`, c)
		default:
			dst = append(dst, c)
		}
	}
	return append(dst, '"'), nil
}

// UnmarshalJSON reads what MarshalJSON writes. Other forms of the same string are found
// when the document is encoded again.
func (t *text) UnmarshalJSON(b []byte) error {
	if !bytes.HasPrefix(b, []byte("{")) {
		return json.Unmarshal(b, (*string)(t))
	}
	var j binaryText
	err := json.Unmarshal(b, &j)
	*t = text(j.Base64)
	return err
}

// encodeJSON writes a document in its one form: compact, nothing escaped but by [text].
func encodeJSON(document any) ([]byte, error) {
	var buf bytes.Buffer
	enc := json.NewEncoder(&buf)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(document); err != nil {
		return nil, err
	}
	return bytes.TrimSuffix(buf.Bytes(), []byte("\n")), nil
}

// decodeJSON reads a document that is in its one form.
func decodeJSON(b []byte, into any) error {
	if err := strictJSON(b, into); err != nil {
		return err
	}
	again, err := encodeJSON(into)
	if err != nil {
		return err
	}
	if !bytes.Equal(again, b) {
		return corruptf("the JSON document is not in its one form")
	}
	return nil
}
