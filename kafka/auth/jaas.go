package auth

import (
	"errors"
	"fmt"
	"strings"
)

// jaasEntry is a login module with its options.
type jaasEntry struct {
	module  string
	options map[string]string
}

// parseJaas reads `module flag option="value" …;` as Kafka does: values in double or
// single quotes with Java's escapes, or bare words; comments as in Java. Its errors hold
// no part of the text, which may be secret.
func parseJaas(text string) (jaasEntry, error) {
	entry := jaasEntry{options: map[string]string{}}
	l := jaasLexer{text: text}
	module, err := l.word("the login module is missing")
	if err != nil {
		return entry, err
	}
	entry.module = module
	flag, err := l.word("the control flag (required) behind the login module is missing")
	if err != nil {
		return entry, err
	}
	switch strings.ToLower(flag) {
	case "required", "requisite", "sufficient", "optional":
	default:
		return entry, errors.New("the control flag behind the login module is none of required, requisite, sufficient, optional")
	}
	for n := 1; ; n++ {
		token, err := l.next()
		switch {
		case err != nil:
			return entry, err
		case token.kind == jaasEnd:
			return entry, errors.New("the semicolon at the end is missing")
		case token.kind == ';':
			if token, err := l.next(); err != nil || token.kind != jaasEnd {
				return entry, errors.Join(errors.New("something follows the semicolon: one login module is allowed"), err)
			}
			return entry, nil
		case token.kind != jaasWord:
			return entry, fmt.Errorf("option %d has no name", n)
		}
		if is, err := l.next(); err != nil || is.kind != '=' {
			return entry, errors.Join(fmt.Errorf("option %d is not name=value", n), err)
		}
		value, err := l.word(fmt.Sprintf("option %d has no value", n))
		if err != nil {
			return entry, err
		}
		entry.options[token.text] = value
	}
}

const (
	jaasEnd  = 0
	jaasWord = 'w'
)

// jaasToken is a word, = or ;.
type jaasToken struct {
	kind byte
	text string
}

type jaasLexer struct {
	text string
	at   int
}

// word reads a token that must be one.
func (l *jaasLexer) word(otherwise string) (string, error) {
	token, err := l.next()
	if err == nil && token.kind != jaasWord {
		err = errors.New(otherwise)
	}
	return token.text, err
}

func (l *jaasLexer) next() (jaasToken, error) {
	l.skip()
	if l.at == len(l.text) {
		return jaasToken{}, nil
	}
	switch c := l.text[l.at]; c {
	case '=', ';':
		l.at++
		return jaasToken{kind: c}, nil
	case '"', '\'':
		l.at++
		text, err := l.quoted(c)
		return jaasToken{jaasWord, text}, err
	}
	begin := l.at
	for l.at < len(l.text) && l.text[l.at] > ' ' && !strings.ContainsRune(`=;"'`, rune(l.text[l.at])) {
		l.at++
	}
	return jaasToken{jaasWord, l.text[begin:l.at]}, nil
}

// skip passes blanks and comments.
func (l *jaasLexer) skip() {
	for l.at < len(l.text) {
		rest := l.text[l.at:]
		end := 0
		switch {
		case rest[0] <= ' ':
			end = 1
		case strings.HasPrefix(rest, "//"):
			end = strings.IndexAny(rest, "\r\n")
		case strings.HasPrefix(rest, "/*"):
			if end = strings.Index(rest[2:], "*/"); end >= 0 {
				end += 4
			}
		default:
			return
		}
		if end < 0 {
			end = len(rest)
		}
		l.at += end
	}
}

var errUnquoted = errors.New("a quote is not closed")

// quoted reads up to the closing quote.
func (l *jaasLexer) quoted(quote byte) (string, error) {
	var out []byte
	for l.at < len(l.text) {
		c := l.text[l.at]
		l.at++
		switch {
		case c == quote:
			return string(out), nil
		case c == '\n' || c == '\r':
			return "", errUnquoted
		case c != '\\':
			out = append(out, c)
		case l.at == len(l.text):
			return "", errUnquoted
		default:
			out = l.escape(out)
		}
	}
	return "", errUnquoted
}

// escape appends what stands behind a backslash: up to three octal digits, a letter of
// Java's, or the character itself.
func (l *jaasLexer) escape(out []byte) []byte {
	c := l.text[l.at]
	l.at++
	if c >= '0' && c <= '7' {
		most := 2
		if c <= '3' {
			most = 3
		}
		n := rune(c - '0')
		for i := 1; i < most && l.at < len(l.text) && l.text[l.at] >= '0' && l.text[l.at] <= '7'; i++ {
			n = n*8 + rune(l.text[l.at]-'0')
			l.at++
		}
		return append(out, string(n)...)
	}
	if i := strings.IndexByte("abfnrtv", c); i >= 0 {
		return append(out, "\a\b\f\n\r\t\v"[i])
	}
	return append(out, c)
}
