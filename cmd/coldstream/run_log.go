package main

import (
	"context"
	"io"
	"log/slog"
	"time"

	"coldstream"
	"coldstream/backup"
	"coldstream/internal/terminal"
)

// eventLog is the observer of a continuous backup that writes a log: text on a terminal, a line
// of JSON each elsewhere. No content of records is in it.
type eventLog struct {
	log     *slog.Logger
	verbose bool
}

func newEventLog(e *env, global *globalOptions) *eventLog {
	level := slog.LevelInfo
	if global.quiet {
		level = slog.LevelWarn
	}
	opts := &slog.HandlerOptions{Level: level, ReplaceAttr: func(_ []string, a slog.Attr) slog.Attr {
		if err, is := a.Value.Any().(error); is {
			a.Value = slog.StringValue(terminal.Text(err))
		}
		return a
	}}
	return &eventLog{log: slog.New(logHandler(e.stderr, e.stderrTerminal, opts)), verbose: global.verbose}
}

func logHandler(w io.Writer, isTerminal bool, opts *slog.HandlerOptions) slog.Handler { //nolint:revive // the writer knows no better
	if isTerminal {
		return slog.NewTextHandler(w, opts)
	}
	return slog.NewJSONHandler(w, opts)
}

func (l *eventLog) began(o *runOptions) {
	l.info("continuous backup begins", "interval", o.interval.String(), "snapshot_every", o.snapshotEvery.String())
}

func (l *eventLog) stopped(s *backup.Status) {
	l.info("continuous backup stopped", "snapshot", s.Snapshot)
}

func (l *eventLog) info(text string, args ...any) {
	l.log.Log(context.Background(), slog.LevelInfo, text, args...) //nolint:forbidigo // slog asks for one
}

func (l *eventLog) warn(text string, args ...any) {
	l.log.Log(context.Background(), slog.LevelWarn, text, args...) //nolint:forbidigo // the same
}

// Observe is the [coldstream.Observer].
func (l *eventLog) Observe(event coldstream.Event) {
	switch ev := event.(type) {
	case *coldstream.TopicFound:
		l.info("topic is followed", "topic", ev.Topic, "partitions", ev.Partitions, "before", ev.Before)
	case *coldstream.TopicGone:
		l.warn("topic is not followed any more", "topic", ev.Topic, "topic_id", ev.TopicID.String(), "deleted", ev.Deleted)
	case *coldstream.PartitionTrouble:
		l.warn("cannot be read now", "topic", ev.Topic, "partition", ev.Partition, "since", ev.Since, "error", ev.Err)
	case *coldstream.PartitionWell:
		l.info("is read again", "topic", ev.Topic, "partition", ev.Partition, "since", ev.Since)
	case *coldstream.Outage:
		l.warn(string(ev.Of)+" does not serve", "since", ev.Since, "again_in", ev.Again.String(), "error", ev.Err)
	case *coldstream.OutageOver:
		l.info(string(ev.Of)+" serves again", "since", ev.Since)
	case *coldstream.Committed:
		if ev.Batches == 0 && !l.verbose {
			return // it only says that all is saved
		}
		l.info("saved", "records", ev.Records, "bytes_stored", ev.BytesStored, "took", ev.Time.Sub(ev.Taken).Round(time.Millisecond).String(), "vault_hash", ev.VaultHash)
	case *coldstream.SnapshotMade:
		l.info("snapshot made", "snapshot", ev.ID, "topics", ev.Topics, "partitions", ev.Partitions, "short", len(ev.Short), "groups_missing", len(ev.GroupsMissing))
	case *coldstream.GapFound:
		l.warn("offsets are gone that were due", "topic", ev.Topic, "partition", ev.Partition, "first_offset", ev.FirstOffset, "next_offset", ev.NextOffset, "cause", string(ev.Cause))
	case *coldstream.ForkFound:
		l.warn("the log lost its end, and goes on differently", "topic", ev.Topic, "partition", ev.Partition, "first_offset", ev.FirstOffset, "next_offset", ev.NextOffset)
	case *coldstream.ReadAgain:
		l.info("compacted partition is read in full", "topic", ev.Topic, "partition", ev.Partition, "why", ev.Why, "done", ev.Done)
	case *coldstream.DamageFound:
		l.warn("damage in the vault", "healed", ev.Healed, "error", ev.Err)
	case *coldstream.WriterSeen:
		l.warn("another process writes to the vault", "writer", ev.Writer, "time", ev.Time)
	default:
		l.observeOther(event)
	}
}

// observeOther takes what other jobs tell too.
func (l *eventLog) observeOther(event coldstream.Event) {
	switch ev := event.(type) {
	case *coldstream.Waiting:
		l.warn(waitingLine(ev))
	case *coldstream.Notice:
		l.info(ev.Text, "lines", ev.Lines)
	case *coldstream.Warning:
		l.warn(ev.Text, "hint", ev.Hint)
	case *coldstream.Detail:
		if l.verbose {
			l.info(ev.Text)
		}
	}
}
