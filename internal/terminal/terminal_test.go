package terminal

import (
	"errors"
	"fmt"
	"os/exec"
	"slices"
	"strconv"
	"testing"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"
)

func TestVisible(t *testing.T) {
	for _, c := range []struct{ text, want string }{
		{"", ""},
		{"orders-0 [0, 5000): 5 µs, größer, 日本語", "orders-0 [0, 5000): 5 µs, größer, 日本語"},
		{"a\nb\r\n\tc", `a\nb\r\n\tc`},
		{"\x1b[2J\x07\x00\x7f", `\x1b[2J\a\x00\x7f`},
		{"\u009b31m", `\u009b31m`}, // a control sequence in one rune
		{"abc\u202edef\u2066\u200f", `abc\u202edef\u2066\u200f`},
		{"a\u2028b\u2029c\u0085", `a\u2028b\u2029c\u0085`},
		{"a\u00a0b\u200bc\ufeff", `a\u00a0b\u200bc\ufeff`},
		{"\xff\xc0\xaf ok", `\xff\xc0\xaf ok`},
		{"\ufffd", "\ufffd"}, // that is somebody's rune, not a fault of encoding
		{`C:\n 'x' "y"`, `C:\n 'x' "y"`},
		{"\U000e0001", `\U000e0001`},
	} {
		if got := Visible(c.text); got != c.want {
			t.Errorf("%q: %s, want %s", c.text, got, c.want)
		}
	}
}

func FuzzVisible(f *testing.F) {
	f.Add("a\x1b]0;title\x07\u202e\xff")
	f.Fuzz(func(t *testing.T, text string) {
		got := Visible(text)
		if !utf8.ValidString(got) || slices.ContainsFunc([]rune(got), func(r rune) bool { return !strconv.IsPrint(r) }) {
			t.Errorf("%q becomes %q", text, got)
		}
		if Visible(got) != got {
			t.Errorf("%q becomes another text when it is escaped again", got)
		}
	})
}

func TestErrors(t *testing.T) {
	a, b, c := errors.New("a"), errors.New("b\nforged"), errors.New("c")
	for _, test := range []struct {
		err   error
		lines []string
		text  string
	}{
		{a, []string{"a"}, "a"},
		{b, []string{`b\nforged`}, `b\nforged`},
		{errors.Join(a, b), []string{"a", `b\nforged`}, `a; b\nforged`},
		{errors.Join(errors.Join(a, b), c), []string{"a", `b\nforged`, "c"}, `a; b\nforged; c`},
		{fmt.Errorf("x: %w", errors.Join(a, b)), []string{`x: a; b\nforged`}, `x: a; b\nforged`},
		{fmt.Errorf("x: %w, %w", a, b), []string{`x: a, b\nforged`}, `x: a, b\nforged`},
	} {
		var lines []string
		for _, line := range Errors(test.err) {
			lines = append(lines, Visible(Text(line)))
		}
		if diff := cmp.Diff(test.lines, lines); diff != "" {
			t.Errorf("%q (-want +got)\n%s", test.err, diff)
		}
		if got := Visible(Text(test.err)); got != test.text {
			t.Errorf("%q: %s, want %s", test.err, got, test.text)
		}
	}
}

// TestQuote asks a shell what it makes of a quoted word.
func TestQuote(t *testing.T) {
	if _, err := exec.LookPath("bash"); err != nil {
		t.Skip("no bash here: install it (Debian: apt-get install bash)")
	}
	for _, word := range []string{
		"orders", "/srv/kafka vault", "it's", `a"b\c`, "$HOME `id`; x & y", "", "größer",
		"a\nb", "\x1b[31m'\\ \u202e", "\xff\xfe", "!x", "~", "-rf", "*", "{a,b}", "a=b",
	} {
		quoted := Quote(word)
		if quoted != Visible(quoted) {
			t.Errorf("%q is quoted as %q, which a terminal does not show", word, quoted)
		}
		out, err := exec.CommandContext(t.Context(), "bash", "-c", "printf %s "+quoted).Output()
		if err != nil || string(out) != word {
			t.Errorf("bash makes %q of %s, want %q; error %v", out, quoted, word, err)
		}
	}
}
