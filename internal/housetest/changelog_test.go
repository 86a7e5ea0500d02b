package housetest

import (
	"fmt"
	"path"
	"regexp"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

var (
	entryName  = regexp.MustCompile(`^changelog/(?:unreleased|v\d+\.\d+\.\d+)/(\d{4})-[a-z0-9]+(?:-[a-z0-9]+)*\.md$`)
	entryFirst = regexp.MustCompile(`^(?:Added|Changed|Fixed|Removed|Security): \S.*\S\.$`)
)

// changelogFaults finds what changelog/README.md does not allow in one file.
func changelogFaults(name, text string) (wrong []string) {
	if !strings.HasPrefix(name, "changelog/") || name == "changelog/README.md" {
		return nil
	}
	if !entryName.MatchString(name) {
		wrong = append(wrong, "0: the name is not unreleased/NNNN-slug.md or vX.Y.Z/NNNN-slug.md")
	}
	first, rest, _ := strings.Cut(text, "\n")
	if !entryFirst.MatchString(first) {
		wrong = append(wrong, "1: not `Kind: one sentence.`: "+first)
	}
	if empty, body, _ := strings.Cut(rest, "\n"); empty != "" || strings.TrimSpace(body) == "" {
		wrong = append(wrong, "2: an empty line and a text that explains are missing")
	}
	return wrong
}

// numberedTwice finds entries that took a number which another one has.
func numberedTwice(names []string) (wrong []string) {
	taken := map[string]string{}
	for _, name := range names {
		number := entryName.FindStringSubmatch(name)
		if number == nil {
			continue
		}
		if other := taken[number[1]]; other != "" {
			wrong = append(wrong, fmt.Sprintf("%s: has the number of %s", name, path.Base(other)))
		}
		taken[number[1]] = name
	}
	return wrong
}

func TestChangelog(t *testing.T) {
	const good = "Fixed: restore goes on.\n\nIt stopped before.\n"
	for _, c := range []struct {
		name, text string
		want       int
	}{
		{"changelog/unreleased/0007-restore-goes-on.md", good, 0},
		{"changelog/v1.12.0/0007-restore.md", good, 0},
		{"changelog/README.md", "", 0},
		{"docs/x.md", "", 0},
		{"changelog/0007-restore.md", good, 1},
		{"changelog/next/0007-restore.md", good, 1},
		{"changelog/unreleased/7-restore.md", good, 1},
		{"changelog/unreleased/0007-Restore.md", good, 1},
		{"changelog/unreleased/0007-restore.md", "Mended: x y.\n\nText.\n", 1},
		{"changelog/unreleased/0007-restore.md", "Fixed: no full stop\n\nText.\n", 1},
		{"changelog/unreleased/0007-restore.md", "Fixed: no text.\n", 1},
		{"changelog/unreleased/0007-restore.md", "Fixed: no empty line.\nText.\n", 1},
		{"changelog/unreleased/0007-restore.md", "", 2},
	} {
		if got := changelogFaults(c.name, c.text); len(got) != c.want {
			t.Errorf("%s %q: %q, want %d findings", c.name, c.text, got, c.want)
		}
	}
	got := numberedTwice([]string{"changelog/unreleased/0007-b.md", "changelog/unreleased/0008-c.md", "changelog/v1.0.0/0007-a.md"})
	if diff := cmp.Diff([]string{"changelog/v1.0.0/0007-a.md: has the number of 0007-b.md"}, got); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
	hold(t, changelogFaults)
	for _, w := range numberedTwice(trackedFiles(t)) {
		t.Error(w)
	}
}
