// Package kcatformat prints records as kcat does: by a format string, or as a line of JSON.
package kcatformat

import (
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
	"unicode/utf8"
)

// Record is what can be printed of one. A nil key or value is null.
type Record struct {
	Topic       string
	Partition   int32
	Offset      int64
	TimestampMs int64
	LogAppend   bool
	Key, Value  []byte
	Headers     []Header
}

// Header is one header of a record.
type Header struct {
	Key   string
	Value []byte
}

// Format is a parsed format string.
type Format struct{ parts []part }

// part is text as it is, or what a token stands for.
type part struct {
	text  string
	token byte
}

// Parse reads a format string: %t topic, %p partition, %o offset, %T timestamp in ms, %k key, %K its
// length, %s value, %S its length, %R the same in four bytes, %h headers, %% a percent sign;
// and \n, \r, \t, \\, \0 and \xHH.
func Parse(text string) (*Format, error) {
	f := &Format{}
	var plain []byte
	for i := 0; i < len(text); i++ {
		c := text[i]
		if (c == '%' || c == '\\') && i+1 == len(text) {
			return nil, fmt.Errorf("format %q ends with %c", text, c)
		}
		switch c {
		case '%':
			i++
			if text[i] == '%' {
				plain = append(plain, '%')
				continue
			}
			if !strings.ContainsRune("tpoTkKsSRh", rune(text[i])) {
				return nil, fmt.Errorf("format %q: there is no %%%c", text, text[i])
			}
			f.parts = append(f.parts, part{text: string(plain)}, part{token: text[i]})
			plain = nil
		case '\\':
			i++
			b, used, err := unescape(text[i:])
			if err != nil {
				return nil, fmt.Errorf("format %q: %w", text, err)
			}
			plain = append(plain, b)
			i += used - 1
		default:
			plain = append(plain, c)
		}
	}
	f.parts = append(f.parts, part{text: string(plain)})
	return f, nil
}

// unescape reads what stands behind a backslash.
func unescape(text string) (b byte, used int, err error) {
	simple := map[byte]byte{'n': '\n', 'r': '\r', 't': '\t', '\\': '\\', '0': 0}
	if b, ok := simple[text[0]]; ok {
		return b, 1, nil
	}
	if text[0] == 'x' && len(text) >= 3 {
		v, err := strconv.ParseUint(text[1:3], 16, 8)
		if err == nil {
			return byte(v), 3, nil
		}
	}
	return 0, 0, fmt.Errorf("there is no \\%c", text[0])
}

// Append writes a record. Shown makes keys, values and headers fit to be seen; nil leaves
// them as they are.
func (f *Format) Append(dst []byte, r *Record, shown func([]byte) []byte) []byte {
	if shown == nil {
		shown = func(b []byte) []byte { return b }
	}
	for _, p := range f.parts {
		switch p.token {
		case 0:
			dst = append(dst, p.text...)
		case 't':
			dst = append(dst, r.Topic...)
		case 'p':
			dst = strconv.AppendInt(dst, int64(r.Partition), 10)
		case 'o':
			dst = strconv.AppendInt(dst, r.Offset, 10)
		case 'T':
			dst = strconv.AppendInt(dst, r.TimestampMs, 10)
		case 'k':
			dst = append(dst, shown(r.Key)...)
		case 'K':
			dst = strconv.AppendInt(dst, length(r.Key), 10)
		case 's':
			dst = append(dst, shown(r.Value)...)
		case 'S':
			dst = strconv.AppendInt(dst, length(r.Value), 10)
		case 'R':
			dst = binary.BigEndian.AppendUint32(dst, uint32(length(r.Value)))
		case 'h':
			dst = appendHeaders(dst, r.Headers, shown)
		}
	}
	return dst
}

// length is -1 for null.
func length(b []byte) int64 {
	if b == nil {
		return -1
	}
	return int64(len(b))
}

func appendHeaders(dst []byte, headers []Header, shown func([]byte) []byte) []byte {
	for i, h := range headers {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = append(append(dst, shown([]byte(h.Key))...), '=')
		if h.Value == nil {
			dst = append(dst, "NULL"...)
		}
		dst = append(dst, shown(h.Value)...)
	}
	return dst
}

// document is the line of JSON. What is no UTF-8 is in fields of its own, in base64.
type document struct {
	Topic         string    `json:"topic"`
	Partition     int32     `json:"partition"`
	Offset        int64     `json:"offset"`
	TSType        string    `json:"tstype"`
	TS            int64     `json:"ts"`
	Headers       []*string `json:"headers,omitempty"` // name, value, name, value
	HeadersBase64 []*string `json:"headers_base64,omitempty"`
	Key           *string   `json:"key"`
	KeyBase64     *string   `json:"key_base64,omitempty"`
	Payload       *string   `json:"payload"`
	PayloadBase64 *string   `json:"payload_base64,omitempty"`
}

// AppendJSON writes a record as a line of JSON.
func AppendJSON(dst []byte, r *Record) ([]byte, error) {
	d := document{Topic: r.Topic, Partition: r.Partition, Offset: r.Offset, TSType: "create", TS: r.TimestampMs}
	if r.LogAppend {
		d.TSType = "logappend"
	}
	d.Key, d.KeyBase64 = text(r.Key)
	d.Payload, d.PayloadBase64 = text(r.Value)
	d.Headers, d.HeadersBase64 = headerTexts(r.Headers)
	line, err := json.Marshal(d)
	if err != nil {
		return nil, err
	}
	return append(append(dst, line...), '\n'), nil
}

// text is bytes as text, or, where they are none, in base64.
func text(b []byte) (plain, base *string) {
	switch {
	case b == nil:
		return nil, nil
	case utf8.Valid(b):
		s := string(b)
		return &s, nil
	}
	s := base64.StdEncoding.EncodeToString(b)
	return nil, &s
}

func headerTexts(headers []Header) (plain, base []*string) {
	isText := true
	for _, h := range headers {
		isText = isText && utf8.ValidString(h.Key) && utf8.Valid(h.Value)
	}
	for _, h := range headers {
		if isText {
			value, _ := text(h.Value)
			plain = append(plain, &h.Key, value)
			continue
		}
		key := base64.StdEncoding.EncodeToString([]byte(h.Key))
		var value *string
		if h.Value != nil {
			s := base64.StdEncoding.EncodeToString(h.Value)
			value = &s
		}
		base = append(base, &key, value)
	}
	return plain, base
}
