package main

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"coldstream/restore"
	"coldstream/vault"
)

// momentOptions say which state of topics is restored, where it is not that of a snapshot, and
// which part of it.
type momentOptions struct {
	at      string
	archive bool
	since   string
	until   string
}

func (o *momentOptions) addFlags(cmd *cobra.Command) {
	addAtFlag(cmd, &o.at, "restore what topics held at this `TIME`, in place of a snapshot")
	f := cmd.Flags()
	f.BoolVar(&o.archive, "archive", false, "restore all that the vault holds of the topics: also what retention had deleted, and what was saved behind the last snapshot")
	f.StringVar(&o.since, "since", "", "restore records from this `BOUND` on: a time, or offset:N (a bare number below 100000000000 is an offset, from there on milliseconds since 1970)")
	f.StringVar(&o.until, "until", "", "restore records before this `BOUND`, written likewise")
}

// addAtFlag adds --at to a command that reads a snapshot.
func addAtFlag(cmd *cobra.Command, at *string, what string) {
	cmd.Flags().StringVar(at, "at", "", what+": 2026-11-22T14:05:00Z, '2026-11-22 14:05' in local time, -30m, -2d, or milliseconds since 1970")
}

// readAt reads --at. It is zero where there is none.
func readAt(e *env, at, snapshot string) (time.Time, error) {
	if at == "" {
		return time.Time{}, nil
	}
	if snapshot != "" {
		return time.Time{}, usagef("--snapshot is what topics held when it was taken, --at what they held at a time", errors.New("--snapshot and --at exclude each other"))
	}
	t, err := parseTime(at, e.now())
	if err != nil {
		return t, usagef(timeForms, fmt.Errorf("--at: %w", err))
	}
	return t, nil
}

// readChoice is the choice of a command with --snapshot, --at and --cluster-id.
func readChoice(e *env, at string, choice *vault.Choice) (err error) {
	choice.Now = e.now()
	choice.At, err = readAt(e, at, choice.ID)
	return err
}

// read checks the options, and adds them to a request.
func (o *momentOptions) read(of *restoreOptions, e *env, req *restore.Request) (err error) {
	if o.archive && (of.snapshot != "" || o.at != "") {
		return usagef("--archive is all that the vault holds, whatever snapshots show", errors.New("--archive excludes --snapshot and --at"))
	}
	if of.groupsOnly && (o.archive || o.since != "" || o.until != "") {
		return usagef("", errors.New("--groups-only restores no records: it excludes --archive, --since and --until"))
	}
	req.Archive = o.archive
	if req.At, err = readAt(e, o.at, of.snapshot); err != nil {
		return err
	}
	if req.Since, err = readBound(e, "--since", o.since); err != nil {
		return err
	}
	req.Until, err = readBound(e, "--until", o.until)
	return err
}

// leastTimeMs is where bare numbers begin to be times: in 1973. No topic that people know has offsets
// that large.
const leastTimeMs = 100_000_000_000

// readBound reads where a part begins or ends; nil if it is not given.
func readBound(e *env, flag, text string) (*restore.Bound, error) {
	if text == "" {
		return nil, nil //nolint:nilnil // there is none
	}
	number, isOffset := strings.CutPrefix(text, "offset:")
	if n, err := strconv.ParseInt(number, 10, 64); err == nil && n >= 0 && (isOffset || n < leastTimeMs) {
		return &restore.Bound{Offset: n}, nil
	}
	at, err := parseTime(text, e.now())
	if err != nil {
		return nil, usagef(timeForms+", or an offset as offset:N", fmt.Errorf("%s: %q is no time and no offset", flag, text))
	}
	return &restore.Bound{Time: at}, nil
}

// cutDocument says how sharply a partition ends at a time.
type cutDocument struct {
	// IsSharp says that no timestamp had to decide.
	IsSharp bool `json:"sharp"`
	// What is below CommittedNextOffset was saved by the time, what is at or above BoundNextOffset came
	// later. Between them timestamps decided.
	CommittedNextOffset int64 `json:"committed_next_offset"`
	BoundNextOffset     int64 `json:"bound_next_offset"`
	// BoundSnapshot looked at the log's end next; both are left out where none did.
	BoundSnapshot string `json:"bound_snapshot,omitempty"`
	BoundTime     string `json:"bound_time,omitempty"`
	// LeftOutTime is the timestamp of the first batch that is left out, where it decided.
	LeftOutTime string `json:"left_out_time,omitempty"`
	// Reread says that the log was read again from its start between the two.
	Reread bool `json:"reread,omitempty"`
}

func newCutDocument(c *vault.Cut) *cutDocument {
	if c == nil {
		return nil
	}
	d := &cutDocument{
		IsSharp: c.IsSharp(), CommittedNextOffset: c.CommittedNextOffset, BoundNextOffset: c.BoundNextOffset,
		LeftOutTime: recordTime(c.LeftOutMs), Reread: c.Reread,
	}
	if c.Bound != nil {
		d.BoundSnapshot, d.BoundTime = c.Bound.ID.String(), timestamp(c.Bound.Time)
	}
	return d
}

// optionalTime is a time of a document; empty for none.
func optionalTime(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return timestamp(t)
}

// cutText says for people how sharp a cut is.
func cutText(c *vault.Cut) string {
	if c.IsSharp() {
		return "sharp"
	}
	text := fmt.Sprintf("%d to %d was saved later", c.CommittedNextOffset, c.BoundNextOffset)
	if c.Bound != nil {
		text += ", by " + timestamp(c.Bound.Time)
	}
	switch {
	case c.Reread:
		return text + ", in a reading from the start: left out"
	case c.LeftOutMs >= 0:
		return text + ": cut before a batch of " + recordTime(c.LeftOutMs)
	}
	return text + ": no timestamp in it is later"
}

// cutLines are a line for each partition that is cut at a time, or of which a part is restored.
func cutLines(r *restore.Result) []row {
	if r.At.IsZero() && !r.Part {
		return nil
	}
	lines := []row{{"partition", "from", "to"}}
	if !r.At.IsZero() {
		lines[0] = append(lines[0], "cut at "+timestamp(r.At))
	}
	for i := range r.Partitions {
		p := &r.Partitions[i]
		line := row{fmt.Sprintf("%s-%d", p.Topic, p.Partition), fmt.Sprint(p.LogStartOffset), fmt.Sprint(p.NextOffset)}
		if p.Cut != nil {
			line = append(line, cutText(p.Cut))
		}
		if p.Cut != nil || r.Part {
			lines = append(lines, line)
		}
	}
	return lines
}
