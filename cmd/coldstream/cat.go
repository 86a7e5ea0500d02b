package main

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"math"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"coldstream"
	"coldstream/internal/kcatformat"
	"coldstream/internal/terminal"
	"coldstream/recordbatch"
	"coldstream/restore"
	"coldstream/vault"
)

type catOptions struct {
	global     *globalOptions
	vault      vaultOptions
	topic      string
	partitions string
	offsets    []string
	count      int64
	since      string
	until      string
	format     string
	json       bool
	snapshot   string
	at         string
	clusterID  string
	tags       tagFilter
	isolation  string
	key        string
	grep       string
}

func newCatCommand(global *globalOptions, e *env) *cobra.Command {
	o := &catOptions{global: global}
	cmd := &cobra.Command{
		Use:   "cat TOPIC",
		Short: "Print records of a topic from the vault, as kcat does",
		Long: `Print the records of a topic as a snapshot shows them, straight from the vault, partition after
partition. No cluster is needed. Records of aborted and undecided transactions are left out unless
--isolation read_uncommitted is given.

-o takes an offset, beginning, end, -N for the last N offsets of each partition, s@TIME for the first
record from a time on, and e@TIME to stop before the first one from a time on; s@ and e@ may both be given.
--since and --until choose single records by their timestamps, whatever their order.

-f FORMAT knows %t topic, %p partition, %o offset, %T timestamp (ms), %k key, %K its length, %s value,
%S its length (-1 for null), %R the length in four bytes, %h headers, %%, and \n \r \t \\ \0 \xHH. On a
terminal control characters are made visible; elsewhere bytes are printed as they are.

Exit codes: 0 done; 2 wrong usage or unknown topic; 5 damage was met, what is printed ends there; 10 no
vault; 12 wrong or no key.`,
		Example: `  coldstream cat orders -p 0 -o -10 -f '%o %k = %s\n' --vault /srv/kafka-vault
  coldstream cat orders --since '2026-11-22 14:05' --grep 'customer-17' -J --vault /srv/kafka-vault`,
		Args: func(cmd *cobra.Command, args []string) error {
			if len(args) == 0 {
				return usagef("see: coldstream ls", errors.New("name the topic"))
			}
			return atMostOneArg(cmd, args)
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			o.topic = args[0]
			return runCat(cmd.Context(), o, e)
		},
	}
	o.vault.addFlags(cmd, e)
	o.vault.addSpoolFlag(cmd)
	f := cmd.Flags()
	f.StringVar(&global.output, "output", "table", "`FORMAT` of the result: json is the same as -J, and so is -o json") // -o is the offset here, as in kcat
	f.StringVarP(&o.partitions, "partitions", "p", "", "print these `PARTITIONS` only, as 0-3,7")
	f.StringArrayVarP(&o.offsets, "offset", "o", nil, "begin at this `OFFSET`: beginning, end, N, -N or s@TIME; or stop at e@TIME")
	f.Int64VarP(&o.count, "count", "c", 0, "stop after `N` records")
	f.StringVar(&o.since, "since", "", "print only records with a timestamp from this `TIME` on")
	f.StringVar(&o.until, "until", "", "print only records with a timestamp before this `TIME`")
	f.StringVarP(&o.format, "format", "f", "", "print a record in this `FORMAT` (default '%s\\n')")
	f.BoolVarP(&o.json, "json", "J", false, "print a line of JSON for each record")
	f.StringVar(&o.snapshot, "snapshot", "", "read the snapshot with this `ID` or unique prefix (default: the newest that has the topic)")
	addAtFlag(cmd, &o.at, "read what the topic held at this `TIME`, in place of a snapshot")
	f.StringVar(&o.clusterID, "cluster-id", "", "read a snapshot of the cluster with this `ID`, where the vault holds several")
	o.tags.addFlag(cmd)
	f.StringVar(&o.isolation, "isolation", "read_committed", "`LEVEL`: read_committed or read_uncommitted")
	f.StringVar(&o.key, "key", "", "print only records with this `KEY`")
	f.StringVar(&o.grep, "grep", "", "print only records whose key or value matches this `REGEX` (RE2)")
	return cmd
}

// catPlan is the command line, read.
type catPlan struct {
	format           *kcatformat.Format // nil for JSON
	partitions       []int32
	sinceMs, untilMs int64
	startMs, stopMs  int64 // of s@ and e@
	from             *int64
	last             int64 // of -N; 0 if it is not given
	atEnd            bool
	grep             *regexp.Regexp
	key              []byte
	left             int64
}

func (o *catOptions) plan(e *env) (*catPlan, error) {
	if i := slices.Index(o.offsets, "json"); i >= 0 { // as with every other command
		o.global.output, o.offsets = "json", slices.Delete(o.offsets, i, i+1)
	}
	p := &catPlan{sinceMs: math.MinInt64, untilMs: math.MaxInt64, startMs: math.MinInt64, stopMs: math.MaxInt64, left: math.MaxInt64}
	var err error
	switch {
	case o.isolation != "read_committed" && o.isolation != "read_uncommitted":
		return nil, usagef("use read_committed or read_uncommitted", fmt.Errorf("unknown --isolation %q", o.isolation))
	case o.count < 0:
		return nil, usagef("", errors.New("-c must not be negative"))
	case o.global.output == "yaml":
		return nil, usagef("use -J", errors.New("records are not printed as yaml"))
	case o.json && o.format != "":
		return nil, usagef("", errors.New("-f and -J exclude each other"))
	}
	if o.count > 0 {
		p.left = o.count
	}
	if !o.json && o.global.output != "json" {
		format := o.format
		if format == "" {
			format = `%s\n`
		}
		if p.format, err = kcatformat.Parse(format); err != nil {
			return nil, usagef("see: coldstream cat --help", err)
		}
	}
	if o.partitions != "" {
		if p.partitions, err = restore.ParsePartitions(o.partitions); err != nil {
			return nil, err
		}
	}
	if err := errors.Join(readMs(e, o.since, &p.sinceMs), readMs(e, o.until, &p.untilMs)); err != nil {
		return nil, err
	}
	if o.key != "" {
		p.key = []byte(o.key)
	}
	if o.grep != "" {
		if p.grep, err = regexp.Compile(o.grep); err != nil {
			return nil, usagef("", fmt.Errorf("--grep: %w", err))
		}
	}
	for _, text := range o.offsets {
		if err := p.addOffset(e, text); err != nil {
			return nil, err
		}
	}
	return p, nil
}

// readMs reads a time, if there is one.
func readMs(e *env, text string, ms *int64) error {
	if text == "" {
		return nil
	}
	at, err := parseTime(text, e.now())
	if err != nil {
		return usagef(timeForms, err)
	}
	*ms = at.UnixMilli()
	return nil
}

// addOffset reads a word of -o.
func (p *catPlan) addOffset(e *env, text string) error {
	if at, is := strings.CutPrefix(text, "s@"); is {
		return readMs(e, at, &p.startMs)
	}
	if at, is := strings.CutPrefix(text, "e@"); is {
		return readMs(e, at, &p.stopMs)
	}
	if p.from != nil || p.last > 0 || p.atEnd {
		return usagef("s@TIME and e@TIME may be given together", errors.New("-o is given twice"))
	}
	switch text {
	case "beginning":
		p.from = new(int64)
		return nil
	case "end":
		p.atEnd = true
		return nil
	}
	n, err := strconv.ParseInt(text, 10, 64)
	switch {
	case err != nil || n == math.MinInt64:
		return usagef("use beginning, end, N, -N, s@TIME or e@TIME", fmt.Errorf("-o %q is no offset", text))
	case n < 0:
		p.last = -n
	default:
		p.from = &n
	}
	return nil
}

func runCat(ctx context.Context, o *catOptions, e *env) error {
	plan, err := o.plan(e)
	if err != nil {
		return err
	}
	patterns, err := coldstream.ParsePatterns([]string{o.topic}, nil)
	if err != nil {
		return err
	}
	_, catalog, err := o.vault.openCatalog(ctx, e)
	if err != nil {
		return err
	}
	choice := &vault.Choice{Topics: patterns, ID: o.snapshot, ClusterID: o.clusterID, Tags: o.tags.wanted()}
	if err := readChoice(e, o.at, choice); err != nil {
		return err
	}
	shown, err := catalog.Show(ctx, choice)
	if err != nil {
		return err
	}
	if err := noteOlder(ctx, e, catalog, chosenSnapshot{shown.Snapshot, choice}); err != nil {
		return err
	}
	views, err := plan.views(shown)
	if err != nil {
		return err
	}
	h, err := catalog.OpenHistory(ctx, views, vault.HistoryOptions{SnapshotTime: shown.AsOf})
	if err != nil {
		return err
	}
	out := bufio.NewWriterSize(e.stdout, 64<<10)
	for _, s := range h.Streams() {
		if plan.left > 0 && err == nil {
			err = o.print(ctx, plan, s, out, e)
		}
	}
	if flushErr := out.Flush(); err == nil && flushErr != nil {
		err = fmt.Errorf("write result: %w", flushErr)
	}
	return err
}

// views are those of the partitions asked for.
func (p *catPlan) views(shown *vault.Shown) ([]vault.View, error) {
	var out []vault.View
	found := map[int32]bool{}
	for _, view := range shown.Views {
		if p.partitions == nil || slices.Contains(p.partitions, view.Stream.Partition) {
			found[view.Stream.Partition] = true
			out = append(out, view)
		}
	}
	for _, id := range p.partitions {
		if !found[id] {
			return nil, usagef("see: coldstream ls "+shown.Topics[0].Name, fmt.Errorf("snapshot %s has no partition %d of topic %s", shown.Snapshot.ID, id, shown.Topics[0].Name))
		}
	}
	return out, nil
}

// print prints what is wanted of one partition.
func (o *catOptions) print(ctx context.Context, p *catPlan, s *vault.StreamHistory, out *bufio.Writer, e *env) error {
	opts := restore.RecordsOptions{Uncommitted: o.isolation == "read_uncommitted", SinceMs: p.sinceMs}
	switch {
	case p.atEnd:
		return nil
	case p.from != nil:
		opts.FirstOffset = *p.from
	case p.last > 0:
		opts.FirstOffset = max(s.View.LogStartOffset, s.View.NextOffset-p.last)
	}
	var line []byte
	started := p.startMs == math.MinInt64
	for r, err := range restore.Records(ctx, s, opts) {
		if err != nil {
			return err
		}
		if err := ctx.Err(); err != nil {
			return err
		}
		started = started || r.TimestampMs >= p.startMs
		if started && r.TimestampMs >= p.stopMs {
			return nil
		}
		if !started || !p.wants(&r) {
			continue
		}
		if line, err = p.line(line[:0], s.View.Stream, &r, e); err != nil {
			return err
		}
		if _, err := out.Write(line); err != nil {
			return fmt.Errorf("write result: %w", err)
		}
		if p.left--; p.left == 0 {
			return nil
		}
	}
	return nil
}

func (p *catPlan) wants(r *restore.Record) bool {
	return r.TimestampMs >= p.sinceMs && r.TimestampMs < p.untilMs &&
		(p.key == nil || r.Key != nil && bytes.Equal(r.Key, p.key)) &&
		(p.grep == nil || p.grep.Match(r.Key) || p.grep.Match(r.Value))
}

func (p *catPlan) line(dst []byte, of coldstream.Stream, r *restore.Record, e *env) ([]byte, error) {
	record := kcatformat.Record{
		Topic: of.Topic, Partition: of.Partition, Offset: r.Offset, TimestampMs: r.TimestampMs, LogAppend: r.LogAppendTime,
		Key: r.Key, Value: r.Value, Headers: headersOf(r.Headers),
	}
	if p.format == nil {
		return kcatformat.AppendJSON(dst, &record)
	}
	var shown func([]byte) []byte
	if e.stdoutTerminal {
		shown = func(b []byte) []byte { return []byte(terminal.Visible(string(b))) }
	}
	return p.format.Append(dst, &record, shown), nil
}

func headersOf(headers []recordbatch.Header) []kcatformat.Header {
	out := make([]kcatformat.Header, len(headers))
	for i, h := range headers {
		out[i] = kcatformat.Header{Key: string(h.Key), Value: h.Value}
	}
	return out
}
