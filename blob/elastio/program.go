package elastio

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os/exec"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"time"
)

// The words of the elastio program, in one place: it could be seen only through scripts that call it.
const (
	listLimit    = 1_000_000 // what a list without --limit leaves out is not known
	maxAnswer    = 256 << 20 // bytes of stdout that are kept of one call
	keptOfStderr = 2 << 10
)

// program calls the elastio command line. No shell is between.
type program struct {
	path  string
	vault string
	host  string
	stall time.Duration // a call that takes or gives no byte for so long is killed
	pause time.Duration // between two questions for the state of a job
}

// point is a recovery point in a listing.
type point struct {
	id     string
	tags   map[string]string
	assets []string
}

var pointID = regexp.MustCompile(`^rp?-[A-Za-z0-9._-]{1,200}$`)

// programError is what a call of the program ended with.
type programError struct {
	call   string
	stderr string
	err    error
}

func (e *programError) Error() string {
	if e.stderr == "" {
		return fmt.Sprintf("%s: %v", e.call, e.err)
	}
	return fmt.Sprintf("%s: %v: %q", e.call, e.err, e.stderr)
}

func (e *programError) Unwrap() error { return e.err }

// bounded keeps the first bytes of what is written, and counts the rest.
type bounded struct {
	bytes.Buffer
	max  int
	lost int
}

func (b *bounded) Write(p []byte) (int, error) {
	keep := min(len(p), b.max-b.Len())
	b.lost += len(p) - keep
	b.Buffer.Write(p[:keep])
	return len(p), nil
}

// lastOf keeps the last bytes of what is written.
type lastOf struct {
	kept []byte
	max  int
}

func (l *lastOf) Write(p []byte) (int, error) {
	l.kept = append(l.kept, p...)
	if over := len(l.kept) - l.max; over > 0 {
		l.kept = append(l.kept[:0], l.kept[over:]...)
	}
	return len(p), nil
}

// line is the last line that says something.
func (l *lastOf) line() string {
	text := strings.TrimSpace(strings.ToValidUTF8(string(l.kept), "?"))
	return text[strings.LastIndexByte(text, '\n')+1:]
}

// call is a run of the program whose output is drained while it runs.
type call struct {
	name   string
	cmd    *exec.Cmd
	stdout bounded
	stderr lastOf
	cancel context.CancelFunc
	hung   atomic.Bool
}

// watch kills the program unless the timer that it returns is stopped in time.
func (c *call) watch(d time.Duration) *time.Timer {
	return time.AfterFunc(d, func() {
		c.hung.Store(true)
		c.cancel()
	})
}

func (p *program) prepare(ctx context.Context, args ...string) *call {
	ctx, cancel := context.WithCancel(ctx)
	c := &call{name: "elastio " + strings.Join(args[:min(2, len(args))], " "), cancel: cancel}
	c.cmd = exec.CommandContext(ctx, p.path, args...)
	c.cmd.WaitDelay = 10 * time.Second // a grandchild may hold the pipes
	c.stdout.max, c.stderr.max = maxAnswer, keptOfStderr
	c.cmd.Stdout, c.cmd.Stderr = &c.stdout, &c.stderr
	return c
}

// wait ends the call. The exit code is the only sign of an error.
func (c *call) wait(ctx context.Context) error {
	err := c.cmd.Wait()
	c.cancel()
	switch {
	case ctx.Err() != nil:
		return ctx.Err()
	case err != nil:
		return c.failed(err)
	case c.stdout.lost > 0:
		return c.failed(fmt.Errorf("its answer has more than %d bytes", c.stdout.max))
	}
	return nil
}

func (c *call) failed(err error) error {
	switch {
	case errors.Is(err, exec.ErrNotFound):
		err = fmt.Errorf("the elastio program is not installed, or not in PATH: %w", err)
	case c.hung.Load():
		err = errors.New("it was killed because it took and gave nothing for too long")
	}
	return &programError{c.name, c.stderr.line(), err}
}

// ask runs the program to its end and returns what it printed.
func (p *program) ask(ctx context.Context, args ...string) ([]byte, error) {
	c := p.prepare(ctx, args...)
	timer := c.watch(p.stall)
	defer timer.Stop()
	if err := c.cmd.Start(); err != nil {
		c.cancel()
		return nil, c.failed(err)
	}
	if err := c.wait(ctx); err != nil {
		return nil, err
	}
	return c.stdout.Bytes(), nil
}

// values yields the JSON values of an answer: the elements of an array, or one object a
// line, as older versions print.
func values(answer []byte) ([]json.RawMessage, error) {
	var out []json.RawMessage
	for d := json.NewDecoder(bytes.NewReader(answer)); ; {
		var v json.RawMessage
		switch err := d.Decode(&v); {
		case errors.Is(err, io.EOF):
			return out, nil
		case err != nil:
			return nil, fmt.Errorf("its answer is not JSON: %w", err)
		}
		if v[0] != '[' {
			out = append(out, v)
			continue
		}
		var elements []json.RawMessage
		if err := json.Unmarshal(v, &elements); err != nil {
			return nil, err
		}
		out = append(out, elements...)
	}
}

// list returns the recovery points of this vault: those that carry its tag, and are of its host.
func (p *program) list(ctx context.Context) ([]point, error) {
	all, err := p.tagged(ctx, tagVault, p.vault)
	return slices.DeleteFunc(all, func(at point) bool {
		ours := len(at.assets) == 0 // then nothing tells which host it is of
		for _, id := range at.assets {
			ours = ours || strings.Contains(id, ":"+p.host+":")
		}
		return !ours
	}), err
}

// tagged returns the recovery points that carry a tag, in no order.
func (p *program) tagged(ctx context.Context, key, value string) ([]point, error) {
	answer, err := p.ask(ctx, "rp", "list", "--output-format", "json", "--type", "stream",
		"--limit", strconv.Itoa(listLimit), "--tag", key+"="+value)
	if err != nil {
		return nil, err
	}
	elements, err := values(answer)
	if err != nil {
		return nil, fmt.Errorf("elastio rp list: %w", err)
	}
	var out []point
	for _, e := range elements {
		var rp struct {
			ID     string            `json:"id"`
			Tags   map[string]string `json:"tags"`
			Assets []struct {
				ID string `json:"asset_id"`
			} `json:"asset_snaps"`
		}
		if err := json.Unmarshal(e, &rp); err != nil {
			return nil, fmt.Errorf("elastio rp list: one of its recovery points: %w", err)
		}
		if !pointID.MatchString(rp.ID) {
			return nil, fmt.Errorf("elastio rp list: a recovery point has the ID %q", rp.ID)
		}
		at := point{id: rp.ID, tags: rp.Tags}
		for _, a := range rp.Assets {
			at.assets = append(at.assets, a.ID)
		}
		if rp.Tags[key] == value {
			out = append(out, at)
		}
	}
	return out, nil
}

// upload is a recovery point that is being written.
type upload struct {
	program *program
	call    *call
	stdin   io.WriteCloser
}

func (p *program) backup(ctx context.Context, stream string, tags []string) (*upload, error) {
	args := []string{"stream", "backup", "--stream-name", stream, "--hostname-override", p.host, "--vault", p.vault}
	for _, tag := range tags {
		args = append(args, "--tag", tag)
	}
	u := &upload{program: p, call: p.prepare(ctx, append(args, "--output-format", "json")...)}
	stdin, err := u.call.cmd.StdinPipe()
	if err == nil {
		u.stdin = stdin
		err = u.call.cmd.Start()
	}
	if err != nil {
		u.call.cancel()
		return nil, u.call.failed(err)
	}
	return u, nil
}

// Write hands bytes to the program. One that takes none for long is killed.
func (u *upload) Write(body []byte) (int, error) {
	const piece = 1 << 20
	written := 0
	for len(body) > 0 {
		timer := u.call.watch(u.program.stall)
		n, err := u.stdin.Write(body[:min(piece, len(body))])
		timer.Stop()
		written += n
		if err != nil {
			return written, err
		}
		body = body[n:]
	}
	return written, nil
}

// abort ends the recovery point: the program is killed before its input ends, which would commit it.
func (u *upload) abort() {
	u.call.cancel()
	_ = u.call.cmd.Wait() // it was killed
	_ = u.stdin.Close()
}

// why is the error of a write that failed: the program has ended, and says more than a
// broken pipe.
func (u *upload) why(ctx context.Context, writeErr error) error {
	u.call.cancel()
	err := u.call.wait(ctx)
	_ = u.stdin.Close()
	if err == nil {
		err = u.call.failed(writeErr)
	}
	return err
}

// job is the program's answer to a backup.
type job struct {
	Status string          `json:"status"`
	JobID  string          `json:"job_id"`
	Error  json.RawMessage `json:"error"`
	Data   struct {
		RPID string `json:"rp_id"`
	} `json:"data"`
}

// commit ends the input, which commits the recovery point, and returns its ID. After an
// error the point may be there or not.
func (u *upload) commit(ctx context.Context) (string, error) {
	timer := u.call.watch(u.program.stall)
	defer timer.Stop()
	if err := u.stdin.Close(); err != nil {
		return "", u.why(ctx, err)
	}
	if err := u.call.wait(ctx); err != nil {
		return "", err
	}
	j, err := u.program.decided(ctx, u.call.stdout.Bytes())
	if err != nil {
		return "", fmt.Errorf("%s: %w", u.call.name, err)
	}
	return j.Data.RPID, nil
}

// decided reads the answer of a backup, and asks for the job's state until it is decided.
func (p *program) decided(ctx context.Context, answer []byte) (*job, error) {
	const questions = 600
	id := ""
	for range questions {
		all, err := values(answer)
		if err == nil && len(all) != 1 {
			err = fmt.Errorf("its answer has %d documents where one is expected", len(all))
		}
		var j job
		if err == nil {
			err = json.Unmarshal(all[0], &j)
		}
		if err != nil {
			return nil, err
		}
		switch strings.ToLower(j.Status) {
		case "succeeded":
			if !pointID.MatchString(j.Data.RPID) {
				return nil, fmt.Errorf("it succeeded and names the recovery point %q", j.Data.RPID)
			}
			return &j, nil
		case "failed", "aborted", "cancelled", "canceled", "timedout", "": //nolint:misspell // either may be the program's word
			return nil, fmt.Errorf("the job ended as %q: %.500q", j.Status, j.Error)
		}
		if j.JobID != "" {
			id = j.JobID
		}
		if id == "" {
			return nil, fmt.Errorf("the job is %q and has no ID to ask for", j.Status)
		}
		if err := wait(ctx, p.pause); err != nil {
			return nil, err
		}
		if answer, err = p.ask(ctx, "job", "output", "--job-id", id, "--output-format", "json"); err != nil {
			return nil, err
		}
	}
	return nil, fmt.Errorf("job %s is not decided after %d questions", id, questions)
}

func wait(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-timer.C:
		return nil
	}
}

// download is a recovery point that is being read, front to back.
type download struct {
	program *program
	call    *call
	stdout  io.ReadCloser
	ended   bool
}

func (p *program) restore(ctx context.Context, id string) (*download, error) {
	d := &download{program: p, call: p.prepare(ctx, "stream", "restore", "--rp", id, "--to-stdout")}
	d.call.cmd.Stdout = nil
	stdout, err := d.call.cmd.StdoutPipe()
	if err == nil {
		d.stdout = stdout
		err = d.call.cmd.Start()
	}
	if err != nil {
		d.call.cancel()
		return nil, d.call.failed(err)
	}
	return d, nil
}

// Read gives the program's bytes. Their end is an end only if the program says that all
// went well.
func (d *download) Read(p []byte) (int, error) {
	if d.ended {
		return 0, io.EOF
	}
	timer := d.call.watch(d.program.stall)
	n, err := d.stdout.Read(p)
	timer.Stop()
	if err == nil {
		return n, nil
	}
	d.ended = true
	waitErr := d.call.cmd.Wait()
	d.call.cancel()
	switch {
	case waitErr != nil:
		return n, d.call.failed(waitErr)
	case !errors.Is(err, io.EOF):
		return n, d.call.failed(err)
	}
	return n, io.EOF
}

// Close ends the program, if it still runs.
func (d *download) Close() error {
	if !d.ended {
		d.ended = true
		d.call.cancel()
		_ = d.call.cmd.Wait() // it was killed
	}
	return nil
}
