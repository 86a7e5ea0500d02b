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
// Of a cluster's topics, internal ones are chosen by their literal name only. name@topicID is one incarnation.
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
			p, err := parsePattern(text)
			if err != nil {
				return nil, err
			}
			out = append(out, p)
		}
	}
	return out, nil
}

// splitPatterns splits at commas, but not inside a regular expression: that one ends at
// a slash with a comma behind it, for no topic name has a slash. What is empty between
// commas stays, to be refused: "all" is never what an empty text means.
func splitPatterns(list string) []string {
	var out []string
	for {
		list = strings.TrimSpace(list)
		one, rest, more := strings.Cut(list, ",")
		if end := closingSlash.FindStringIndex(list); end != nil && strings.HasPrefix(list, "/") {
			one, rest, more = list[:end[0]+1], list[end[1]:], true
		} else if strings.HasPrefix(list, "/") {
			one, more = list, false
		}
		out = append(out, strings.TrimSpace(one))
		if !more {
			return out
		}
		list = rest
	}
}

var closingSlash = regexp.MustCompile(`/\s*,`)

func parsePattern(text string) (pattern, error) {
	p := pattern{text: text}
	refuse := func(reason string) (pattern, error) { return p, &PatternError{Pattern: text, Reason: reason} }
	switch {
	case text == "":
		return refuse("it is empty")
	case strings.Contains(text, "/"):
		inside, ok := strings.CutPrefix(text, "/")
		inside, closed := strings.CutSuffix(inside, "/")
		if !ok || !closed || inside == "" || strings.Contains(inside, "/") {
			return refuse("a regular expression stands between two slashes, and no topic name has any")
		}
		re, err := compileWhole(inside)
		if err != nil {
			return refuse(err.Error())
		}
		p.regexp = re
	case strings.ContainsAny(text, "*?["):
		if _, err := path.Match(text, ""); err != nil {
			return refuse("bad glob")
		}
		p.glob = true
	default:
		name, id, isOne := strings.Cut(text, "@")
		if err := CheckTopicName(name); err != nil {
			return refuse(err.Error())
		}
		if _, err := ParseTopicID(id); isOne && err != nil {
			return refuse(err.Error())
		}
		p.name, p.id = name, id
	}
	return p, nil
}

// compileWhole compiles what matches whole names only. The expression is compiled by
// itself first, so that no bracket of its own can close ours.
func compileWhole(expression string) (*regexp.Regexp, error) {
	if _, err := regexp.Compile(expression); err != nil {
		return nil, err
	}
	return regexp.Compile(`^(?:` + expression + `)$`)
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

// IsInternalName says whether a topic is Kafka's own by its name. Other names that begin alike
// are those of users' topics.
func IsInternalName(name string) bool {
	switch name {
	case OffsetsTopic, "__transaction_state", "__share_group_state", "__cluster_metadata":
		return true
	}
	return false
}

// isHiddenName says whether a topic of a cluster is chosen by its literal name only.
func isHiddenName(name string) bool { return strings.HasPrefix(name, "__") }

// All says that no pattern chooses anything: all topics but internal ones are meant.
func (ps *Patterns) All() bool { return len(ps.include) == 0 }

// Select returns the chosen ones of a cluster's topics, in their order. Internal topics, and
// all whose names begin with two underscores, are chosen by their literal names only. A pattern that
// matches no topic is a [*PatternError]; one that only excludes may match nothing.
func (ps *Patterns) Select(topics []Topic) ([]Topic, error) {
	return ps.choose(topics, func(t *Topic) bool { return t.Internal || isHiddenName(t.Name) }, false)
}

// SelectSaved is Select for topics that were saved, and so were chosen once. Only Kafka's own are
// internal among them, and where all are meant they are meant too.
func (ps *Patterns) SelectSaved(topics []Topic) ([]Topic, error) {
	return ps.choose(topics, func(t *Topic) bool { return t.Internal || IsInternalName(t.Name) }, true)
}

func (ps *Patterns) choose(topics []Topic, isHidden func(*Topic) bool, allMeansHidden bool) ([]Topic, error) {
	matches := make([]struct{ any, chosen bool }, len(ps.include))
	var out []Topic
	for i := range topics {
		t := &topics[i]
		hidden := isHidden(t)
		chosen := ps.All() && (!hidden || allMeansHidden)
		for j := range ps.include {
			p := &ps.include[j]
			if !p.match(t) {
				continue
			}
			matches[j].any = true
			if p.literal() || !hidden {
				matches[j].chosen, chosen = true, true
			}
		}
		if chosen && !ps.excludes(t) {
			out = append(out, *t)
		}
	}
	var errs []error
	for i, m := range matches {
		if m.chosen {
			continue
		}
		e := &PatternError{Pattern: ps.include[i].text, Reason: "matches no topic", Nearest: ps.include[i].nearest(topics)}
		if m.any {
			e.Reason = "matches internal topics only, and these are chosen by their name alone"
		}
		errs = append(errs, e)
	}
	errs = append(errs, ps.uselessExcludes(topics)...)
	if len(errs) == 0 && len(out) == 0 && len(ps.exclude) > 0 {
		errs = append(errs, &PatternError{Pattern: ps.exclude[0].text, Reason: "with it no topic is left"})
	}
	return out, errors.Join(errs...)
}

// uselessExcludes finds patterns that exclude nothing: a name is surely mistyped.
func (ps *Patterns) uselessExcludes(topics []Topic) (errs []error) {
	for i := range ps.exclude {
		p := &ps.exclude[i]
		if !slices.ContainsFunc(topics, func(t Topic) bool { return p.match(&t) }) {
			errs = append(errs, &PatternError{Pattern: p.text, Reason: "matches no topic", Nearest: p.nearest(topics)})
		}
	}
	return errs
}

// CheckExcludes is an error if a pattern excludes none of the topics.
func (ps *Patterns) CheckExcludes(topics []Topic) error {
	return errors.Join(ps.uselessExcludes(topics)...)
}

// Within gives the patterns without those that exclude none of the topics: what is not there
// need not be left out.
func (ps *Patterns) Within(topics []Topic) *Patterns {
	within := &Patterns{include: ps.include}
	for i := range ps.exclude {
		p := ps.exclude[i]
		if slices.ContainsFunc(topics, func(t Topic) bool { return p.match(&t) }) {
			within.exclude = append(within.exclude, p)
		}
	}
	return within
}

func (ps *Patterns) excludes(t *Topic) bool {
	return slices.ContainsFunc(ps.exclude, func(p pattern) bool { return p.match(t) })
}

// nearest names topics that may have been meant: of one incarnation that is not there,
// the others.
func (p *pattern) nearest(topics []Topic) []string {
	var names, others []string
	for i := range topics {
		t := &topics[i]
		names = append(names, t.Name)
		if p.id != "" && t.Name == p.name {
			others = append(others, t.Name+"@"+t.ID.String())
		}
	}
	switch {
	case len(others) > 0:
		return others[:min(len(others), nearestCount)]
	case p.id != "":
		return Nearest(p.name, names)
	}
	return Nearest(p.text, names)
}

const nearestCount = 3

// Nearest returns up to three of names that are close to text, the closest first.
func Nearest(text string, names []string) []string {
	type candidate struct {
		name     string
		distance int
	}
	var near []candidate
	text = strings.ToLower(text)
	part := strings.Trim(text, "*?/")
	for _, name := range names {
		lower := strings.ToLower(name)
		d := editDistance(text, lower)
		if d <= max(2, len(text)/3) || part != "" && strings.Contains(lower, part) {
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

// Unmatched returns the names among the patterns that are of none of the topics. A user who
// may not describe a topic sees it in no list of all.
func (ps *Patterns) Unmatched(topics []Topic) []string {
	var out []string
	if ps == nil {
		return nil
	}
	for i := range ps.include {
		p := &ps.include[i]
		if p.literal() && p.id == "" && !slices.ContainsFunc(topics, func(t Topic) bool { return p.match(&t) }) {
			out = append(out, p.name)
		}
	}
	return out
}

// Texts returns the patterns that include, as they were written.
func (ps *Patterns) Texts() []string {
	out := make([]string, len(ps.include))
	for i := range ps.include {
		out[i] = ps.include[i].text
	}
	return out
}
