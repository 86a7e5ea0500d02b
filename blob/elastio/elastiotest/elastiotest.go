// Package elastiotest is a strict stand-in for the elastio program, as a program of its own:
// the real one needs an account. It refuses what is not known to be accepted, and fails on
// request in each way that a program can fail.
package elastiotest

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
)

// Program is a stand-in with a storage of its own.
type Program struct {
	Path string // of the executable
	Dir  string // of its recovery points
}

// Build makes the program and an empty storage for it in dir.
func Build(ctx context.Context, dir string) (*Program, error) {
	real := filepath.Join(dir, "fake-elastio")
	build := exec.CommandContext(ctx, "go", "build", "-o", real, "coldstream/blob/elastio/elastiotest/fake")
	if out, err := build.CombinedOutput(); err != nil {
		return nil, fmt.Errorf("build the stand-in for elastio: %w: %s", err, out)
	}
	return with(real, dir)
}

// with makes a storage and the script that ties it to the executable: its users pass no environment on.
func with(executable, dir string) (*Program, error) {
	p := &Program{Path: filepath.Join(dir, "elastio"), Dir: filepath.Join(dir, "points")}
	if err := os.MkdirAll(p.Dir, 0o755); err != nil {
		return nil, err
	}
	script := fmt.Sprintf("#!/bin/sh\nFAKE_ELASTIO_DIR='%s' exec '%s' \"$@\"\n", p.Dir, executable)
	return p, os.WriteFile(p.Path, []byte(script), 0o755)
}

// Another is the same program with an empty storage of its own in dir.
func (p *Program) Another(dir string) (*Program, error) {
	return with(filepath.Join(filepath.Dir(p.Path), "fake-elastio"), dir)
}

// Fault makes one call of an operation go wrong.
type Fault struct {
	Op string `json:"op"` // "backup", "restore", "list" or "job"
	At int    `json:"at"` // the n-th call from now, from 1 on; 0 is every call
	Do string `json:"do"`
}

// What a call can do wrong.
const (
	Fail       = "fail"        // before it takes or gives a byte
	FailHalf   = "fail-half"   // after 100 bytes
	Hang       = "hang"        // after 100 bytes, for ever
	LoseAnswer = "lose-answer" // it succeeds, and fails to say so
	Late       = "late"        // the next three lists lack it
	Cut        = "cut"         // it gives half of the bytes and says that all is well
	OldForm    = "old-form"    // a list with an object a line
	Noise      = "noise"       // 1 MiB on stderr
	Pending    = "pending"     // the answer is that the job still runs
)

// Plan says which calls go wrong from now on.
func (p *Program) Plan(faults ...Fault) error {
	body, err := json.Marshal(faults)
	if err != nil {
		return err
	}
	for _, op := range []string{"backup", "restore", "list", "job"} {
		if err := os.WriteFile(filepath.Join(p.Dir, op+".calls"), []byte("0"), 0o644); err != nil {
			return err
		}
	}
	return os.WriteFile(filepath.Join(p.Dir, "faults.json"), body, 0o644)
}

// Calls says how often an operation was called since Plan.
func (p *Program) Calls(op string) (int, error) {
	body, err := os.ReadFile(filepath.Join(p.Dir, op+".calls"))
	if errors.Is(err, os.ErrNotExist) {
		return 0, nil
	}
	if err != nil {
		return 0, err
	}
	return strconv.Atoi(strings.TrimSpace(string(body)))
}

// Point is a recovery point in the storage.
type Point struct {
	ID     string            `json:"id"`
	Vault  string            `json:"vault"`
	Host   string            `json:"host"`
	Stream string            `json:"stream"`
	Tags   map[string]string `json:"tags"`
	Hidden int               `json:"hidden"` // lists that lack it still
	File   string            `json:"-"`
}

// Points are the recovery points of the storage, in the order in which they were made.
func (p *Program) Points() ([]Point, error) { return Points(p.Dir) }

// Points are the recovery points in a folder.
func Points(dir string) ([]Point, error) {
	files, err := filepath.Glob(filepath.Join(dir, "*.json"))
	if err != nil {
		return nil, err
	}
	var out []Point
	for _, file := range files {
		if filepath.Base(file) == "faults.json" {
			continue
		}
		body, err := os.ReadFile(file)
		if err != nil {
			return nil, err
		}
		at := Point{File: strings.TrimSuffix(file, ".json") + ".data"}
		if err := json.Unmarshal(body, &at); err != nil {
			return nil, err
		}
		out = append(out, at)
	}
	return out, nil
}
