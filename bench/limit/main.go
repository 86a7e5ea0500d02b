// Limit is the least that backing up and restoring a topic can cost with raw requests to
// one broker: batches go into one file as they come, their checksums checked and the file
// synced, and from there back. It is what other tools are measured against, and no backup:
// it knows nothing of failures, nothing of what it already has, and one topic at a time.
package main

import (
	"bufio"
	"context"
	"encoding/binary"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"sync"

	"coldstream/bench/wire"
)

type options struct {
	addr, topic, file    string
	partitions           int
	lanes, requestBytes  int
	lookAheadBytes       int
	requestsAtOnceInLane int
}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt) //nolint:forbidigo // main
	defer stop()
	if err := run(ctx, os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "limit:", err)
		os.Exit(1) //nolint:forbidigo // main
	}
}

var errUsage = errors.New("usage: limit backup|restore|create -b HOST:PORT -t TOPIC [-file FILE] [-partitions N]")

func run(ctx context.Context, args []string) error {
	if len(args) == 0 {
		return errUsage
	}
	var o options
	f := flag.NewFlagSet("limit", flag.ContinueOnError)
	f.StringVar(&o.addr, "b", "", "the broker")
	f.StringVar(&o.topic, "t", "", "the topic")
	f.StringVar(&o.file, "file", "", "the file")
	f.IntVar(&o.partitions, "partitions", 1, "partitions of the topic that create makes")
	f.IntVar(&o.lanes, "lanes", wire.LaneCount, "connections that restore")
	f.IntVar(&o.requestBytes, "request-bytes", wire.RequestBytes, "size of a produce request")
	f.IntVar(&o.requestsAtOnceInLane, "requests", 1, "produce requests under way on one connection")
	f.IntVar(&o.lookAheadBytes, "look-ahead", 16<<20, "bytes that each connection has ready, to fill requests from many partitions")
	if err := f.Parse(args[1:]); err != nil {
		return err
	}
	switch args[0] {
	case "backup":
		return backup(ctx, &o)
	case "restore":
		return restore(ctx, &o)
	case "create":
		_, err := wire.Create(ctx, o.addr, wire.NewTopic{Name: o.topic, Partitions: int32(o.partitions)})
		return err
	}
	return errUsage
}

// The file is the number of partitions, then pieces: partition, length, whole batches.
const (
	fileHeader  = 4
	pieceHeader = 8
)

func backup(ctx context.Context, o *options) (err error) {
	topic, err := wire.Lookup(ctx, o.addr, o.topic)
	if err != nil {
		return err
	}
	f, err := os.Create(o.file)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	w := bufio.NewWriterSize(f, 1<<20)
	if _, err := w.Write(binary.BigEndian.AppendUint32(nil, uint32(topic.Partitions))); err != nil {
		return err
	}
	var mu sync.Mutex
	if err := wire.ReadAll(ctx, o.addr, topic, func(partition int32, batches []byte) error {
		mu.Lock()
		defer mu.Unlock()
		header := binary.BigEndian.AppendUint32(nil, uint32(partition))
		if _, err := w.Write(binary.BigEndian.AppendUint32(header, uint32(len(batches)))); err != nil {
			return err
		}
		_, err := w.Write(batches)
		return err
	}); err != nil {
		return err
	}
	return errors.Join(w.Flush(), f.Sync())
}

func restore(ctx context.Context, o *options) (err error) {
	f, err := os.Open(o.file)
	if err != nil {
		return err
	}
	defer f.Close() //nolint:errcheck // nothing was written
	r := bufio.NewReaderSize(f, 1<<20)
	header := make([]byte, fileHeader)
	if _, err := io.ReadFull(r, header); err != nil {
		return fmt.Errorf("read %s: %w", o.file, err)
	}
	partitions := int32(binary.BigEndian.Uint32(header))
	topic, err := wire.Create(ctx, o.addr, wire.NewTopic{Name: o.topic, Partitions: partitions})
	if err != nil {
		return err
	}
	lanes := make([]*lane, o.lanes)
	for i := range lanes {
		lanes[i] = newLane(o)
	}
	read := make(chan error, 1)
	go func() { read <- distribute(r, lanes) }()
	err = wire.LanesOf(ctx, o.addr, o.lanes, func(ctx context.Context, n int, send wire.Send) error {
		err := lanes[n].run(ctx, func(batches []wire.Batch) error { return send(ctx, topic, batches) })
		if err != nil {
			for _, l := range lanes {
				l.end()
			}
		}
		return err
	})
	return errors.Join(err, <-read)
}

// distribute reads the file and gives each lane the batches of its partitions.
func distribute(r io.Reader, lanes []*lane) error {
	defer func() {
		for _, l := range lanes {
			l.end()
		}
	}()
	header := make([]byte, pieceHeader)
	for {
		if _, err := io.ReadFull(r, header); errors.Is(err, io.EOF) {
			return nil
		} else if err != nil {
			return fmt.Errorf("read backup: %w", err)
		}
		partition := binary.BigEndian.Uint32(header)
		piece := make([]byte, binary.BigEndian.Uint32(header[4:]))
		if _, err := io.ReadFull(r, piece); err != nil {
			return fmt.Errorf("read backup: %w", err)
		}
		l := lanes[int(partition)%len(lanes)]
		for _, b := range wire.Split(piece) {
			if !l.push(wire.Batch{Partition: int32(partition), Bytes: b}) {
				return nil // a lane broke off, and says why
			}
		}
	}
}
