package main

import (
	"fmt"
	"strings"
	"testing"

	"coldstream/kafka/embedded"
)

// What lies in many small packs lies in one afterwards, and is what it was.
func TestCompactPutsSmallPacksTogether(t *testing.T) {
	var topics []embedded.Topic
	for i := range 18 {
		topics = append(topics, embedded.Topic{Name: fmt.Sprintf("topic-%02d", i), Partitions: 1})
	}
	at := embeddedOrders(t, topics...)
	vault := newVault(t)
	for _, topic := range topics {
		command(t, nil, "backup", "-b", at, "--vault", vault, "-t", topic.Name).must(t, exitDone)
	}
	read := func() string {
		return command(t, nil, "cat", "topic-07", "--vault", vault, "-f", "%o %k %s %T\n").must(t, exitDone).stdout
	}
	before, files := read(), tree(t, vault)
	var d compactDocument
	command(t, nil, "compact", "--vault", vault, "--dry-run", "-o", "json").must(t, exitDone).into(t, &d)
	if now := tree(t, vault); len(now) != len(files) || d.PacksRead != 18 || d.PacksFreed != 18 || d.BytesRead == 0 {
		t.Errorf("a dry run: %+v, %d files of %d", d, len(now), len(files))
	}
	command(t, nil, "compact", "--vault", vault, "-o", "json").must(t, exitDone).into(t, &d)
	if d.PacksMade != 1 || d.PacksFreed != 18 || d.Rows != 18 || d.ObjectsLeft != int64(len(tree(t, vault))) {
		t.Errorf("%+v", d)
	}
	packs := 0
	for name := range tree(t, vault) {
		if strings.Contains(name, "packs/") {
			packs++
		}
	}
	if after := read(); after != before || strings.Count(after, "\n") != 100 || packs != 1 {
		t.Errorf("%d packs, and topic-07 is\n%s\nbefore it was\n%s", packs, after, before)
	}
	command(t, nil, "verify", "--deep", "--vault", vault).must(t, exitDone)
	if out := command(t, nil, "compact", "--vault", vault).must(t, exitDone).stdout; out != "nothing to put together\n" {
		t.Error(out)
	}
	command(t, nil, "backup", "-b", at, "--vault", vault).must(t, exitDone)
}
