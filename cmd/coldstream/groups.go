package main

import (
	"errors"
	"fmt"
	"strings"

	"coldstream"
	"coldstream/restore"
)

// warnOfGroups names the groups that a snapshot lacks. Rights that are missing are named beside
// all others that are.
func warnOfGroups(e *env, missing []coldstream.MissingGroups) {
	unreachable := false
	for i := range missing {
		if m := &missing[i]; !errors.Is(m.Err, coldstream.ErrDenied) {
			e.note("not saved: %s", m)
			unreachable = true
		}
	}
	if unreachable {
		e.hint("back up again once all brokers are up: this snapshot does not have the offsets of these groups")
	}
}

// groupLines are the groups of a restore for people.
func groupLines(r *restore.Result) []row {
	var lines []row
	for _, g := range r.Groups {
		line := fmt.Sprintf("group %s: %s in %s", groupName(g.Group), g.Status, plural(int64(len(g.Offsets)), "partition"))
		lines = append(lines, row{line + leftOutText(g.LeftOut)})
	}
	return lines
}

// groupName makes also the empty name one that can be seen.
func groupName(name string) string {
	if strings.TrimSpace(name) == "" {
		return fmt.Sprintf("%q", name)
	}
	return name
}

// leftOutText names the partitions of a group that are not restored with it, by reason.
func leftOutText(offsets []restore.LeftOutOffset) string {
	byReason := map[string][]string{}
	var reasons []string
	for _, o := range offsets {
		if byReason[o.Reason] == nil {
			reasons = append(reasons, o.Reason)
		}
		byReason[o.Reason] = append(byReason[o.Reason], fmt.Sprintf("%s-%d", o.Topic, o.Partition))
	}
	text := ""
	for _, reason := range reasons {
		text += fmt.Sprintf("; left out %s (%s)", listNames(byReason[reason]), reason)
	}
	return text
}

// warnOfRefusedGroups says why groups do not get their offsets.
func warnOfRefusedGroups(e *env, r *restore.Result) {
	for _, g := range r.Groups {
		if g.Error != "" {
			e.note("consumer group %s: %s: %s", groupName(g.Group), g.Status, g.Error)
		}
	}
}
