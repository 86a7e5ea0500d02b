package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/klauspost/compress/zstd"

	"coldstream/bench/workload"
)

// childCommand makes this program do one thing and end. Whatever handles records runs in
// a process of its own: a system counts to a new process's peak memory what its parent
// had, so this one stays small.
const childCommand = "child"

// fact is what loading a workload told.
type fact struct {
	workload.Digest
	// DecodeSecondsPerGB is what decoding zstd level 1 costs here: a restore of records
	// that were not compressed has to do that, and the limit does not.
	DecodeSecondsPerGB float64 `json:"decode_seconds_per_gb"`
	// Level1 is what level 1 leaves of the records, in frames of 1 MiB.
	Level1 float64 `json:"level_1_ratio"`
}

func runChild(ctx context.Context, args []string, out io.Writer) error {
	var addr, name, dir string
	var scale float64
	var seed uint64
	var delay time.Duration
	f := flag.NewFlagSet(childCommand, flag.ContinueOnError)
	f.StringVar(&addr, "b", "", "the broker")
	f.StringVar(&name, "w", "", "the workload")
	f.StringVar(&dir, "dir", "", "of an old vault")
	f.Float64Var(&scale, "scale", 1, "of the workload")
	f.Uint64Var(&seed, "seed", 1, "of the records")
	f.DurationVar(&delay, "delay", 0, "of the relay, in each direction")
	if len(args) == 0 {
		return errors.New("usage: bench child load|digest|sample|relay|old")
	}
	if err := f.Parse(args[1:]); err != nil {
		return err
	}
	if args[0] == "relay" {
		return runRelay(ctx, delay, os.Stdin, out)
	}
	if args[0] == "old" {
		return makeOldVault(ctx, name, dir, scale)
	}
	chosen, err := workload.Choose(slices.Concat(workload.All(), workload.Growth(), workload.Far()), name, scale)
	if err != nil {
		return err
	}
	w := &chosen[0]
	switch args[0] {
	case "sample":
		_, err := out.Write(w.Sample(seed, sampleRecords))
		return err
	case "digest":
		d, err := workload.ReadDigest(ctx, addr, w.Topic())
		if err != nil {
			return err
		}
		return json.NewEncoder(out).Encode(d)
	case "load":
		fact, err := loaded(ctx, w, addr, seed)
		if err != nil {
			return err
		}
		return json.NewEncoder(out).Encode(fact)
	}
	return fmt.Errorf("no child %q", args[0])
}

// loaded loads a workload. Of many small topics it tells only how much that was.
func loaded(ctx context.Context, w *workload.Workload, addr string, seed uint64) (fact, error) {
	sent, err := w.Load(ctx, addr, seed)
	if err != nil || w.Topics > 0 {
		return fact{Digest: workload.Digest{Records: w.Records, StoredBytes: sent}}, err
	}
	d, err := workload.ReadDigest(ctx, addr, w.Topic())
	if err != nil {
		return fact{}, err
	}
	f := fact{Digest: d}
	f.DecodeSecondsPerGB, f.Level1, err = decodeCost(w.Sample(seed, decodedRecords))
	return f, err
}

const (
	sampleRecords  = 5_000
	decodedRecords = 20_000
	decodeRounds   = 10
	frameBytes     = 1 << 20
)

// decodeCost measures CPU seconds per GB of decoding zstd, with frames as a vault has.
func decodeCost(content []byte) (secondsPerGB, ratio float64, err error) {
	encoder, err := zstd.NewWriter(nil, zstd.WithEncoderLevel(zstd.SpeedFastest), zstd.WithEncoderConcurrency(1))
	if err != nil {
		return 0, 0, err
	}
	var frames [][]byte
	stored := 0
	for rest := content; len(rest) > 0; rest = rest[min(frameBytes, len(rest)):] {
		frames = append(frames, encoder.EncodeAll(rest[:min(frameBytes, len(rest))], nil))
		stored += len(frames[len(frames)-1])
	}
	decoder, err := zstd.NewReader(nil, zstd.WithDecoderConcurrency(1))
	if err != nil {
		return 0, 0, err
	}
	defer decoder.Close()
	room := make([]byte, 0, frameBytes)
	began := ownCPU()
	for range decodeRounds {
		for _, frame := range frames {
			if _, err := decoder.DecodeAll(frame, room); err != nil {
				return 0, 0, err
			}
		}
	}
	gb := float64(decodeRounds*len(content)) / 1e9
	return (ownCPU() - began).Seconds() / gb, float64(stored) / float64(len(content)), nil
}

// ownCPU is the processor time of this process.
func ownCPU() time.Duration {
	var u syscall.Rusage
	_ = syscall.Getrusage(syscall.RUSAGE_SELF, &u) // cannot fail for ourselves
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// child runs this program again, as a child, and decodes what it says.
func child(ctx context.Context, into any, args ...string) error {
	out, err := childOutput(ctx, args...)
	if err != nil {
		return err
	}
	if err := json.Unmarshal(out, into); err != nil {
		return fmt.Errorf("bench %s: %w", strings.Join(args, " "), err)
	}
	return nil
}

func childOutput(ctx context.Context, args ...string) ([]byte, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	cmd := exec.CommandContext(ctx, self, append([]string{childCommand}, args...)...)
	cmd.Stderr = os.Stderr
	out, err := cmd.Output()
	if err != nil {
		return nil, fmt.Errorf("bench %s: %w", strings.Join(args, " "), err)
	}
	return out, nil
}
