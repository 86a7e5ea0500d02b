package main

import (
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"

	"coldstream"
	"coldstream/internal/terminal"
	"coldstream/restore"
)

// warnOfGroups names the groups that a snapshot lacks. Rights that are missing are named beside
// all others that are.
func warnOfGroups(e *env, missing []coldstream.MissingGroups) {
	unreachable := slices.DeleteFunc(slices.Clone(missing), func(m coldstream.MissingGroups) bool { return errors.Is(m.Err, coldstream.ErrDenied) })
	for _, text := range coldstream.MissingGroupsTexts(unreachable) {
		e.note("not saved: %s", text)
	}
	if len(unreachable) > 0 {
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

// groupsOnlyLine ends what a restore of groups alone prints.
func groupsOnlyLine(r *restore.Result, verb string) row {
	var n int64
	for _, g := range r.Groups {
		if g.Status == restore.GroupPlanned || g.Status == restore.GroupCommitted {
			n++
		}
	}
	return row{fmt.Sprintf("%s the offsets of %s from snapshot %s, through the offset map of restore %s (restore %s)",
		verb, plural(n, "consumer group"), r.Snapshot, r.OffsetMapOf, r.Restore)}
}

// checkGroupsOnly refuses what means nothing where no records are restored.
func (o *restoreOptions) checkGroupsOnly() error {
	switch {
	case o.restoreID != "" && !o.groupsOnly:
		return usagef("say --groups-only too", errors.New("--restore names the restore through whose offset map groups are restored"))
	case o.groupsOnly && (o.appendRecords || o.putBackRetention || o.offsets != string(restore.OffsetsAuto) ||
		o.configs != string(restore.ConfigsEffective) || len(o.setConfigs) > 0 || o.again.resume):
		return usagef("", errors.New("--groups-only restores no records: it excludes --append, --offsets, --put-back-retention, --configs, --config and --resume"))
	}
	return nil
}

// warnOfRefusedGroups says why groups do not get their offsets, and how they get them later.
func (o *restoreOptions) warnOfRefusedGroups(e *env, r *restore.Result) {
	const later = "coldstream restore --groups-only"
	var active []string
	for _, g := range r.Groups {
		if g.Error != "" {
			e.note("consumer group %s: %s: %s", groupName(g.Group), g.Status, g.Error)
		}
		if g.Status == restore.GroupRefused {
			active = append(active, "--group "+shellWord(g.Group))
		}
	}
	switch {
	case len(active) == 0:
	case o.dryRun:
		e.hint("stop the consumers of these groups before the restore, or set the offsets afterwards with: " + later)
	default:
		of := r.Restore
		if r.OffsetMapOf != "" {
			of = r.OffsetMapOf
		}
		e.hint(fmt.Sprintf("stop the consumers of these groups, then: %s --restore %s%s %s", later, of, o.stateAgain(), strings.Join(active, " ")))
	}
}

// stateAgain names the state file once more, if there is one.
func (o *restoreOptions) stateAgain() string {
	if o.stateFile == "" {
		return ""
	}
	return " --state " + terminal.Quote(o.stateFile)
}

var plainWord = regexp.MustCompile(`^[A-Za-z0-9._:@%+-]+$`)

// shellWord writes a name so that a shell takes it for one word.
func shellWord(name string) string {
	if plainWord.MatchString(name) {
		return name
	}
	return "'" + strings.ReplaceAll(name, "'", `'\''`) + "'"
}
