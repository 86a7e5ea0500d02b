// Command fake stands in for the elastio program in tests; package elastiotest builds it.
package main

import (
	"bytes"
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"syscall"

	"coldstream/blob/elastio/elastiotest"
)

func main() {
	if err := run(os.Getenv("FAKE_ELASTIO_DIR"), os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "elastio:", err)
		os.Exit(1) //nolint:forbidigo // this is the main of a program of its own
	}
}

var tag = regexp.MustCompile(`^[A-Za-z0-9._-]{1,64}=[A-Za-z0-9._-]{1,128}$`)

// args are what a command was given, strictly: a flag that the command is not known to
// have is an error.
type args struct {
	flags map[string][]string
}

func parse(words []string, allowed ...string) (*args, error) {
	a := &args{flags: map[string][]string{}}
	for len(words) > 0 {
		name := words[0]
		words = words[1:]
		if !slices.Contains(allowed, name) {
			return nil, fmt.Errorf("unexpected argument %q", name)
		}
		if name == "--to-stdout" {
			a.flags[name] = []string{"true"}
			continue
		}
		if len(words) == 0 {
			return nil, fmt.Errorf("%s needs a value", name)
		}
		if len(a.flags[name]) > 0 && name != "--tag" {
			return nil, fmt.Errorf("%s is given twice", name)
		}
		a.flags[name] = append(a.flags[name], words[0])
		words = words[1:]
	}
	for _, t := range a.flags["--tag"] {
		if !tag.MatchString(t) {
			return nil, fmt.Errorf("tag %q is not allowed", t)
		}
	}
	if form := a.one("--output-format"); form != "" && form != "json" {
		return nil, fmt.Errorf("output format %q", form)
	}
	return a, nil
}

func (a *args) one(name string) string {
	if len(a.flags[name]) == 0 {
		return ""
	}
	return a.flags[name][0]
}

func run(dir string, words []string) error {
	if dir == "" {
		return errors.New("FAKE_ELASTIO_DIR is not set")
	}
	command := strings.Join(words[:min(2, len(words))], " ")
	rest := words[min(2, len(words)):]
	switch command {
	case "stream backup":
		a, err := parse(rest, "--stream-name", "--hostname-override", "--vault", "--tag", "--output-format")
		if err != nil {
			return err
		}
		return backup(dir, a)
	case "stream restore":
		a, err := parse(rest, "--rp", "--to-stdout")
		if err != nil {
			return err
		}
		return restore(dir, a)
	case "rp list":
		a, err := parse(rest, "--output-format", "--type", "--limit", "--tag")
		if err != nil {
			return err
		}
		return list(dir, a)
	case "job output":
		a, err := parse(rest, "--job-id", "--output-format")
		if err != nil {
			return err
		}
		if _, err := fault(dir, "job"); err != nil {
			return err
		}
		return answer(strings.TrimPrefix(a.one("--job-id"), "job-"), "Succeeded")
	}
	return fmt.Errorf("unknown command %q", command)
}

// fault counts a call and says what it is to do wrong.
func fault(dir, op string) (string, error) {
	file := filepath.Join(dir, op+".calls")
	f, err := os.OpenFile(file, os.O_CREATE|os.O_RDWR, 0o644)
	if err != nil {
		return "", err
	}
	defer f.Close() //nolint:errcheck // what is written shows in the next call
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX); err != nil {
		return "", err
	}
	body, err := io.ReadAll(f)
	if err != nil {
		return "", err
	}
	calls, _ := strconv.Atoi(strings.TrimSpace(string(body))) // an empty file is no call
	calls++
	if _, err := f.WriteAt([]byte(strconv.Itoa(calls)), 0); err != nil {
		return "", err
	}
	body, err = os.ReadFile(filepath.Join(dir, "faults.json"))
	if errors.Is(err, os.ErrNotExist) {
		return "", nil
	}
	var faults []elastiotest.Fault
	if err == nil {
		err = json.Unmarshal(body, &faults)
	}
	for _, f := range faults {
		if f.Op == op && (f.At == 0 || f.At == calls) {
			if f.Do == elastiotest.Noise {
				_, err = os.Stderr.Write(bytes.Repeat([]byte("elastio is working\n"), 1<<20/19))
				return "", err
			}
			if f.Do == elastiotest.Fail {
				return "", errors.New("asked to fail")
			}
			return f.Do, err
		}
	}
	return "", err
}

// hang never ends by itself.
func hang() {
	ended := make(chan os.Signal, 1)
	signal.Notify(ended, syscall.SIGTERM)
	<-ended
}

func backup(dir string, a *args) error {
	do, err := fault(dir, "backup")
	if err != nil {
		return err
	}
	at := elastiotest.Point{
		Vault: a.one("--vault"), Host: a.one("--hostname-override"), Stream: a.one("--stream-name"), Tags: map[string]string{},
	}
	if at.Stream == "" || at.Host == "" || at.Vault == "" {
		return errors.New("--stream-name, --hostname-override and --vault are needed")
	}
	for _, t := range a.flags["--tag"] {
		key, value, _ := strings.Cut(t, "=")
		at.Tags[key] = value
	}
	partial, err := os.CreateTemp(dir, "partial-*")
	if err != nil {
		return err
	}
	in := io.Reader(os.Stdin)
	if do == elastiotest.FailHalf || do == elastiotest.Hang {
		in = io.LimitReader(in, 100)
	}
	if _, err := io.Copy(partial, in); err != nil {
		return err
	}
	switch do {
	case elastiotest.FailHalf:
		return errors.New("asked to fail half-way")
	case elastiotest.Hang:
		hang()
	case elastiotest.Late:
		at.Hidden = 3
	}
	if err := keep(dir, partial, &at); err != nil {
		return err
	}
	switch do {
	case elastiotest.LoseAnswer:
		return errors.New("connection reset")
	case elastiotest.Pending:
		return answer(at.ID, "InProgress")
	}
	return answer(at.ID, "Succeeded")
}

// keep makes a recovery point of what was taken.
func keep(dir string, data *os.File, at *elastiotest.Point) error {
	if err := data.Close(); err != nil {
		return err
	}
	var random [8]byte
	if _, err := rand.Read(random[:]); err != nil {
		return err
	}
	at.ID = "rp-" + hex.EncodeToString(random[:])
	all, err := elastiotest.Points(dir)
	if err != nil {
		return err
	}
	base := filepath.Join(dir, fmt.Sprintf("%06d-%s", len(all), at.ID))
	body, err := json.Marshal(at)
	if err != nil {
		return err
	}
	if err := os.Rename(data.Name(), base+".data"); err != nil {
		return err
	}
	return os.WriteFile(base+".json", body, 0o644)
}

func answer(id, status string) error {
	data := map[string]any{"abort_token": "t"}
	if status == "Succeeded" {
		data["rp_id"] = id
	}
	return json.NewEncoder(os.Stdout).Encode(map[string]any{"status": status, "job_id": "job-" + id, "data": data, "error": nil})
}

func restore(dir string, a *args) error {
	do, err := fault(dir, "restore")
	if err != nil {
		return err
	}
	points, err := elastiotest.Points(dir)
	if err != nil {
		return err
	}
	i := slices.IndexFunc(points, func(at elastiotest.Point) bool { return at.ID == a.one("--rp") })
	if i < 0 {
		return fmt.Errorf("recovery point %q not found", a.one("--rp"))
	}
	f, err := os.Open(points[i].File)
	if err != nil {
		return err
	}
	defer f.Close() //nolint:errcheck // it was only read
	info, err := f.Stat()
	if err != nil {
		return err
	}
	n := info.Size()
	switch do {
	case elastiotest.FailHalf, elastiotest.Hang:
		n = min(n, 100)
	case elastiotest.Cut:
		n /= 2
	}
	fmt.Fprintln(os.Stderr, "Restoring stream ...")
	if _, err := io.CopyN(os.Stdout, f, n); err != nil {
		return err
	}
	switch do {
	case elastiotest.FailHalf:
		return errors.New("asked to fail half-way")
	case elastiotest.Hang:
		hang()
	}
	return nil
}

func list(dir string, a *args) error {
	do, err := fault(dir, "list")
	if err != nil {
		return err
	}
	points, err := elastiotest.Points(dir)
	if err != nil {
		return err
	}
	out := []any{}
	for _, at := range points {
		if at.Hidden > 0 {
			at.Hidden--
			body, err := json.Marshal(at)
			if err != nil {
				return err
			}
			if err := os.WriteFile(strings.TrimSuffix(at.File, ".data")+".json", body, 0o644); err != nil {
				return err
			}
			continue
		}
		matches := true
		for _, t := range a.flags["--tag"] {
			key, value, _ := strings.Cut(t, "=")
			matches = matches && at.Tags[key] == value
		}
		if matches {
			out = append(out, map[string]any{
				"id": at.ID, "kind": map[string]any{"kind": "Stream"}, "tags": at.Tags,
				"asset_snaps": []any{map[string]any{"asset_id": "elastio:asset:" + at.Host + ":" + at.Stream}},
			})
		}
	}
	slices.Reverse(out) // order means nothing
	enc := json.NewEncoder(os.Stdout)
	if do != elastiotest.OldForm {
		return enc.Encode(out)
	}
	for _, v := range out {
		if err := enc.Encode(v); err != nil {
			return err
		}
	}
	return nil
}
