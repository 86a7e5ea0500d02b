package auth

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestParseJaas(t *testing.T) {
	for _, c := range []struct {
		text string
		want map[string]string
	}{
		{`m.M required;`, map[string]string{}},
		{` m.M   REQUIRED username="a" password='b c' ; `, map[string]string{"username": "a", "password": "b c"}},
		{`m.M required a="x\"y\\z\n\101\7" b=bare-word_1.2;`, map[string]string{"a": "x\"y\\z\nA\a", "b": "bare-word_1.2"}},
		{"m.M required // said\n/* or\nnot */ a = \"b;=\";", map[string]string{"a": "b;="}},
		{`m.M optional a="" a="last";`, map[string]string{"a": "last"}},
		{`m.M sufficient url=https://host/path;`, map[string]string{"url": "https://host/path"}},
		{`m.M required a="\u00e9é";`, map[string]string{"a": "u00e9é"}},
	} {
		got, err := parseJaas(c.text)
		if err != nil || got.module != "m.M" {
			t.Errorf("%s: module %q: %v", c.text, got.module, err)
		}
		if diff := cmp.Diff(c.want, got.options); diff != "" {
			t.Errorf("%s (-want +got)\n%s", c.text, diff)
		}
	}
}

// No error holds a part of what was read.
func TestParseJaasErrors(t *testing.T) {
	for text, want := range map[string]string{
		"":                        "login module is missing",
		"hush":                    "control flag",
		`"hush"`:                  "control flag",
		"hush hush":               "none of required",
		"m.M required":            "semicolon",
		`m.M required hush`:       "option 1 is not name=value",
		`m.M required hush=`:      "option 1 has no value",
		`m.M required hush=;`:     "option 1 has no value",
		`m.M required a=b "hush`:  "a quote is not closed",
		"m.M required a=\"hush\n": "a quote is not closed",
		`m.M required a="hush\`:   "a quote is not closed",
		`m.M required =hush;`:     "option 1 has no name",
		`m.M required a=b; hush`:  "one login module",
	} {
		_, err := parseJaas(text)
		if err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "hush") {
			t.Errorf("%s: %v, want %q", text, err, want)
		}
	}
}

func FuzzParseJaas(f *testing.F) {
	for _, text := range []string{`m.M required username="a" password='b\'c';`, `m required a=b; // c`, "m required /* x */ a=\"\\101\";"} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		got, err := parseJaas(text)
		if err != nil {
			return
		}
		again, err := parseJaas(writeJaas(got))
		if err != nil {
			t.Fatalf("%q: %v", writeJaas(got), err)
		}
		if diff := cmp.Diff(got.options, again.options); diff != "" || got.module != again.module {
			t.Errorf("%q %q\n%s", got.module, again.module, diff)
		}
	})
}

func writeJaas(e jaasEntry) string {
	quote := func(s string) string {
		return `"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`, "\n", `\n`, "\r", `\r`).Replace(s) + `"`
	}
	text := quote(e.module) + " required"
	for name, value := range e.options {
		text += " " + quote(name) + "=" + quote(value)
	}
	return text + ";"
}
