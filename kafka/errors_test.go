package kafka

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"coldstream"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
)

var errBusy = temporary(errors.New("busy"))

// tries returns a step that comes to the given errors, one after the other, the last of
// them for ever.
func tries(errs ...error) func(context.Context) error {
	return func(context.Context) error {
		err := errs[0]
		if len(errs) > 1 {
			errs = errs[1:]
		}
		return err
	}
}

func TestPatienceOfASingleStep(t *testing.T) {
	unknown := expected(brokerError(kerr.UnknownTopicOrPartition.Code, nil))
	busyFor := func(d time.Duration, then error) func(context.Context) error {
		start := time.Now()
		return func(context.Context) error {
			if time.Since(start) < d {
				return errBusy
			}
			return then
		}
	}
	for what, test := range map[string]struct {
		step func() func(context.Context) error
		want string
		min  time.Duration
		max  time.Duration
	}{
		"success":                {func() func(context.Context) error { return tries(nil) }, "", 0, 0},
		"refused":                {func() func(context.Context) error { return tries(errBusy, errors.New("no")) }, "no", 100 * time.Millisecond, 100 * time.Millisecond},
		"soon better":            {func() func(context.Context) error { return tries(errBusy, unknown, errBusy, nil) }, "", 700 * time.Millisecond, 700 * time.Millisecond},
		"never better":           {func() func(context.Context) error { return tries(errBusy) }, "gave up after 5m0s: busy", 5 * time.Minute, 5 * time.Minute},
		"unknown":                {func() func(context.Context) error { return tries(unknown) }, "unknown topic: UNKNOWN_TOPIC", unknownTopicPatience, unknownTopicPatience + maxRetryWait},
		"better after a minute":  {func() func(context.Context) error { return busyFor(time.Minute, nil) }, "", time.Minute, time.Minute + maxRetryWait},
		"unknown after a minute": {func() func(context.Context) error { return busyFor(time.Minute, unknown) }, "unknown topic", time.Minute + unknownTopicPatience, time.Minute + unknownTopicPatience + 2*maxRetryWait},
	} {
		t.Run(what, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				c := &Client{cfg: Config{Patience: 5 * time.Minute}}
				start := time.Now()
				wantError(t, c.patiently(t.Context(), test.step()), test.want)
				if took := time.Since(start); took < test.min || took > test.max {
					t.Errorf("took %s, want %s to %s", took, test.min, test.max)
				}
			})
		})
	}
}

// A broker that restarts may not know a topic for a moment, however long other errors
// came before.
func TestUnknownTopicCountsWithoutABreak(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var unknown unknownTopic
		is := temporary(coldstream.ErrUnknownTopic)
		for minute := range 3 {
			if unknown.tooLong(is) || unknown.tooLong(errBusy) {
				t.Fatalf("given up in minute %d", minute)
			}
			pause(t.Context(), time.Minute)
		}
		if unknown.tooLong(is) {
			t.Fatal("given up at once")
		}
		pause(t.Context(), unknownTopicPatience-time.Second)
		if unknown.tooLong(is) {
			t.Fatal("given up too early")
		}
		pause(t.Context(), time.Second)
		if !unknown.tooLong(is) {
			t.Fatal("not given up in the end")
		}
	})
}

func TestRequestErrorIsTemporaryForTheNetworkOnly(t *testing.T) {
	for _, test := range []struct {
		err       error
		temporary bool
	}{
		{errors.New("EOF"), true},
		{context.DeadlineExceeded, true},
		{context.Canceled, false},
		{kgo.ErrClientClosed, false},
		{kerr.SaslAuthenticationFailed, false},
		{errors.New("broker is too old; it has indicated so"), false},
	} {
		if got := errors.Is(requestError(test.err), errTemporary); got != test.temporary {
			t.Errorf("%v: got temporary %t, want %t", test.err, got, test.temporary)
		}
	}
	if err := requestError(kerr.SaslAuthenticationFailed); !errors.Is(err, coldstream.ErrUnreachable) {
		t.Errorf("error %v of a refused login is not ErrUnreachable", err)
	}
}
