package backup

import (
	"context"
	"testing"
	"testing/synctest"
	"time"
)

// A limit lets so many bytes pass in a second, and can be changed and lifted.
func TestLimit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLimit(1000)
		took := func(bytes int) time.Duration {
			t.Helper()
			began := time.Now()
			if err := l.wait(t.Context(), bytes); err != nil {
				t.Fatal(err)
			}
			return time.Since(began).Round(time.Millisecond)
		}
		if got := took(5500); got != 5500*time.Millisecond {
			t.Errorf("five and a half seconds' worth took %s", got)
		}
		l.set(0)
		if got := took(1 << 30); got != 0 {
			t.Errorf("without a limit it took %s", got)
		}
		l.set(10)
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if err := l.wait(ctx, 1000); err == nil {
			t.Error("an interrupt is not seen")
		}
	})
}

// A backup with --max-rate takes its time.
func TestBackupKeepsItsRate(t *testing.T) {
	w := newWorld(t)
	w.create(t, "topic", 1)
	for range 5 {
		if err := w.append(t.Context(), "topic", 0, 50_000); err != nil {
			t.Fatal(err)
		}
	}
	began := time.Now()
	r := w.run(t, Options{MaxRate: 100_000})
	if took := time.Since(began); took < time.Second || r.BytesRead < 250_000 {
		t.Errorf("%d bytes took %s at 100 kB a second", r.BytesRead, took)
	}
}
