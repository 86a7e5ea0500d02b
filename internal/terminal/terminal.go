// Package terminal decides how people see text that others wrote. Names of topics and
// consumer groups, and what brokers answer, may hold anything: a line end that forges a line
// of ours, a sequence that a terminal obeys, a mark that turns the reading direction. People
// see such runes as escapes, and a terminal obeys none. Documents for machines hold names as
// they are.
package terminal

import (
	"errors"
	"fmt"
	"regexp"
	"strings"
	"unicode/utf8"

	"strconv"
)

// Visible writes a text as one line in which every rune can be seen: what is not printable,
// line ends and tabs too, becomes an escape as in Go (\n, \x1b, \u202e). Backslashes stay as they
// are, so that commands in a text can still be typed.
func Visible(text string) string {
	var b strings.Builder
	for rest := text; len(rest) > 0; {
		r, size := utf8.DecodeRuneInString(rest)
		switch {
		case r == utf8.RuneError && size == 1:
			fmt.Fprintf(&b, `\x%02x`, rest[0])
		case strconv.IsPrint(r):
			b.WriteRune(r)
		default:
			quoted := strconv.QuoteRune(r)
			b.WriteString(quoted[1 : len(quoted)-1])
		}
		rest = rest[size:]
	}
	return b.String()
}

// Errors splits an error into those that [errors.Join] put together; each is a line for
// people.
func Errors(err error) []error {
	parts := joined(err)
	if parts == nil {
		return []error{err}
	}
	var out []error
	for _, part := range parts {
		out = append(out, Errors(part)...)
	}
	return out
}

// joined returns what errors.Join made one error of, which are the only errors of ours with
// several lines, and nil for all other errors.
func joined(err error) []error {
	several, ok := err.(interface{ Unwrap() []error })
	if !ok {
		return nil
	}
	var texts []string
	for _, part := range several.Unwrap() {
		texts = append(texts, part.Error())
	}
	if err.Error() != strings.Join(texts, "\n") {
		return nil // fmt.Errorf with more than one %w
	}
	return several.Unwrap()
}

// Text is what an error says, in one line as far as the line ends are ours: parts that
// [errors.Join] put together stand beside each other.
func Text(err error) string {
	text := err.Error()
	for inner := err; inner != nil; inner = errors.Unwrap(inner) {
		parts := joined(inner)
		if len(parts) < 2 {
			continue
		}
		var texts []string
		for _, part := range parts {
			texts = append(texts, Text(part))
		}
		return strings.Replace(text, inner.Error(), strings.Join(texts, "; "), 1)
	}
	return text
}

var plainWord = regexp.MustCompile(`^[\w@%+=:,./-]+$`)

// Quote writes a word so that a shell reads it as this word and a terminal shows all of it.
// Where it has runes that are not printable that takes bash, zsh or ksh.
func Quote(word string) string {
	if plainWord.MatchString(word) {
		return word
	}
	if Visible(word) == word {
		return "'" + strings.ReplaceAll(word, "'", `'\''`) + "'"
	}
	var b strings.Builder
	for _, c := range []byte(word) {
		switch {
		case c == '\'' || c == '\\':
			b.WriteString(`\` + string(rune(c)))
		case c < ' ' || c > '~':
			fmt.Fprintf(&b, `\x%02x`, c)
		default:
			b.WriteByte(c)
		}
	}
	return "$'" + b.String() + "'"
}
