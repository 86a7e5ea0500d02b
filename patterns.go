package coldstream

import (
	"cmp"
	"errors"
	"fmt"
	"path"
	"regexp"
	"slices"
	"strings"
)

// Patterns choose topics by name. Each pattern is a literal name, a glob (with *, ? or
// […]) or a regular expression between slashes (RE2), and always matches the whole name.
// Internal topics are chosen by their literal name only. name@topicID is one incarnation.
type Patterns struct {
	include, exclude []pattern
}

type pattern struct {
	text   string
	name   string         // of a literal
	id     string         // of a literal name@topicID
	regexp *regexp.Regexp // of /…/
	glob   bool
}

// PatternError says that a pattern cannot be read, or that it matches nothing.
type PatternError struct {
	Pattern string
	Reason  string
	Nearest []string // names that are close to it
}

func (e *PatternError) Error() string {
	return fmt.Sprintf("topic pattern %q: %s", e.Pattern, e.Reason)
}

// UsageHint says what may have been meant.
func (e *PatternError) UsageHint() string {
	if len(e.Nearest) == 0 {
		return ""
	}
	return "did you mean: " + strings.Join(e.Nearest, ", ")
}

// ParsePatterns reads lists of patterns; each element may be several, with commas
// between them. Without any to include, all topics but internal ones are.
func ParsePatterns(include, exclude []string) (*Patterns, error) {
	in, err := parsePatterns(include)
	if err != nil {
		return nil, err
	}
	ex, err := parsePatterns(exclude)
	if err != nil {
		return nil, err
	}
	return &Patterns{include: in, exclude: ex}, nil
}

func parsePatterns(lists []string) ([]pattern, error) {
	var out []pattern
	for _, list := range lists {
		for _, text := range splitPatterns(list) {
			p, err := parsePattern(strings.TrimSpace(text))
			if err != nil {
				return nil, err
			}
			out = append(out, p)
		}
	}
	return out, nil
}

// splitPatterns splits at commas, but not inside a regular expression.
func splitPatterns(list string) []string {
	var out []string
	for list != "" {
		end := strings.IndexByte(list, ',')
		if strings.HasPrefix(strings.TrimSpace(list), "/") {
			start := strings.IndexByte(list, '/') + 1
			end = strings.Index(list[start:], "/,")
			if end >= 0 {
				end += start + 1
			}
		}
		if end < 0 {
			end = len(list)
		}
		out = append(out, list[:end])
		list = list[min(len(list), end+1):]
	}
	return out
}

func parsePattern(text string) (pattern, error) {
	p := pattern{text: text}
	switch {
	case text == "":
		return p, &PatternError{Pattern: text, Reason: "it is empty"}
	case len(text) > 1 && strings.HasPrefix(text, "/") && strings.HasSuffix(text, "/"):
		re, err := regexp.Compile("^(?:" + text[1:len(text)-1] + ")$")
		if err != nil {
			return p, &PatternError{Pattern: text, Reason: err.Error()}
		}
		p.regexp = re
	case strings.ContainsAny(text, "*?["):
		if _, err := path.Match(text, ""); err != nil {
			return p, &PatternError{Pattern: text, Reason: "bad glob"}
		}
		p.glob = true
	default:
		p.name, p.id, _ = strings.Cut(text, "@")
	}
	return p, nil
}

func (p *pattern) literal() bool { return p.regexp == nil && !p.glob }

func (p *pattern) match(t *Topic) bool {
	switch {
	case p.regexp != nil:
		return p.regexp.MatchString(t.Name)
	case p.glob:
		ok, err := path.Match(p.text, t.Name) // topic names have no slash, so * crosses nothing
		return ok && err == nil
	}
	return p.name == t.Name && (p.id == "" || p.id == t.ID.String())
}

// IsInternalName says whether a topic belongs to Kafka itself by its name.
func IsInternalName(name string) bool { return strings.HasPrefix(name, "__") }

// All says that no pattern chooses anything: all topics but internal ones are meant.
func (ps *Patterns) All() bool { return len(ps.include) == 0 }

// Select returns the chosen topics, in their order. A pattern that matches no topic is a
// [*PatternError]; one that only excludes may match nothing.
func (ps *Patterns) Select(topics []Topic) ([]Topic, error) {
	used := make([]bool, len(ps.include))
	var out []Topic
	for i := range topics {
		t := &topics[i]
		internal := t.Internal || IsInternalName(t.Name)
		chosen := ps.All() && !internal
		for j := range ps.include {
			p := &ps.include[j]
			if (p.literal() || !internal) && p.match(t) {
				used[j], chosen = true, true
			}
		}
		if chosen && !ps.excludes(t) {
			out = append(out, *t)
		}
	}
	var errs []error
	for i, ok := range used {
		if !ok {
			errs = append(errs, &PatternError{
				Pattern: ps.include[i].text, Reason: "matches no topic", Nearest: nearestTopics(ps.include[i].text, topics),
			})
		}
	}
	return out, errors.Join(errs...)
}

func (ps *Patterns) excludes(t *Topic) bool {
	return slices.ContainsFunc(ps.exclude, func(p pattern) bool { return p.match(t) })
}

func nearestTopics(text string, topics []Topic) []string {
	names := make([]string, len(topics))
	for i := range topics {
		names[i] = topics[i].Name
	}
	return Nearest(text, names)
}

const nearestCount = 3

// Nearest returns up to three of names that are close to text, the closest first.
func Nearest(text string, names []string) []string {
	type candidate struct {
		name     string
		distance int
	}
	var near []candidate
	for _, name := range names {
		d := editDistance(strings.ToLower(text), strings.ToLower(name))
		if d <= max(2, len(text)/3) || strings.Contains(name, strings.Trim(text, "*?/")) {
			near = append(near, candidate{name, d})
		}
	}
	slices.SortFunc(near, func(a, b candidate) int {
		return cmp.Or(cmp.Compare(a.distance, b.distance), cmp.Compare(a.name, b.name))
	})
	var out []string
	for _, c := range near[:min(len(near), nearestCount)] {
		out = append(out, c.name)
	}
	return out
}

// editDistance is Levenshtein's.
func editDistance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			cost := 1
			if a[i] == b[j] {
				cost = 0
			}
			diagonal, row[j+1] = row[j+1], min(row[j+1]+1, row[j]+1, diagonal+cost)
		}
	}
	return row[len(b)]
}

// Texts returns the patterns that include, as they were written.
func (ps *Patterns) Texts() []string {
	out := make([]string, len(ps.include))
	for i := range ps.include {
		out[i] = ps.include[i].text
	}
	return out
}
