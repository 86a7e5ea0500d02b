//go:build long

package main

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"coldstream/kafka/kafkatest"
)

// TestEveryListenerInFull backs up and restores through each listener, groups included.
func TestEveryListenerInFull(t *testing.T) {
	c := realCluster(t)
	fillTopic(t, c, "in-full", 2000)
	want := contents(t, c, "in-full")
	for _, l := range listeners() {
		t.Run(l.String(), func(t *testing.T) {
			properties := c.WriteClientProperties(t, l.name, l.mechanism, secureUser)
			vault, target := newVault(t), "in-full-"+strings.ToLower(strings.ReplaceAll(l.String(), " ", "-"))
			for range 2 { // the second finds nothing new
				command(t, nil, "backup", "--command-config", properties, "--vault", vault, "-t", "in-full").must(t, exitDone)
			}
			command(t, nil, "restore", "--command-config", properties, "--vault", vault, "-t", "in-full", "--map", "in-full="+target, "--groups", "--yes").must(t, exitDone)
			if diff := cmp.Diff(want, contents(t, c, target)); diff != "" {
				t.Errorf("(-source +restored)\n%s", diff)
			}
		})
	}
	if len(kafkatest.Mechanisms()) != 4 {
		t.Error("a mechanism is new: listeners must hold it")
	}
}
