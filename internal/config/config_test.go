package config

import (
	"errors"
	"io/fs"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func testKeys() *Keys {
	return &Keys{
		Shared:   []string{"vault", "bootstrap-server", "max-rpo", "topic", "command-property"},
		Commands: map[string][]string{"backup": {"vault", "topic"}, "restore": {"vault", "topic", "yes"}},
		Topic:    []string{"max-rpo"},
	}
}

const twoContexts = `vault: /srv/all
max-rpo: 1h
current-context: test
contexts:
  test:
    bootstrap-server: [a:1, "b:2"]
  prod:
    vault: s3://prod
    commands:
      restore:
        vault: s3://copy
    topics:
      payments: {max-rpo: 5m}
      /p.*/: {max-rpo: 10m}
topics:
  orders: {max-rpo: 20m}
`

func TestContexts(t *testing.T) {
	f, err := Parse("c.yaml", []byte(twoContexts), testKeys())
	if err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct {
		context, command, key, want string
	}{
		{"", "backup", "vault", "/srv/all c.yaml:1"},
		{"", "backup", "bootstrap-server", "a:1|b:2 c.yaml:6"},
		{"prod", "backup", "vault", "s3://prod c.yaml:8"},
		{"prod", "restore", "vault", "s3://copy c.yaml:11"},
		{"prod", "backup", "max-rpo", "1h c.yaml:2"},
		{"prod", "backup", "bootstrap-server", ""},
	} {
		s, err := f.Settings(test.context)
		if err != nil {
			t.Fatal(err)
		}
		got := ""
		if v, ok := s.Lookup(test.command, test.key, func() bool { return true }); ok {
			got = strings.Join(v.Texts, "|") + " " + v.Origin()
		}
		if got != test.want {
			t.Errorf("%+v: got %q", test, got)
		}
	}
	s, err := f.Settings("prod")
	if err != nil {
		t.Fatal(err)
	}
	var patterns []string
	for _, v := range s.Topics("max-rpo") {
		patterns = append(patterns, v.Pattern+" "+v.Value.Texts[0])
	}
	if diff := cmp.Diff([]string{"payments 5m", "/p.*/ 10m", "orders 20m"}, patterns); diff != "" {
		t.Error(diff)
	}
	if _, ok := s.Lookup("backup", "max-rpo", func() bool { return false }); ok {
		t.Error("a key that is not shared was taken from those of all commands")
	}
}

func TestWhatIsRefused(t *testing.T) {
	for _, test := range []struct{ text, want, advice string }{
		{"valt: x", `c.yaml:1: unknown key "valt"`, "did you mean: vault"},
		{"\ncontexts:\n  a:\n    topik: x", `c.yaml:4: unknown key "topik"`, "did you mean: topic"},
		{"yes: true", `c.yaml:1: "yes" is for single commands only`, "the command: restore"},
		{"commands:\n  bakcup: {}", `c.yaml:2: unknown command "bakcup"`, "did you mean: backup"},
		{"commands:\n  backup:\n    yes: true", `c.yaml:3: unknown key "yes" of backup`, ""},
		{"topics:\n  orders:\n    max-rop: 1m", `c.yaml:3: unknown key "max-rop" of orders`, "max-rpo"},
		{"vault: a\nvault: b", `c.yaml:2: "vault" is there twice, first in line 1`, ""},
		{"vault:", `"vault" has no value`, ""},
		{"vault: ''", `"vault" has no value`, ""},
		{"topic: []", `"topic" has no value`, ""},
		{"topic: [[a]]", `"topic" has no value`, ""},
		{"vault: &a x", "c.yaml:1: anchors", ""},
		{"vault: x\n---\nvault: y", "second document", ""},
		{"- vault", "here must be keys", ""},
		{"vault: [", "not YAML", ""},
		{"current-context: prd\ncontexts: {prod: {}}", `c.yaml:1: unknown context "prd"`, "did you mean: prod"},
	} {
		_, err := Parse("c.yaml", []byte(test.text), testKeys())
		var wrong *Error
		if !errors.As(err, &wrong) || !strings.Contains(err.Error(), test.want) || !strings.Contains(wrong.Advice, test.advice) {
			t.Errorf("%q: got %v, want %q with %q", test.text, err, test.want, test.advice)
		}
	}
	for _, empty := range []string{"", "\n", "# nothing\n", "{}", "---\n"} {
		if f, err := Parse("c.yaml", []byte(empty), testKeys()); err != nil || f == nil {
			t.Errorf("%q: %v", empty, err)
		}
	}
}

func TestReferences(t *testing.T) {
	from := Source{
		Getenv: func(name string) string { return map[string]string{"PW": "secret"}[name] },
		ReadFile: func(path string) ([]byte, error) {
			if path == "/etc/coldstream/url" {
				return []byte("content\n"), nil
			}
			return nil, fs.ErrNotExist
		},
	}
	for text, want := range map[string]string{
		"a-${PW}-b": "a-secret-b", "@url": "content", "@/etc/coldstream/url": "content", "@@x": "@x", "$${PW}": "${PW}", "$1": "$1", "a@b": "a@b",
	} {
		v := Value{Texts: []string{text}, File: "/etc/coldstream/c.yaml", Line: 3}
		got, err := v.Resolve(from)
		if err != nil || got[0] != want {
			t.Errorf("%q: got %q, %v; want %q", text, got, err, want)
		}
	}
	for text, want := range map[string]string{"${NONE}": "c.yaml:3: the variable NONE is not set", "${PW": "not a reference", "@gone": "c.yaml:3: read the value"} {
		v := Value{Texts: []string{text}, File: "/etc/coldstream/c.yaml", Line: 3}
		if _, err := v.Resolve(from); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: got %v, want %q", text, err, want)
		}
	}
}

// FuzzParse holds that no file ends the program, and that what is taken is there where it is said to be.
func FuzzParse(f *testing.F) {
	seeds := []string{twoContexts, "", "vault: a\n", "valt: x", "topic: [a, b]", "command-property: {a: b}", "vault: [", "a: &x [*x]", "? a\n: b"}
	for _, seed := range seeds {
		f.Add([]byte(seed))
	}
	if len(seeds) == 0 {
		f.Fatal("no seeds")
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		file, err := Parse("f", text, testKeys())
		if err != nil {
			var wrong *Error
			if !errors.As(err, &wrong) {
				t.Fatalf("an error without a place: %v", err)
			}
			return
		}
		for _, name := range append(file.Contexts(), "") {
			s, err := file.Settings(name)
			if err != nil {
				t.Fatal(err)
			}
			for _, key := range testKeys().Shared {
				if v, ok := s.Lookup("backup", key, func() bool { return true }); ok && (len(v.Texts) == 0 || v.Line < 1) {
					t.Fatalf("%s: %+v", key, v)
				}
			}
		}
	})
}
