package main

import (
	"testing"
	"time"
)

// The flag reaches the restore, in bytes.
func TestMaxRateOfARestore(t *testing.T) {
	o := &restoreOptions{
		global: &globalOptions{}, memory: newMemoryOptions(1 << 30), allTopics: true, offsets: "auto", configs: "effective",
	}
	if err := o.maxRate.Set("50MB"); err != nil {
		t.Fatal(err)
	}
	req, err := o.request(&env{now: time.Now})
	if err != nil || req.MaxRateBytes != 50_000_000 {
		t.Errorf("got %d, %v", req.MaxRateBytes, err)
	}
}
