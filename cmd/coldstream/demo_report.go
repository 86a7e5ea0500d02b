package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"coldstream/kafka/embedded"
	"coldstream/restore"
)

// errDemo is a demonstration that did not show what it should.
var errDemo = errors.New("the restored topic is not what it was")

// demoDocument is the demonstration as a document.
type demoDocument struct {
	header
	BootstrapServer string            `json:"bootstrap_server"`
	Vault           string            `json:"vault"`
	Backups         []backupDocument  `json:"backups"`
	Restore         *restore.Result   `json:"restore"`
	Topic           string            `json:"topic"`
	Group           string            `json:"group"`
	Before          demoStateDocument `json:"before"`
	After           demoStateDocument `json:"after"`
	Same            bool              `json:"same"`
}

type demoStateDocument struct {
	Records       int64  `json:"records"`
	ContentSHA256 string `json:"content_sha256"`
	GroupRead     int64  `json:"group_read"`
	GroupLag      int64  `json:"group_lag"`
}

func newDemoStateDocument(s demoState) demoStateDocument {
	return demoStateDocument{s.content.Records, s.content.SHA256, s.position.Read, s.position.Lag}
}

// prove compares the topic and the group with what they were, and says what to do next.
func (d *demo) prove() error {
	same := d.before == d.after
	if isMachineFormat(d.opts.global.output) {
		document := demoDocument{
			header{SchemaVersion: schemaVersion}, d.clusterOptions().bootstrap, d.vault().url,
			[]backupDocument{newBackupDocument(d.first), newBackupDocument(d.second)}, d.restored,
			demoOrders, demoGroup, newDemoStateDocument(d.before), newDemoStateDocument(d.after), same,
		}
		if err := writeDocument(d.env.stdout, d.opts.global.output, document); err != nil {
			return err
		}
	}
	d.title("Proof, by an ordinary consumer")
	d.say("content of %s: partitions, offsets, timestamps, keys, values, headers", demoOrders)
	d.say("  before  %s orders  sha256 %s", formatCount(d.before.content.Records), d.before.content.SHA256)
	d.say("  after   %s orders  sha256 %s", formatCount(d.after.content.Records), d.after.content.SHA256)
	d.say("group %s", demoGroup)
	d.say("  before  has read %s, %s to go", formatCount(d.before.position.Read), formatCount(d.before.position.Lag))
	d.say("  after   has read %s, %s to go", formatCount(d.after.position.Read), formatCount(d.after.position.Lag))
	if !same {
		return &failure{exitDamage, errDemo, "this is a defect of coldstream; please report what was printed above"}
	}
	d.say("→ the same, to the byte")
	d.title("Next: a cluster of your own")
	d.command("init --vault ./vault")
	d.command("backup -b localhost:9092 --vault ./vault")
	d.command("snapshots --vault ./vault")
	d.command("restore -b localhost:9092 --vault ./vault -t TOPIC --map TOPIC=TOPIC-restored --dry-run")
	return nil
}

// wait keeps the cluster up until the user ends it.
func (d *demo) wait(ctx context.Context) error {
	d.title("Kept: the cluster runs until you press Ctrl-C, the vault stays")
	v, bootstrap := d.vault(), d.clusterOptions().bootstrap
	d.command("ls --vault %s", v.url)
	d.command("verify --vault %s --deep", v.url)
	d.command("backup -b %s --vault %s", bootstrap, v.url)
	d.command("restore -b %s --vault %s -t %s --map %s=copy", bootstrap, v.url, demoCustomers, demoCustomers)
	<-ctx.Done()
	return nil
}

// title begins a part of the story.
func (d *demo) title(text string) { d.print("\n" + text + "\n") }

// command shows a line that one could type.
func (d *demo) command(format string, args ...any) {
	d.print("  $ coldstream " + fmt.Sprintf(format, args...) + "\n")
}

// say prints lines of the story.
func (d *demo) say(format string, args ...any) {
	for line := range strings.Lines(fmt.Sprintf(format, args...)) {
		d.print("  " + strings.TrimRight(line, "\n") + "\n")
	}
}

func (d *demo) print(text string) {
	if !isMachineFormat(d.opts.global.output) {
		_, _ = io.WriteString(d.env.stdout, text) // a story that nobody reads any more may go untold
	}
}

// muted is the demo's environment without its stdout.
func (d *demo) muted() *env {
	e := *d.env
	e.stdout = io.Discard
	return &e
}

// sampleOrders makes n orders, the first with number first. They are always the same.
func sampleOrders(first, n int, now time.Time) []embedded.Record {
	products := []string{"espresso beans", "oat milk", "filter papers", "moka pot", "grinder", "cup and saucer"}
	records := make([]embedded.Record, n)
	for i := range records {
		number := first + i
		customer := number * 7919 % demoNewCustomer
		records[i] = embedded.Record{
			Topic: demoOrders, Key: fmt.Sprintf("customer-%04d", customer), Source: "web-shop",
			Time: now.Add(time.Duration(i-n) * time.Second),
			Value: fmt.Appendf(nil, `{"order":%d,"customer":"customer-%04d","product":"%s","quantity":%d,"cents":%d,"note":null}`,
				number, customer, products[number%len(products)], 1+number%4, 250+number*37%9000),
		}
		if number%1000 == 999 {
			records[i].Value = nil // an order that was called off
		}
	}
	return records
}

func sampleCustomers(now time.Time) []embedded.Record {
	records := make([]embedded.Record, demoNewCustomer)
	for i := range records {
		key := fmt.Sprintf("customer-%04d", i)
		records[i] = embedded.Record{
			Topic: demoCustomers, Key: key, Source: "crm", Time: now,
			Value: fmt.Appendf(nil, `{"id":"%s","name":"Customer %d","city":"City %d"}`, key, i, i%40),
		}
	}
	return records
}
