package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"

	"coldstream/bench/oldvault"
	"coldstream/kafka/kafkatest"
)

const (
	// oldTopic is a topic that every old vault has.
	oldTopic  = "topic-000"
	oldPrefix = "old-"

	verifyOperation = "verify"
)

// What readers of old vaults may take: on the one with many partitions at most so much memory and
// so long, and a quick verify of the one with many rows so much memory.
const (
	readerRSSLimit = 250 << 20
	readerSeconds  = 3
	verifyRSSLimit = 500 << 20
)

func (s *Summary) oldVerdicts() []string {
	memory := func(atMost int64) string {
		return s.verdict("peak memory in MB", float64(s.PeakRSS>>20), float64(atMost>>20))
	}
	switch {
	case s.operation == verifyOperation:
		return []string{memory(verifyRSSLimit)}
	case s.workload == oldPrefix+"process":
		return []string{memory(readerRSSLimit), s.verdict("seconds", s.Wall, readerSeconds)}
	}
	return nil // its rows are of two topics, and all of them are asked for
}

// readers measures commands that read vaults which are years old: what they take is to grow with
// what is asked for. The vaults are made in a folder that is kept, for that takes minutes.
func (s *session) readers(ctx context.Context) (err error) {
	if s.source, err = kafkatest.StartShared(brokerConfig()); err != nil {
		return err
	}
	for _, kind := range oldvault.Kinds() {
		dir := filepath.Join(s.old, fmt.Sprintf("%s-%g", kind.Name, s.scale))
		if err := s.makeOld(ctx, kind, dir); err != nil {
			return err
		}
		for round := 0; round <= s.rounds; round++ {
			if err := s.readOld(ctx, &job{session: s, name: oldPrefix + kind.Name, vault: dir}, round); err != nil {
				return err
			}
		}
	}
	return nil
}

func (s *session) makeOld(ctx context.Context, kind oldvault.Kind, dir string) error {
	if _, err := os.Stat(filepath.Join(dir, "vault.json")); !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	logf(s.say, "make a vault in %s: %s", dir, kind.Title)
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	_, err := childOutput(ctx, "old", "-w", kind.Name, "-dir", dir, "-scale", strconv.FormatFloat(s.scale, 'g', -1, 64))
	return err
}

// readOld runs each command once.
func (s *session) readOld(ctx context.Context, j *job, round int) error {
	for _, c := range []struct {
		name string
		args []string
	}{
		{"snapshots", []string{"snapshots"}},
		{"ls", []string{"ls"}},
		{"ls of a topic", []string{"ls", oldTopic}},
		{"restore --dry-run of a topic", []string{"restore", "-b", s.source.Bootstrap(), "-t", oldTopic, "--dry-run"}},
		{verifyOperation, []string{"verify"}},
	} {
		m, err := s.measure(ctx, j.coldstream(c.args...))
		if err != nil {
			return err
		}
		j.add(m, names{c.name, coldstreamTool, round})
	}
	return nil
}

func makeOldVault(ctx context.Context, name, dir string, scale float64) error {
	for _, kind := range oldvault.Kinds() {
		if kind.Name == name {
			return oldvault.Make(ctx, dir, kind, scale)
		}
	}
	return fmt.Errorf("no old vault %q", name)
}
