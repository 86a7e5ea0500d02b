package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"unicode/utf8"

	"coldstream/internal/terminal"
	"coldstream/kafka/embedded"
	"coldstream/restore"
)

// errDemo is a demonstration that did not show what it should.
var errDemo = errors.New("a restored topic is not what it was")

// demoDocument is the demonstration as a document.
type demoDocument struct {
	header
	BootstrapServer string              `json:"bootstrap_server"`
	Vault           string              `json:"vault"`
	Backups         []backupDocument    `json:"backups"`
	Restore         *restoredDocument   `json:"restore"`
	Topics          []demoTopicDocument `json:"topics"`
	Same            bool                `json:"same"`
}

type demoTopicDocument struct {
	Topic   string            `json:"topic"`
	Group   string            `json:"group"`
	Offsets string            `json:"offsets"` // exact or translated
	Before  demoStateDocument `json:"before"`
	After   demoStateDocument `json:"after"`
	Same    bool              `json:"same"`
}

type demoStateDocument struct {
	Records        int64  `json:"records"`
	ContentSHA256  string `json:"content_sha256"`
	OffsetsSHA256  string `json:"content_with_offsets_sha256"`
	GroupRead      int64  `json:"group_read"`
	GroupLag       int64  `json:"group_lag"`
	GroupLagSHA256 string `json:"group_lag_sha256"`
}

func newDemoStateDocument(c embedded.Content) demoStateDocument {
	return demoStateDocument{c.Records, c.SHA256, c.WithOffsets, c.Read, c.Records - c.Read, c.Rest}
}

// compare holds what a consumer sees of a topic against what it saw before. With offsets that
// are translated, content and the records that the group has still to read must be the same.
func (d *demo) compare(t demoTopic) demoTopicDocument {
	out := demoTopicDocument{
		Topic: t.Name, Group: t.group, Offsets: "exact",
		Before: newDemoStateDocument(d.before[t.Name]), After: newDemoStateDocument(d.after[t.Name]),
	}
	for _, p := range d.restored.Partitions {
		if p.Topic == t.Name && p.Offsets != "exact" {
			out.Offsets = p.Offsets
		}
	}
	before := out.Before
	if out.Offsets != "exact" {
		before.OffsetsSHA256 = out.After.OffsetsSHA256
	}
	out.Same = before == out.After
	return out
}

// prove compares the topics and the groups with what they were.
func (d *demo) prove(context.Context) error {
	document := demoDocument{header{SchemaVersion: schemaVersion}, d.bootstrap(), d.vault().url,
		[]backupDocument{newBackupDocument(d.first), newBackupDocument(d.second)}, newRestoredDocument(d.restored), nil, true}
	d.title("The proof, by an ordinary consumer that knows nothing of the vault")
	d.say("A sum is the SHA-256 of partition, time, key, value and headers of all records.")
	for _, topic := range demoTopics() {
		t := d.compare(topic)
		document.Topics = append(document.Topics, t)
		document.Same = document.Same && t.Same
		d.say("%s", t.Topic)
		d.say("  before, %s:", plural(t.Before.Records, "record"))
		d.say("    %s", t.Before.ContentSHA256)
		d.say("  after, %s, offsets %s:", plural(t.After.Records, "record"), t.Offsets)
		d.say("    %s", t.After.ContentSHA256)
		if t.Same {
			d.say("  → the same. Group %s goes on where it stood, %s before the end.", t.Group, plural(t.After.GroupLag, topic.noun))
		}
	}
	if isMachineFormat(d.opts.global.output) {
		if err := writeDocument(d.env.stdout, d.opts.global.output, document); err != nil {
			return err
		}
	}
	if !document.Same {
		return &failure{exitDamage, errDemo, "this is a defect of coldstream; please report what was printed above"}
	}
	return nil
}

// sayNext prints commands for a cluster of the reader's own, which can be typed as they are.
func (d *demo) sayNext(context.Context) error {
	if d.opts.keep {
		return nil
	}
	d.title("Next: your own cluster, here on localhost:9092")
	d.print("  $ export COLDSTREAM_BOOTSTRAP_SERVER=localhost:9092\n")
	d.print("  $ export COLDSTREAM_VAULT=\"$PWD/kafka-vault\"\n")
	d.command("init")
	d.command("backup")
	d.command("ls")
	d.command("restore --all-topics --map '/(.*)/=restored-$1' --dry-run")
	return nil
}

// wait keeps the cluster up until the user ends it.
func (d *demo) wait(ctx context.Context) error {
	v := terminal.Quote(d.vault().url)
	d.title("Kept: the cluster runs until you press Ctrl-C. In another terminal:")
	d.print("  $ export COLDSTREAM_BOOTSTRAP_SERVER=" + d.bootstrap() + "\n")
	d.print("  $ export COLDSTREAM_VAULT=" + v + "\n")
	d.command("ls")
	d.command("verify --deep")
	d.command("backup")
	d.command("restore -t customers --map customers=copy --dry-run")
	d.print("The vault stays when the cluster is gone. Delete it with: rm -r " + terminal.Quote(d.folder) + "\n")
	if d.printed == nil {
		d.kept = true
		<-ctx.Done()
	}
	return nil
}

// demoRestoreRows are the restore for people, in few words.
func demoRestoreRows(r *restore.Result) []row {
	rows := []row{{"  topic", "partitions", "records", "offsets"}}
	for _, t := range demoTopics() {
		var records int64
		offsets, n := "exact", 0
		for _, p := range r.Partitions {
			if p.Topic == t.Name {
				n++
				records += p.Records
				if p.Offsets != "exact" {
					offsets = p.Offsets
				}
			}
		}
		rows = append(rows, row{"  " + t.Name, fmt.Sprint(n), formatCount(records), offsets})
	}
	for _, g := range r.Groups {
		rows = append(rows, row{fmt.Sprintf("  group %s: %s in %s", g.Group, g.Status, plural(int64(len(g.Offsets)), "partition"))})
	}
	return rows
}

// title begins a part of the story.
func (d *demo) title(text string) { d.print("\n" + text + "\n") }

// command shows a line that one can type.
func (d *demo) command(args string) { d.print("  $ " + d.env.program + " " + args + "\n") }

// say prints a line of the story, broken where a terminal ends.
func (d *demo) say(format string, args ...any) {
	text := terminal.Visible(fmt.Sprintf(format, args...))
	indent := "  " + text[:len(text)-len(strings.TrimLeft(text, " "))]
	line := ""
	for _, word := range strings.Fields(text) {
		if line != "" && utf8.RuneCountInString(indent+line)+1+utf8.RuneCountInString(word) > demoWidth {
			d.print(indent + line + "\n")
			line = " " // what is broken goes on further in
		}
		if line != "" {
			line += " "
		}
		line += word
	}
	line = indent + line
	d.print(line + "\n")
}

const demoWidth = 80

// explain says what a number means.
func (d *demo) explain(format string, args ...any) { d.say("→ "+format, args...) }

// print tells the story as long as somebody reads it: without a reader the demo ends.
func (d *demo) print(text string) {
	if isMachineFormat(d.opts.global.output) || d.printed != nil {
		return
	}
	if _, err := io.WriteString(d.env.stdout, text); err != nil {
		d.printed = &resultError{err}
	}
}

// muted is the demo's environment without its stdout and notes.
func (d *demo) muted() *env {
	e := *d.env
	e.stdout, e.stderr = io.Discard, io.Discard
	return &e
}
