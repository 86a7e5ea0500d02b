// Package housetest holds the rules of the tree that are not about one package and that
// no linter knows. Each rule is a function from a file to what is wrong with it, tried on
// examples first and on the whole tree then.
package housetest

import (
	"errors"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// root is the module's folder, seen from this one.
const root = "../.."

// trackedFiles returns the files that git knows or would add, by their slash-separated
// names below the root.
func trackedFiles(t *testing.T) []string {
	t.Helper()
	if _, err := os.Stat(filepath.Join(root, ".git")); errors.Is(err, fs.ErrNotExist) {
		t.Skip("the tree is not a git checkout: run in a clone")
	}
	list := exec.CommandContext(t.Context(), "git", "-C", root, "ls-files", "-z", "--cached", "--others", "--exclude-standard")
	out, err := list.Output()
	if err != nil {
		t.Fatalf("list the files of the tree: %v", err)
	}
	names := strings.FieldsFunc(string(out), func(r rune) bool { return r == 0 })
	names = slices.DeleteFunc(names, func(name string) bool {
		_, err := os.Lstat(filepath.Join(root, name))
		return errors.Is(err, fs.ErrNotExist) // deleted, and not committed yet
	})
	if len(names) < 10 {
		t.Fatalf("git lists %d files: this is not the whole tree", len(names))
	}
	return names
}

func read(t *testing.T, name string) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(root, name))
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// hold tries a rule on every file of the tree that is text.
func hold(t *testing.T, rule func(name, text string) []string) {
	t.Helper()
	tried := 0
	for _, name := range trackedFiles(t) {
		text := read(t, name)
		if strings.ContainsRune(text, 0) {
			continue // not text
		}
		tried++
		for _, wrong := range rule(name, text) {
			t.Errorf("%s:%s", name, wrong)
		}
	}
	if tried == 0 {
		t.Error("the rule was tried on no file")
	}
}

var (
	machinePath = regexp.MustCompile(`(?:^|[^\w./-])/(?:work|root)/`)
	personPath  = regexp.MustCompile(`(?:^|[^\w./-])/(?:home|tmp)/\w+`)
)

// machinePaths finds names of folders that exist on one machine only. Tests may make up
// folders of people and temporary ones.
func machinePaths(name, text string) (wrong []string) {
	if strings.HasSuffix(name, ".sum") {
		return nil
	}
	invented := strings.HasSuffix(name, "_test.go") || slices.Contains(strings.Split(name, "/"), "testdata")
	for i, line := range strings.Split(text, "\n") {
		if machinePath.MatchString(line) || !invented && personPath.MatchString(line) {
			wrong = append(wrong, fmt.Sprintf("%d: a path of one machine: %s", i+1, strings.TrimSpace(line)))
		}
	}
	return wrong
}

func TestMachinePaths(t *testing.T) {
	const work = "/wo" + "rk/" // this file is looked at too
	for _, c := range []struct {
		name, text string
		want       int
	}{
		{"a.go", "x := \"" + work + "y\"\n// see " + work, 2},
		{"a_test.go", work, 1},
		{"a.md", "cd /home/ann && ls /tmp/vault", 1},
		{"a_test.go", "/home/ann", 0},
		{"x/testdata/a.txt", "/tmp/vault", 0},
		{"go.sum", work, 0},
		{"a.md", "https://example.org/home/x, internal" + work + ", $HOME/tmp/x, /tmp", 0},
	} {
		if got := len(machinePaths(c.name, c.text)); got != c.want {
			t.Errorf("%s %q: %d findings, want %d", c.name, c.text, got, c.want)
		}
	}
	hold(t, machinePaths)
}

// goRules finds what is wrong in a Go file: a name of ours that says "end offset", which
// Kafka uses both for the last offset and for the one after it, and tests that are
// skipped without a word about what would un-skip them.
func goRules(name, text string) (wrong []string) {
	if path.Ext(name) != ".go" {
		return nil
	}
	files := token.NewFileSet()
	file, err := parser.ParseFile(files, name, text, parser.SkipObjectResolution)
	if err != nil {
		return []string{fmt.Sprintf("0: %v", err)}
	}
	complain := func(at token.Pos, format string, args ...any) {
		wrong = append(wrong, fmt.Sprintf("%d: %s", files.Position(at).Line, fmt.Sprintf(format, args...)))
	}
	ast.Inspect(file, func(n ast.Node) bool {
		for _, ident := range declared(n) {
			if strings.Contains(strings.ToLower(ident.Name), "endoffset") {
				complain(ident.Pos(), "%s: say lastOffset or nextOffset", ident.Name)
			}
		}
		if call, ok := n.(*ast.CallExpr); ok && skipsWithoutReason(call) {
			complain(call.Pos(), "say what would un-skip the test")
		}
		return true
	})
	return wrong
}

// declared returns the names that a node brings into the world.
func declared(n ast.Node) []*ast.Ident {
	var exprs []ast.Expr
	switch n := n.(type) {
	case *ast.FuncDecl:
		return []*ast.Ident{n.Name}
	case *ast.TypeSpec:
		return []*ast.Ident{n.Name}
	case *ast.Field:
		return n.Names
	case *ast.ValueSpec:
		return n.Names
	case *ast.AssignStmt:
		if n.Tok == token.DEFINE {
			exprs = n.Lhs
		}
	case *ast.RangeStmt:
		if n.Tok == token.DEFINE {
			exprs = []ast.Expr{n.Key, n.Value}
		}
	}
	var idents []*ast.Ident
	for _, e := range exprs {
		if ident, ok := e.(*ast.Ident); ok {
			idents = append(idents, ident)
		}
	}
	return idents
}

// skipsWithoutReason tells of t.SkipNow(), t.Skip() and t.Skip("slow"): a reason that is
// one word is none.
func skipsWithoutReason(call *ast.CallExpr) bool {
	method, ok := call.Fun.(*ast.SelectorExpr)
	if !ok {
		return false
	}
	receiver, ok := method.X.(*ast.Ident)
	if !ok || !slices.Contains([]string{"t", "b", "f", "tb"}, receiver.Name) {
		return false
	}
	switch method.Sel.Name {
	case "SkipNow":
		return true
	case "Skip", "Skipf":
		if len(call.Args) == 0 {
			return true
		}
		reason, ok := call.Args[0].(*ast.BasicLit)
		return ok && !strings.Contains(strings.TrimSpace(reason.Value), " ")
	}
	return false
}

func TestGoFiles(t *testing.T) {
	const source = `package p

type s struct{ EndOffset int }

func f(endOffset int) {
	var logEndOffset, ok int
	theEndOffset := x.EndOffset
	t.SkipNow()
	t.Skip("slow")
	t.Skip("needs a broker: run without -short")
	return s{EndOffset: 1}.EndOffset
}
`
	got := goRules("p_test.go", source)
	want := []string{
		"3: EndOffset: say lastOffset or nextOffset",
		"5: endOffset: say lastOffset or nextOffset",
		"6: logEndOffset: say lastOffset or nextOffset",
		"7: theEndOffset: say lastOffset or nextOffset",
		"8: say what would un-skip the test",
		"9: say what would un-skip the test",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
	hold(t, goRules)
}

// TestReadmeSaysHowToTest keeps the way in where everybody looks first.
func TestReadmeSaysHowToTest(t *testing.T) {
	if !strings.Contains(read(t, "README.md"), "make test") {
		t.Error("README.md does not say `make test`")
	}
}

// TestPlainBuildsNeedNoCompiler: whoever types `go run` for the first time must not wait
// for C code to compile. What is written in C has to be asked for with a build tag.
func TestPlainBuildsNeedNoCompiler(t *testing.T) {
	const format = "{{if and .CgoFiles (not .Standard)}}{{.ImportPath}}{{end}}"
	list := exec.CommandContext(t.Context(), "go", "list", "-deps", "-test", "-f", format, "./...")
	list.Dir = root
	list.Env = append(os.Environ(), "CGO_ENABLED=1")
	out, err := list.Output()
	if err != nil {
		t.Fatalf("list what is built: %v", err)
	}
	for _, name := range strings.Fields(string(out)) {
		t.Errorf("%s is compiled by a C compiler without being asked for", name)
	}
}

var pageLink = regexp.MustCompile(`\]\(([^)\s#]+)(?:#[^)\s]*)?\)`)

// lostLinks finds links of a page to files of the tree that are not there.
func lostLinks(name, text string) (wrong []string) {
	if path.Ext(name) != ".md" {
		return nil
	}
	for i, line := range strings.Split(text, "\n") {
		for _, link := range pageLink.FindAllStringSubmatch(line, -1) {
			if strings.Contains(link[1], "://") {
				continue
			}
			if _, err := os.Stat(filepath.Join(root, path.Dir(name), link[1])); err != nil {
				wrong = append(wrong, fmt.Sprintf("%d: a link to what is not there: %s", i+1, link[1]))
			}
		}
	}
	return wrong
}

func TestLinksBetweenPages(t *testing.T) {
	const text = "[a](docs/testing.md) [b](docs/none.md#x)\n[c](https://example.org/none.md) [d](#here)"
	if diff := cmp.Diff([]string{"1: a link to what is not there: docs/none.md"}, lostLinks("README.md", text)); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
	hold(t, lostLinks)
}

var required = regexp.MustCompile(`(?m)^\s*(?:require )?([\w.-]+\.[\w.-]+/\S+) v\S+`)

// undocumented returns the modules that a go.mod requires and the text does not name.
func undocumented(mod, text string) (missing []string) {
	for _, m := range required.FindAllStringSubmatch(mod, -1) {
		if !strings.Contains(text, "`"+m[1]+"`") {
			missing = append(missing, m[1])
		}
	}
	return missing
}

// TestDependenciesAreExplained finds modules that no decision speaks of.
func TestDependenciesAreExplained(t *testing.T) {
	const mod = "module m\n\nrequire (\n\ta.b/c v1.0.0\n\ta.b/d/v2 v2.1.0 // indirect\n)\nrequire a.b/e v0.1.0\n"
	if diff := cmp.Diff([]string{"a.b/d/v2", "a.b/e"}, undocumented(mod, "`a.b/c` and a.b/e")); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
	var decisions strings.Builder
	for _, name := range trackedFiles(t) {
		if path.Dir(name) == "docs/adr" {
			decisions.WriteString(read(t, name))
		}
	}
	for _, name := range undocumented(read(t, "go.mod"), decisions.String()) {
		t.Errorf("%s: no line in docs/adr says what it saves and who maintains it", name)
	}
}

// corpusFaults looks at the folders of fuzz corpora below dir: each holds at least one
// input, and belongs to a target that exists beside it, or nobody ever runs it.
func corpusFaults(dir string) (wrong []string, err error) {
	corpora, err := findCorpora(dir)
	if err != nil {
		return nil, err
	}
	for _, corpus := range corpora {
		inputs, err := os.ReadDir(corpus)
		if err != nil {
			return nil, err
		}
		if len(inputs) == 0 {
			wrong = append(wrong, corpus+": an empty corpus")
		}
		target, pkg := filepath.Base(corpus), filepath.Join(corpus, "../../..")
		found, err := hasTarget(pkg, target)
		if err != nil {
			return nil, err
		}
		if !found {
			wrong = append(wrong, corpus+": no such target in "+pkg)
		}
	}
	return wrong, nil
}

func findCorpora(dir string) (corpora []string, err error) {
	err = filepath.WalkDir(dir, func(name string, e fs.DirEntry, err error) error {
		if err != nil || !e.IsDir() {
			return err
		}
		if e.Name() == ".git" || e.Name() == "node_modules" {
			return fs.SkipDir
		}
		if above := filepath.Dir(name); filepath.Base(above) == "fuzz" && filepath.Base(filepath.Dir(above)) == "testdata" {
			corpora = append(corpora, name)
		}
		return nil
	})
	return corpora, err
}

func hasTarget(pkg, target string) (bool, error) {
	tests, err := filepath.Glob(filepath.Join(pkg, "*_test.go"))
	if err != nil {
		return false, err
	}
	for _, name := range tests {
		text, err := os.ReadFile(name)
		if err != nil {
			return false, err
		}
		if strings.Contains(string(text), "\nfunc "+target+"(f *testing.F)") {
			return true, nil
		}
	}
	return false, nil
}

func TestFuzzCorpora(t *testing.T) {
	dir := t.TempDir()
	for name, text := range map[string]string{
		"p/p_test.go":              "package p\n\nfunc FuzzA(f *testing.F) {}\n",
		"p/testdata/fuzz/FuzzA/1":  "x",
		"p/testdata/fuzz/FuzzB/1":  "x",
		"q/q_test.go":              "package q\n\nfunc FuzzC(f *testing.F) {}\n",
		"q/testdata/fuzz/FuzzC/./": "",
	} {
		name = dir + "/" + name
		if err := os.MkdirAll(path.Dir(name), 0o755); err != nil {
			t.Fatal(err)
		}
		if text == "" {
			continue
		}
		if err := os.WriteFile(name, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	got, err := corpusFaults(dir)
	if err != nil {
		t.Fatal(err)
	}
	want := []string{
		filepath.Join(dir, "p/testdata/fuzz/FuzzB") + ": no such target in " + filepath.Join(dir, "p"),
		filepath.Join(dir, "q/testdata/fuzz/FuzzC") + ": an empty corpus",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
	wrong, err := corpusFaults(root)
	if err != nil {
		t.Fatal(err)
	}
	for _, w := range wrong {
		t.Error(w)
	}
}
