// Package config hides how a configuration file is written: bytes in, values out. It knows no
// flag and opens no file; callers say which keys there are.
package config

import (
	"errors"
	"fmt"
	"io"
	"path"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"

	"coldstream"
)

// Keys are the keys that a file may have.
type Keys struct {
	Shared   []string            // of all commands that have the flag
	Commands map[string][]string // of one command, by its name
	Topic    []string            // of one topic
}

// Error says what is wrong with a file, and where.
type Error struct {
	File   string
	Line   int // 0 if it is the file as a whole
	Reason string
	Advice string
}

func (e *Error) Error() string {
	if e.Line == 0 {
		return e.File + ": " + e.Reason
	}
	return e.File + ":" + strconv.Itoa(e.Line) + ": " + e.Reason
}

// UsageHint says what to do about it.
func (e *Error) UsageHint() string { return e.Advice }

// Value is what a file says of a key, as it is written there.
type Value struct {
	Texts    []string
	File     string
	Line     int
	IsList   bool
	IsShared bool // said for all commands
}

// Origin is where the value is written.
func (v *Value) Origin() string { return v.File + ":" + strconv.Itoa(v.Line) }

// TopicValue is what a file says of a key for topics with a name.
type TopicValue struct {
	Pattern string
	Value   Value
}

// File is a configuration file that was read.
type File struct {
	Name     string
	current  string
	line     int // of current-context
	all      section
	contexts []context
}

type context struct {
	name string
	section
}

// section is what the file says for all contexts, or for one.
type section struct {
	shared   map[string]Value
	commands map[string]map[string]Value
	topics   map[string][]TopicValue // by key, in the order of the file
}

// Settings are what counts of a file in one context.
type Settings struct {
	Context  string // "" if none was chosen
	sections []section
}

const (
	contextsKey = "contexts"
	currentKey  = "current-context"
	commandsKey = "commands"
	topicsKey   = "topics"
)

// Parse reads a file. Keys that are not known, that are there twice, or that have no value are
// errors, and so is YAML beyond maps, lists and plain values.
func Parse(name string, text []byte, keys *Keys) (*File, error) {
	p := &parser{file: name, keys: keys}
	f := &File{Name: name}
	top, err := p.document(text)
	if err != nil || top == nil {
		return f, err
	}
	if f.all, err = p.section(top, []string{contextsKey, currentKey}); err != nil {
		return nil, err
	}
	for _, e := range p.entries(top) {
		switch e.key {
		case currentKey:
			v, err := p.value(e)
			if err != nil {
				return nil, err
			}
			if v.IsList {
				return nil, p.wrong(e.line, "current-context is one name", "")
			}
			f.current, f.line = v.Texts[0], e.line
		case contextsKey:
			if f.contexts, err = p.contexts(e); err != nil {
				return nil, err
			}
		}
	}
	if f.current != "" && !slices.Contains(f.Contexts(), f.current) {
		return nil, p.wrong(f.line, unknown("context", f.current), didYouMean(f.current, f.Contexts()))
	}
	return f, nil
}

// Contexts are the names of the file's contexts, in its order.
func (f *File) Contexts() []string {
	var names []string
	for i := range f.contexts {
		names = append(names, f.contexts[i].name)
	}
	return names
}

// Settings are those of the context with this name; without a name, of the file's current one.
// What a context says goes before what the file says for all.
func (f *File) Settings(name string) (*Settings, error) {
	if name == "" {
		name = f.current
	}
	if name == "" {
		return &Settings{sections: []section{f.all}}, nil
	}
	i := slices.Index(f.Contexts(), name)
	if i < 0 {
		return nil, &Error{File: f.Name, Reason: unknown("context", name), Advice: didYouMean(name, f.Contexts())}
	}
	return &Settings{Context: name, sections: []section{f.contexts[i].section, f.all}}, nil
}

// of is the value of a key that is said for one command.
func (s *section) of(command, key string) (*Value, bool) {
	v, ok := s.commands[command][key]
	return &v, ok
}

// Lookup finds a key of a command: what is said for the command goes before what is said for all
// of them, and isShared tells whether the latter counts for this command.
func (s *Settings) Lookup(command, key string, isShared func() bool) (*Value, bool) {
	for i := range s.sections {
		if v, ok := s.sections[i].of(command, key); ok {
			return v, true
		}
		if v, ok := s.sections[i].shared[key]; ok && isShared() {
			v.IsShared = true
			return &v, true
		}
	}
	return nil, false
}

// Topics are the values of a key for single topics. Of those that match a topic, the first counts.
func (s *Settings) Topics(key string) []TopicValue {
	var out []TopicValue
	for i := range s.sections {
		out = append(out, s.sections[i].topics[key]...)
	}
	return out
}

// Source is where values come from that a file only refers to.
type Source struct {
	Getenv   func(string) string
	ReadFile func(path string) ([]byte, error)
}

var reference = regexp.MustCompile(`\$?\$\{[^}]*\}?`)

// Resolve puts in what the value refers to: ${VARIABLE}, and @FILE if that is all of it. $${ and
// @@ stand for themselves. FILE is looked for beside the file.
func (v *Value) Resolve(from Source) ([]string, error) {
	var out []string
	for _, text := range v.Texts {
		resolved, err := v.resolve(text, from)
		if err != nil {
			return nil, err
		}
		out = append(out, resolved)
	}
	return out, nil
}

func (v *Value) resolve(text string, from Source) (string, error) {
	if rest, ok := strings.CutPrefix(text, "@"); ok {
		if strings.HasPrefix(rest, "@") {
			return rest, nil
		}
		if !path.IsAbs(rest) {
			rest = path.Join(path.Dir(v.File), rest)
		}
		content, err := from.ReadFile(rest)
		if err != nil {
			return "", &Error{v.File, v.Line, "read the value: " + err.Error(), "@ at the beginning names a file with the value; write @@ for a plain @"}
		}
		return strings.TrimRight(string(content), "\r\n"), nil
	}
	var wrong error
	out := reference.ReplaceAllStringFunc(text, func(ref string) string {
		if strings.HasPrefix(ref, "$$") {
			return ref[1:]
		}
		name, closed := strings.CutSuffix(ref[2:], "}")
		if !closed || name == "" {
			wrong = &Error{v.File, v.Line, fmt.Sprintf("%q is not a reference to a variable", ref), "write ${VARIABLE}, or $${ for a plain ${"}
			return ref
		}
		value := from.Getenv(name)
		if value == "" {
			wrong = &Error{v.File, v.Line, "the variable " + name + " is not set", "set it, or write $${ for a plain ${"}
		}
		return value
	})
	return out, wrong
}

// parser reads one file.
type parser struct {
	file string
	keys *Keys
}

// entry is a key with what stands behind it.
type entry struct {
	key  string
	line int
	node *yaml.Node
}

func (p *parser) wrong(line int, reason, advice string) error {
	return &Error{p.file, line, reason, advice}
}

func unknown(what, name string) string { return fmt.Sprintf("unknown %s %q", what, name) }

func didYouMean(name string, names []string) string {
	if near := coldstream.Nearest(name, names); len(near) > 0 {
		return "did you mean: " + near[0]
	}
	if len(names) == 0 {
		return "there are none"
	}
	if len(names) <= 10 {
		return "there are: " + strings.Join(names, ", ")
	}
	return "see docs/configuration.md"
}

var yamlLine = regexp.MustCompile(`^yaml: (?:line (\d+): )?`)

// document is the mapping that the file is; nil if the file says nothing.
func (p *parser) document(text []byte) (*yaml.Node, error) {
	var doc yaml.Node
	decoder := yaml.NewDecoder(strings.NewReader(string(text)))
	if err := decoder.Decode(&doc); err != nil {
		if errors.Is(err, io.EOF) {
			return nil, nil //nolint:nilnil // an empty file is a file without settings
		}
		return nil, p.notYAML(err)
	}
	var second yaml.Node
	if err := decoder.Decode(&second); err == nil {
		return nil, p.wrong(second.Line, "there is a second document", "write all into one")
	} else if !errors.Is(err, io.EOF) {
		return nil, p.notYAML(err)
	}
	if len(doc.Content) != 1 {
		return nil, nil //nolint:nilnil // as above
	}
	if node := doc.Content[0]; node.Kind == yaml.ScalarNode && node.Tag == "!!null" {
		return nil, nil //nolint:nilnil // as above
	}
	return doc.Content[0], p.check(doc.Content[0])
}

func (p *parser) notYAML(err error) error {
	line, text := 0, err.Error()
	if m := yamlLine.FindStringSubmatch(text); m != nil {
		text = text[len(m[0]):]
		line, _ = strconv.Atoi(m[1]) // no number: the file as a whole
	}
	return p.wrong(line, "not YAML: "+text, "")
}

// check refuses what only makes files hard to read.
func (p *parser) check(node *yaml.Node) error {
	if node.Kind == yaml.AliasNode || node.Anchor != "" {
		return p.wrong(node.Line, "anchors and aliases are not supported", "write the value out")
	}
	var errs []error
	for _, child := range node.Content {
		errs = append(errs, p.check(child))
	}
	return errors.Join(errs...)
}

// entries are those of a mapping.
func (p *parser) entries(node *yaml.Node) []entry {
	var out []entry
	for i := 0; i+1 < len(node.Content); i += 2 {
		out = append(out, entry{node.Content[i].Value, node.Content[i].Line, node.Content[i+1]})
	}
	return out
}

// mapping holds that a node is one, and has no key twice.
func (p *parser) mapping(node *yaml.Node) ([]entry, error) {
	if node.Kind != yaml.MappingNode {
		return nil, p.wrong(node.Line, "here must be keys with values, as: vault: /srv/vault", "")
	}
	first := map[string]int{}
	entries := p.entries(node)
	for _, e := range entries {
		if line, ok := first[e.key]; ok {
			return nil, p.wrong(e.line, fmt.Sprintf("%q is there twice, first in line %d", e.key, line), "leave one out")
		}
		first[e.key] = e.line
	}
	return entries, nil
}
