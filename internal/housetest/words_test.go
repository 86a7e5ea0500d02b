package housetest

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"path"
	"reflect"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
)

var flagName = regexp.MustCompile(`(?:^|[^\w-])--[a-z][a-z-]+`)

// otherPrograms are files that start or name a program which has flags of its own.
func otherPrograms() []string {
	return []string{
		"restore/configs.go", "kafka/rights.go", // Kafka's tools
		"blob/azure/", "blob/s3/", // those of clouds
		"blob/elastio/", "blob/storetest/", "kafka/kafkatest/", "internal/testproc/", // what is run
	}
}

// engineWords finds flags in texts of engines, and results that are documents. Engines tell
// facts; the command knows what people type, and what its documents look like.
func engineWords(name, text string) (wrong []string) {
	top, _, _ := strings.Cut(name, "/")
	if path.Ext(name) != ".go" || strings.HasSuffix(name, "_test.go") || slices.Contains([]string{"cmd", "bench", "docs"}, top) {
		return nil
	}
	files := token.NewFileSet()
	file, err := parser.ParseFile(files, name, text, parser.SkipObjectResolution)
	if err != nil {
		return []string{fmt.Sprintf("0: %v", err)}
	}
	foreign := slices.ContainsFunc(otherPrograms(), func(prefix string) bool { return strings.HasPrefix(name, prefix) })
	ast.Inspect(file, func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.Field:
			return false // tags are no texts
		case *ast.BasicLit:
			if value, err := strconv.Unquote(n.Value); err == nil && n.Kind == token.STRING && !foreign && flagName.MatchString(value) {
				wrong = append(wrong, fmt.Sprintf("%d: names a flag: %s", files.Position(n.Pos()).Line, n.Value))
			}
		case *ast.TypeSpec:
			if isEngine(name) && isDocument(n) {
				wrong = append(wrong, fmt.Sprintf("%d: %s is a document of JSON: have it in cmd", files.Position(n.Pos()).Line, n.Name.Name))
			}
		}
		return true
	})
	return wrong
}

// isEngine tells of packages that do things and hand out what they did. What is stored has a
// package of its own, or types of its own that nobody else sees.
func isEngine(name string) bool {
	in := func(dirs ...string) bool {
		return slices.ContainsFunc(dirs, func(dir string) bool { return strings.HasPrefix(name, dir+"/") })
	}
	return in("backup", "restore", "vault", "kafka", "recordbatch", "internal/recorddiff", "internal/vaultcopy", "internal/retention") && !in("vault/internal/format")
}

// isDocument says that a type that others see has names in JSON.
func isDocument(t *ast.TypeSpec) bool {
	fields, ok := t.Type.(*ast.StructType)
	return ok && t.Name.IsExported() && slices.ContainsFunc(fields.Fields.List, func(f *ast.Field) bool {
		return f.Tag != nil && reflect.StructTag(strings.Trim(f.Tag.Value, "`")).Get("json") != ""
	})
}

func TestWordsOfEngines(t *testing.T) {
	const flag = "package p\n\nconst hint = \"restore with --map\"\n"
	const document = "package p\n\ntype Result struct {\n\tA int `json:\"a\"`\n}\n"
	for _, c := range []struct {
		name, text string
		want       int
	}{
		{"restore/a.go", flag, 1},
		{"internal/alarm/a.go", strings.ReplaceAll(flag, "\"", "`"), 1},
		{"cmd/coldstream/a.go", flag + document, 0},
		{"restore/a_test.go", flag, 0},
		{"kafka/rights.go", flag, 0},
		{"restore/a.go", "package p\n\n// see --map\nvar a, b = \"a--b\", \"--\"\n", 0},
		{"restore/a.go", document, 1},
		{"vault/internal/format/a.go", document, 0},
		{"restore/a.go", strings.ReplaceAll(document, "Result", "result"), 0},
		{"restore/a.go", strings.ReplaceAll(document, "json", "yaml"), 0},
		{"restore/a.go", "no Go", 1},
		{"docs/a.md", flag, 0},
	} {
		if got := engineWords(c.name, c.text); len(got) != c.want {
			t.Errorf("%s %q: %q, want %d findings", c.name, c.text, got, c.want)
		}
	}
	hold(t, engineWords)
}
