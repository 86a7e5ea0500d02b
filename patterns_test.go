package coldstream

import (
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// clusterTopics are a cluster's topics as a backup sees them, sorted by name.
func clusterTopics(names ...string) []Topic {
	out := make([]Topic, len(names))
	for i, name := range names {
		out[i] = Topic{Name: name}
	}
	return out
}

func selected(t *testing.T, topics []Topic, include, exclude []string) ([]string, error) {
	t.Helper()
	ps, err := ParsePatterns(include, exclude)
	if err != nil {
		t.Fatalf("ParsePatterns(%q, %q): %v", include, exclude, err)
	}
	chosen, err := ps.Select(topics)
	var names []string
	for _, c := range chosen {
		names = append(names, c.Name)
	}
	return names, err
}

func TestPatternsSelect(t *testing.T) {
	topics := clusterTopics("__consumer_offsets", "__mine", "_schemas", "a", "aaa", "audit.log", "orders", "orders-eu", "orders-us", "payments")
	tests := []struct {
		name             string
		include, exclude []string
		want             string
	}{
		{"without patterns all but internal ones", nil, nil, "_schemas a aaa audit.log orders orders-eu orders-us payments"},
		{"a literal is the whole name", []string{"orders"}, nil, "orders"},
		{"a dot is a dot", []string{"audit.log"}, nil, "audit.log"},
		{"a glob", []string{"orders-*"}, nil, "orders-eu orders-us"},
		{"a glob is the whole name", []string{"order?"}, nil, "orders"},
		{"a class", []string{"orders-[e-f]?"}, nil, "orders-eu"},
		{"a regular expression is the whole name", []string{"/a+/"}, nil, "a aaa"},
		{"its alternatives are whole names too", []string{"/a|order/", "a"}, nil, "a"},
		{"a lazy one as well", []string{"/a+?/"}, nil, "a aaa"},
		{"the shorter alternative first", []string{"/orders|orders-eu/"}, nil, "orders orders-eu"},
		{"anchors of one's own", []string{"/^orders$/"}, nil, "orders"},
		{"repeated", []string{"a", "payments"}, nil, "a payments"},
		{"with commas", []string{"a,payments"}, nil, "a payments"},
		{"with blanks", []string{" a , payments "}, nil, "a payments"},
		{"a comma inside a regular expression", []string{"/a{2,3}/,orders"}, nil, "aaa orders"},
		{"only such a one", []string{"/a{1,2}/"}, nil, "a"},
		{"behind a literal", []string{"orders,/a{1,2}/"}, nil, "a orders"},
		{"two regular expressions", []string{"/a{1,2}/,/orders-(eu|us)/"}, nil, "a orders-eu orders-us"},
		{"two with blanks", []string{"/a{1,2}/ , /orders-(eu|us)/"}, nil, "a orders-eu orders-us"},
		{"found twice, chosen once", []string{"orders", "order*"}, nil, "orders orders-eu orders-us"},
		{"excluded", []string{"orders*"}, []string{"orders-us"}, "orders orders-eu"},
		{"excluded by others", nil, []string{"/orders.*/,a*", "_*"}, "payments"},
		{"internal by name", []string{"__consumer_offsets"}, nil, "__consumer_offsets"},
		{"internal by name beside a glob", []string{"*,__mine"}, nil, "__mine _schemas a aaa audit.log orders orders-eu orders-us payments"},
		{"internal ones excluded by a glob", []string{"__mine,a"}, []string{"__*"}, "a"},
		{"not by glob", []string{"_*"}, nil, "_schemas"},
		{"nor by regular expression", []string{"/_.*/"}, nil, "_schemas"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got, err := selected(t, topics, tt.include, tt.exclude)
			if diff := cmp.Diff(tt.want, strings.Join(got, " ")); diff != "" {
				t.Errorf("-want +got:\n%s", diff)
			}
			if err != nil && tt.name != "its alternatives are whole names too" {
				t.Error(err)
			}
		})
	}
}

func TestPatternsTakeWhatMetadataCallsInternalByNameOnly(t *testing.T) {
	topics := []Topic{{Name: "offsets", Internal: true}, {Name: "orders"}}
	for include, want := range map[string]string{"": "orders", "o*": "orders", "offsets": "offsets"} {
		var list []string
		if include != "" {
			list = []string{include}
		}
		got, err := selected(t, topics, list, nil)
		if err != nil || strings.Join(got, " ") != want {
			t.Errorf("%q chose %v (%v), want %s", include, got, err, want)
		}
	}
}

// What was saved was chosen once, by its name if need be.
func TestPatternsSelectSaved(t *testing.T) {
	topics := clusterTopics("__cluster_metadata", "__consumer_offsets", "__mine", "__share_group_state", "__transaction_state", "orders")
	for _, tt := range []struct {
		include, exclude []string
		want             string
	}{
		{nil, []string{"orders"}, "__cluster_metadata __consumer_offsets __mine __share_group_state __transaction_state"},
		{[]string{"*"}, nil, "__mine orders"},
		{[]string{"/__.*/"}, nil, "__mine"},
		{[]string{"__mine,__consumer_offsets"}, nil, "__consumer_offsets __mine"},
	} {
		ps, err := ParsePatterns(tt.include, tt.exclude)
		if err != nil {
			t.Fatal(err)
		}
		chosen, err := ps.SelectSaved(topics)
		var names []string
		for _, c := range chosen {
			names = append(names, c.Name)
		}
		if got := strings.Join(names, " "); err != nil || got != tt.want {
			t.Errorf("%q without %q chose %s (%v), want %s", tt.include, tt.exclude, got, err, tt.want)
		}
	}
}

func TestPatternsChooseIncarnations(t *testing.T) {
	first, second := TopicID{1}, TopicID{2}
	topics := []Topic{{Name: "a", ID: first}, {Name: "a", ID: second}, {Name: "b", ID: first}}
	ps, err := ParsePatterns([]string{"a@" + second.String()}, nil)
	if err != nil {
		t.Fatal(err)
	}
	got, err := ps.Select(topics)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(topics[1:2], got); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
	other, err := ParsePatterns([]string{"b@" + second.String()}, nil)
	if err != nil {
		t.Fatal(err)
	}
	var unknown *PatternError
	if _, err := other.Select(topics); !errors.As(err, &unknown) || !cmp.Equal(unknown.Nearest, []string{"b@" + first.String()}) {
		t.Errorf("another incarnation of a topic that is there: %v, nearest %q", err, unknown.Nearest)
	}
}

// What is asked for and cannot be meant must never be taken for "all": a variable that is
// not set would back up, or restore, everything.
func TestParsePatternsRefuses(t *testing.T) {
	for _, text := range []string{
		"", " ", ",", "a,", ",a", "a,,b", "a, ,b",
		"/", "//", "/a", "/a,b", "/(/", "/a)|(b/", `/\Qa/`, `/a\/`, "/a/b/", "/[/", "/(?<n/", `/\C/`,
		"[", "a[", "[]", "a\\", "a*\\",
		"a/b", "a b", "a@", "@AAAAAAAAAAAAAAAAAAAAAA", "a@b", "a@AAAAAAAAAAAAAAAAAAAAA", "a@\nAAAAAAAAAAAAAAAAAAAAAA",
		"a\x00", "ä", strings.Repeat("a", 250), ".", "..",
	} {
		for _, list := range [][]string{{text}, {"good", text}} {
			var bad *PatternError
			if _, err := ParsePatterns(list, nil); !errors.As(err, &bad) {
				t.Errorf("include %q: %v, want a PatternError", list, err)
			}
			if _, err := ParsePatterns(nil, list); !errors.As(err, &bad) {
				t.Errorf("exclude %q: %v, want a PatternError", list, err)
			}
		}
	}
}

// RE2 has no backtracking to run away; what it compiles is bounded by its own limits.
func TestHostilePatternsEndSoon(t *testing.T) {
	topics := clusterTopics(strings.Repeat("a", 249))
	for _, text := range []string{"/(a*)*b/", "/(a|aa)+$/", "/(((((a{1,10}){1,10}){1,10}))*b|a*)/", strings.Repeat("*a", 100), strings.Repeat("a", 249)} {
		ps, err := ParsePatterns([]string{text}, nil)
		if err != nil {
			continue // refused is fine
		}
		if _, err := ps.Select(topics); err != nil && !errors.As(err, new(*PatternError)) {
			t.Errorf("%q: %v", text, err)
		}
	}
	if _, err := ParsePatterns([]string{"/(a{1000}){1000}/"}, nil); err == nil {
		t.Error("a regular expression that repeats a million times was taken")
	}
}

func TestPatternThatMatchesNothingNamesTheNearest(t *testing.T) {
	topics := clusterTopics("__consumer_offsets", "orders", "orders-eu", "payments", "zebra")
	tests := []struct {
		include []string
		want    []string // of each pattern
	}{
		{[]string{"order"}, []string{`topic pattern "order": matches no topic, near orders orders-eu`}},
		{[]string{"ORDERS"}, []string{`topic pattern "ORDERS": matches no topic, near orders orders-eu`}},
		{[]string{"zebra", "paiments"}, []string{`topic pattern "paiments": matches no topic, near payments`}},
		{[]string{"orders/"}, nil},
		{[]string{"/order/"}, []string{`topic pattern "/order/": matches no topic, near orders orders-eu`}},
		{[]string{"x", "yy"}, []string{
			`topic pattern "x": matches no topic, near `,
			`topic pattern "yy": matches no topic, near `,
		}},
		{[]string{"__*"}, []string{
			`topic pattern "__*": matches internal topics only, and these are chosen by their name alone, near __consumer_offsets`,
		}},
	}
	for _, tt := range tests {
		ps, err := ParsePatterns(tt.include, nil)
		if err != nil {
			if tt.want != nil {
				t.Errorf("%q: %v", tt.include, err)
			}
			continue
		}
		_, err = ps.Select(topics)
		var got []string
		for _, e := range unjoined(err) {
			var p *PatternError
			if errors.As(e, &p) {
				got = append(got, p.Error()+", near "+strings.Join(p.Nearest, " "))
			}
		}
		if diff := cmp.Diff(tt.want, got); diff != "" {
			t.Errorf("%q: -want +got:\n%s", tt.include, diff)
		}
	}
}

func unjoined(err error) []error {
	var joined interface{ Unwrap() []error }
	if errors.As(err, &joined) {
		return joined.Unwrap()
	}
	return nil
}

func TestPatternErrorHints(t *testing.T) {
	if got := (&PatternError{Pattern: "x"}).UsageHint(); got != "" {
		t.Errorf("a hint without any name: %q", got)
	}
	if got, want := (&PatternError{Nearest: []string{"a", "b"}}).UsageHint(), "did you mean: a, b"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestNearest(t *testing.T) {
	tests := []struct {
		text  string
		names []string
		want  []string
	}{
		{"order", []string{"orders", "border", "orders-eu", "xyz", "orde"}, []string{"border", "orde", "orders"}},
		{"orders", nil, nil},
		{"", []string{"a", "bb", "cccccc"}, []string{"a", "bb"}},
		{"*", []string{"a", "long-name"}, []string{"a"}},
		{"Kunden", []string{"kunden"}, []string{"kunden"}},
	}
	for _, tt := range tests {
		if diff := cmp.Diff(tt.want, Nearest(tt.text, tt.names)); diff != "" {
			t.Errorf("Nearest(%q, %q): -want +got:\n%s", tt.text, tt.names, diff)
		}
	}
}

func TestPatternTextsAreThoseGiven(t *testing.T) {
	ps, err := ParsePatterns([]string{"a, b*", "/c{1,2}/"}, []string{"d"})
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{"a", "b*", "/c{1,2}/"}, ps.Texts()); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
	if ps.All() {
		t.Error("patterns that choose are taken for all")
	}
}

// FuzzPatterns: what is accepted is the same patterns when it is written again, one by
// one or with commas, matches whole names only, and never takes internal topics but by
// their names.
func FuzzPatterns(f *testing.F) {
	seeds := []string{
		"orders", "orders,payments", "orders-*", "/a{1,2}/,b", "/a/ , /b/", "a@AAAAAAAAAAAAAAAAAAAAAA",
		"/(/", "/a)|(b/", ",", "[a", "__consumer_offsets", "/__.*/", "/,/,/", "//", "/a", `/\Qa/`,
	}
	for _, s := range seeds {
		f.Add(s)
	}
	topics := clusterTopics("__consumer_offsets", "a", "ab", "b", "orders", "orders-eu")
	f.Fuzz(func(t *testing.T, text string) {
		ps, err := ParsePatterns([]string{text}, nil)
		if err != nil {
			if !errors.As(err, new(*PatternError)) {
				t.Fatalf("%q: %v, want a PatternError", text, err)
			}
			return
		}
		texts := ps.Texts()
		if len(texts) == 0 || ps.All() {
			t.Fatalf("%q is taken for all topics", text)
		}
		for _, again := range [][]string{texts, {strings.Join(texts, ",")}} {
			other, err := ParsePatterns(again, nil)
			if err != nil || !cmp.Equal(other.Texts(), texts) {
				t.Fatalf("%q is read as %q, and that as %v (%v)", text, texts, other, err)
			}
		}
		chosen, _ := ps.Select(topics)
		for _, c := range chosen {
			if isHiddenName(c.Name) && !strings.Contains(text, c.Name) {
				t.Fatalf("%q chose %s", text, c.Name)
			}
		}
	})
}

func TestPatternsThatExcludeNothingOrAll(t *testing.T) {
	topics := []Topic{{Name: "a"}, {Name: "orders"}}
	for _, tt := range []struct {
		include, exclude []string
		want             string
	}{
		{[]string{"a"}, []string{"order"}, `topic pattern "order": matches no topic`},
		{nil, []string{"a", "x*"}, `topic pattern "x*": matches no topic`},
		{[]string{"a"}, []string{"a"}, `topic pattern "a": with it no topic is left`},
		{nil, []string{"*"}, `topic pattern "*": with it no topic is left`},
	} {
		if _, err := selected(t, topics, tt.include, tt.exclude); err == nil || err.Error() != tt.want {
			t.Errorf("%v without %v: got %v, want %s", tt.include, tt.exclude, err, tt.want)
		}
	}
}
