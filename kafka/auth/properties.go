package auth

import (
	"bytes"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"unicode/utf16"
)

// property is one of a properties file.
type property struct {
	name, value string
	line        int
}

// parseProperties reads what java.util.Properties reads from a file, as it reads it: of
// ISO 8859-1, with its comments, separators, continued lines and escapes. Its errors hold
// no part of the text, which may be secret.
func parseProperties(b []byte) ([]property, error) {
	var out []property
	r := lineReader{text: b, line: 1}
	for {
		text, line, ok := r.next()
		if !ok {
			return out, nil
		}
		name, value := splitProperty(text)
		p := property{line: line}
		var err error
		if p.name, err = unescape(name); err == nil {
			p.value, err = unescape(value)
		}
		if err != nil {
			return nil, fmt.Errorf("line %d: %w", line, err)
		}
		out = append(out, p)
	}
}

func isBlank(c byte) bool   { return c == ' ' || c == '\t' || c == '\f' }
func isNewline(c byte) bool { return c == '\n' || c == '\r' }

// lineReader reads logical lines: without comments and empty lines, continued lines
// joined, escapes as they are.
type lineReader struct {
	text []byte
	at   int
	line int // of text[at]
}

// next returns the next logical line and the number of its first line.
func (r *lineReader) next() (text []byte, line int, ok bool) {
	for {
		r.skipBlanks()
		switch {
		case r.at == len(r.text):
			return nil, 0, false
		case isNewline(r.text[r.at]):
			r.newline()
			continue
		case r.text[r.at] == '#' || r.text[r.at] == '!':
			r.rest()
			continue
		}
		line = r.line
		if text, ok := r.joined(); ok {
			return text, line, true
		}
	}
}

// joined reads a line with those that continue it. It is false if there is nothing in
// them: a lone backslash continues nothing, and what follows begins a line.
func (r *lineReader) joined() (text []byte, ok bool) {
	for {
		part := r.rest()
		continued := backslashes(part)%2 == 1
		if continued {
			part = part[:len(part)-1]
		}
		text = append(text, part...)
		// Java takes a lone backslash at the very end for a name; but not before \r\n.
		atEnd := r.at == len(r.text) && !bytes.HasSuffix(r.text, []byte("\r\n"))
		if !continued || atEnd {
			return text, true
		}
		if len(text) == 0 {
			return nil, false
		}
		r.skipBlanks()
		if r.at == len(r.text) {
			return text, true
		}
	}
}

func (r *lineReader) skipBlanks() {
	for r.at < len(r.text) && isBlank(r.text[r.at]) {
		r.at++
	}
}

// rest returns what is left of the line, and goes to the next one.
func (r *lineReader) rest() []byte {
	begin := r.at
	for r.at < len(r.text) && !isNewline(r.text[r.at]) {
		r.at++
	}
	text := r.text[begin:r.at]
	if r.at < len(r.text) {
		r.newline()
	}
	return text
}

// newline passes the end of a line: \n, \r, or both.
func (r *lineReader) newline() {
	if r.text[r.at] == '\r' && r.at+1 < len(r.text) && r.text[r.at+1] == '\n' {
		r.at++
	}
	r.at++
	r.line++
}

// backslashes counts those at the end.
func backslashes(b []byte) (n int) {
	for n < len(b) && b[len(b)-1-n] == '\\' {
		n++
	}
	return n
}

// splitProperty cuts a logical line at its separator: blanks, = or :, or one of these
// among blanks.
func splitProperty(line []byte) (name, value []byte) {
	end := 0
	for end < len(line) && line[end] != '=' && line[end] != ':' && !isBlank(line[end]) {
		if line[end] == '\\' {
			end++ // so that what it escapes is no separator
		}
		end++
	}
	end = min(end, len(line))
	begin, separated := end, false
	for begin < len(line) {
		c := line[begin]
		if !isBlank(c) && (separated || c != '=' && c != ':') {
			break
		}
		separated = separated || !isBlank(c)
		begin++
	}
	return line[:end], line[begin:]
}

var errUnicodeEscape = errors.New(`\u is not followed by four hexadecimal digits`)

// unescape turns ISO 8859-1 with Java's escapes into a string.
func unescape(b []byte) (string, error) {
	var units []uint16
	for i := 0; i < len(b); i++ {
		if b[i] != '\\' || i+1 == len(b) {
			units = append(units, uint16(b[i]))
			continue
		}
		i++
		switch b[i] {
		case 'u':
			if i+4 >= len(b) {
				return "", errUnicodeEscape
			}
			unit, err := strconv.ParseUint(string(b[i+1:i+5]), 16, 16)
			if err != nil {
				return "", errUnicodeEscape // without the digits, as all errors here
			}
			units = append(units, uint16(unit))
			i += 4
		case 't', 'n', 'r', 'f':
			units = append(units, uint16("\t\n\r\f"[strings.IndexByte("tnrf", b[i])]))
		default:
			units = append(units, uint16(b[i]))
		}
	}
	return string(utf16.Decode(units)), nil
}
