package main

import (
	"context"
	"fmt"
	"time"

	"coldstream/kafka/embedded"
)

// The sample: what a shop might have.
const (
	demoOrders    = "orders"
	demoCustomers = "customers"
	demoPayments  = "payments"

	demoFirstOrders = 40_000
	demoLaterOrders = 2_000
	demoCustomerIDs = 800
	demoRounds      = 5 // of changes to all customers
	demoCommitted   = 300
	demoAborted     = 60
	demoPerPayment  = 5 // records of a transaction
	demoOrdersRead  = 25_000
	demoChangesRead = 200
	demoPaidRead    = 700
)

// demoTopic is a topic of the sample, with the group that reads it.
type demoTopic struct {
	embedded.Topic
	group string
	read  int // records that the group has read
	noun  string
}

func demoTopics() []demoTopic {
	return []demoTopic{
		{embedded.Topic{Name: demoOrders, Partitions: 6, Configs: map[string]string{"retention.ms": "-1"}}, "billing", demoOrdersRead, "order"},
		{embedded.Topic{Name: demoCustomers, Partitions: 3, Configs: map[string]string{"cleanup.policy": "compact"}}, "mailing", demoChangesRead, "change"},
		{embedded.Topic{Name: demoPayments, Partitions: 2, Configs: map[string]string{"retention.ms": "-1"}}, "ledger", demoPaidRead, "payment"},
	}
}

// produceSample fills the topics: plain records, a log that the cleaner has been through, and
// transactions of which some were aborted.
func (d *demo) produceSample(ctx context.Context) error {
	if err := d.takeOrders(ctx, demoFirstOrders); err != nil {
		return err
	}
	for round := range demoRounds {
		if err := d.client.Produce(ctx, sampleCustomers(round, d.env.now())); err != nil {
			return err
		}
	}
	d.cluster.Compact()
	transactor, err := d.client.NewTransactor("demo-shop")
	if err != nil {
		return err
	}
	defer transactor.Close()
	for n := range demoCommitted + demoAborted {
		end := transactor.Commit
		if n%((demoCommitted+demoAborted)/demoAborted) == 0 {
			end = transactor.Abort
		}
		if err := end(ctx, samplePayments(n, d.env.now())); err != nil {
			return err
		}
	}
	for _, t := range demoTopics() {
		if err := d.client.Consume(ctx, t.group, t.Name, t.read); err != nil {
			return err
		}
	}
	return nil
}

func (d *demo) takeOrders(ctx context.Context, n int) error {
	if err := d.client.Produce(ctx, sampleOrders(d.orders, n, d.env.now())); err != nil {
		return err
	}
	d.orders += n
	return nil
}

// sampleOrders makes n orders, the first with number first. They are always the same.
func sampleOrders(first, n int, now time.Time) []embedded.Record {
	products := []string{"espresso beans", "oat milk", "filter papers", "moka pot", "grinder", "cup and saucer"}
	records := make([]embedded.Record, n)
	for i := range records {
		number := first + i
		customer := number * 7919 % demoCustomerIDs
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

// sampleCustomers changes a part of the customers, more of them in earlier rounds; some are
// deleted in the last one.
func sampleCustomers(round int, now time.Time) (records []embedded.Record) {
	for i := range demoCustomerIDs {
		if i%(round+1) != 0 {
			continue
		}
		key := fmt.Sprintf("customer-%04d", i)
		r := embedded.Record{
			Topic: demoCustomers, Key: key, Source: "crm", Time: now.Add(time.Duration(round-demoRounds) * time.Hour),
			Value: fmt.Appendf(nil, `{"id":"%s","name":"Customer %d","city":"City %d","change":%d}`, key, i, (i+round)%40, round),
		}
		if round == demoRounds-1 && i%50 == 0 {
			r.Value = nil // a tombstone
		}
		records = append(records, r)
	}
	return records
}

// samplePayments are those of one transaction.
func samplePayments(transaction int, now time.Time) []embedded.Record {
	records := make([]embedded.Record, demoPerPayment)
	for i := range records {
		number := transaction*demoPerPayment + i
		records[i] = embedded.Record{
			Topic: demoPayments, Key: fmt.Sprintf("order-%d", number), Source: "checkout", Time: now.Add(time.Duration(number-10_000) * time.Second),
			Value: fmt.Appendf(nil, `{"transaction":%d,"payment":%d,"cents":%d}`, transaction, number, 250+number*37%9000),
		}
	}
	return records
}
