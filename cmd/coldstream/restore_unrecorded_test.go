package main

import (
	"errors"
	"strings"
	"testing"

	"coldstream/restore"
)

// Whose last record cannot be stored is told what was done, and what is not as asked.
func TestUnrecordedRestoreSaysWhatIsDone(t *testing.T) {
	var stderr lockedBuffer
	e := testEnv(nil)
	e.stderr = &stderr
	result := &restore.Result{Partitions: []restore.PartitionResult{
		{TargetTopic: "orders", Records: 12}, {TargetTopic: "orders", TargetPartition: 1, Error: "it is damaged"},
	}}
	o := &restoreOptions{global: &globalOptions{}}
	cause := &restore.UnrecordedError{Held: true}
	err := o.failed(e, result, cause)
	if f := classify(t.Context(), err); !errors.Is(err, cause) || f.code != exitFailed || !strings.Contains(f.hint, "coldstream forget --restore 0000000000000000") {
		t.Errorf("got %v: %+v", err, f)
	}
	for _, want := range []string{"12 records in 2 partitions, 0 groups: this is done", "not restored in full: orders-1: it is damaged"} {
		if !strings.Contains(stderr.String(), want) {
			t.Errorf("stderr lacks %q:\n%s", want, stderr.String())
		}
	}
}
