//go:build long

package main

import (
	"fmt"
	"syscall"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
)

// fault is something that happens to a continuous backup, and is over when do returns.
type fault struct {
	name string
	do   func(s *soak)
}

// soakFaults are those of a soak, which come in turn.
func soakFaults() []fault {
	return []fault{
		{"storage refuses", func(s *soak) { s.storage("fsync,linkat", "error=EIO") }},
		{"a broker is killed", (*soak).brokerKilled},
		{"a topic is made again", (*soak).topicMadeAgain},
		{"storage is slow", func(s *soak) { s.storage("fsync", "delay_enter=300000") }},
		{"a broker hangs", (*soak).brokerHangs},
		{"a transaction hangs", (*soak).transactionHangs},
		{"leaders move", (*soak).leadersMove},
		{"the disk is full", func(s *soak) { s.storage("fsync,linkat", "error=ENOSPC") }},
		{"a partition is added", (*soak).partitionAdded},
		{"storage hangs", func(s *soak) {
			s.storage("fsync", fmt.Sprintf("delay_enter=%d", s.hold.Microseconds()))
		}},
	}
}

func (s *soak) brokerKilled() {
	s.Helper()
	node := 1 + s.random.IntN(3)
	if err := s.brokers.Kill(node); err != nil {
		s.Fatal(err)
	}
	s.wait(s.hold)
	s.during("the broker is back", func() error { return s.brokers.StartNode(node) })
}

func (s *soak) brokerHangs() {
	s.Helper()
	pid := s.brokers.PID(1 + s.random.IntN(3))
	if err := syscall.Kill(pid, syscall.SIGSTOP); err != nil {
		s.Fatal(err)
	}
	s.wait(s.hold)
	if err := syscall.Kill(pid, syscall.SIGCONT); err != nil {
		s.Fatal(err)
	}
}

// storage lets system calls of the backup fail or wait for a time.
func (s *soak) storage(calls, how string) {
	s.Helper()
	s.inject = func() (stop func()) { return s.failing(calls, how) }
	s.uninject = s.inject()
	s.wait(s.hold)
	s.inject = nil
	s.uninject()
}

// topicMadeAgain deletes a topic and makes it again with as many records.
func (s *soak) topicMadeAgain() {
	s.Helper()
	s.delete(soakAgain)
	s.await("the topic is gone", func() bool { return !s.exists(soakAgain) })
	s.client = s.newClient()
	s.create3(soakAgain, 1)
	s.numbered(soakAgain, fmt.Sprint("life ", s.faults), 50)
}

// transactionHangs keeps a transaction open, behind which records come that nobody may see yet.
func (s *soak) transactionHangs() {
	s.Helper()
	x := &transactor{world: s.world, topic: soakDeals, number: 1000 * s.faults}
	x.client = s.newClient(kgo.TransactionalID(fmt.Sprint("soak-", s.faults)), kgo.TransactionTimeout(2*time.Minute))
	x.begin()
	x.write("undecided for long", 6)
	s.values(soakDeals, fmt.Sprint("behind it ", s.faults))
	s.wait(s.hold)
	x.end(kgo.TransactionEndTry(s.faults%2 == 0))
}

// leadersMove lets each partition be led by the next of its replicas.
func (s *soak) leadersMove() {
	s.Helper()
	topics, err := s.adm.ListTopics(s.Context(), soakKept, soakShort, soakCompact)
	if err != nil {
		s.Fatal(err)
	}
	req, moved := kadm.AlterPartitionAssignmentsReq{}, kadm.TopicsSet{}
	for topic, detail := range topics {
		for id, p := range detail.Partitions {
			req.Assign(topic, id, append(p.Replicas[1:], p.Replicas[0]))
			moved.Add(topic, id)
		}
	}
	if _, err := s.adm.AlterPartitionAssignments(s.Context(), req); err != nil {
		s.Fatal(err)
	}
	s.await("the leaders have moved", func() bool {
		elected, err := s.adm.ElectLeaders(s.Context(), kadm.ElectPreferredReplica, moved)
		return err == nil && elected != nil
	})
}

// partitionAdded makes the topic grow that nobody else writes to.
func (s *soak) partitionAdded() {
	s.Helper()
	s.grown++
	if _, err := s.adm.CreatePartitions(s.Context(), 1, "weather-grows"); err != nil {
		s.Fatal(err)
	}
	s.client = s.newClient()
	s.await("the new partition takes records", func() bool {
		return s.client.ProduceSync(s.Context(), &kgo.Record{Topic: "weather-grows", Partition: s.grown, Value: []byte("grown")}).FirstErr() == nil
	})
}
