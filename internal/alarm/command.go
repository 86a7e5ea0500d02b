package alarm

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"time"
)

// The kinds of what a command is told.
const (
	KindGap      = "gap"
	KindDamage   = "damage"
	KindRPO      = "rpo"
	KindRPOAgain = "rpo_ok"
)

// Event is what a command gets on stdin, as one JSON document.
type Event struct {
	SchemaVersion int    `json:"schema_version"`
	Event         string `json:"event"`
	Time          string `json:"time"`
	Text          string `json:"text"`
	Topic         string `json:"topic,omitempty"`
	Partition     *int32 `json:"partition,omitempty"`
	FirstOffset   *int64 `json:"first_offset,omitempty"`
	NextOffset    *int64 `json:"next_offset,omitempty"`
	Cause         string `json:"cause,omitempty"`

	RPOSeconds    *float64 `json:"rpo_seconds,omitempty"`
	MaxRPOSeconds *float64 `json:"max_rpo_seconds,omitempty"`
}

// The results of a command.
const (
	ResultOK      = "ok"
	ResultFailed  = "failed"
	ResultDropped = "dropped"
)

// Command runs a command of the user for each event, one at a time.
type Command struct {
	line  string
	queue chan Event
	// Timeout ends a command that takes longer; a minute by default.
	Timeout time.Duration
	// Done is told of each event.
	Done func(result string, err error)
}

const (
	maxQueued = 64
	maxOutput = 1 << 10 // of what a command says that failed
)

// NewCommand makes a command of a line for the shell.
func NewCommand(line string) *Command {
	return &Command{line: line, queue: make(chan Event, maxQueued), Timeout: time.Minute}
}

// Tell takes an event in, and returns at once. Where too many wait it is dropped.
func (c *Command) Tell(e Event) {
	e.SchemaVersion = 1
	select {
	case c.queue <- e:
	default:
		c.Done(ResultDropped, errors.New("too many events wait for the command; one is dropped"))
	}
}

// Run runs the command for events until ctx is done. Then what waits is dropped.
func (c *Command) Run(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case e := <-c.queue:
			if err := c.run(ctx, &e); err != nil {
				if ctx.Err() == nil {
					c.Done(ResultFailed, err)
				}
				continue
			}
			c.Done(ResultOK, nil)
		}
	}
}

func (c *Command) run(ctx context.Context, e *Event) error {
	stdin, err := json.Marshal(e)
	if err != nil {
		return fmt.Errorf("encode event: %w", err)
	}
	ctx, cancel := context.WithTimeout(ctx, c.Timeout)
	defer cancel()
	name, args := shell(c.line)
	cmd := exec.CommandContext(ctx, name, args...)
	ownGroup(cmd)
	cmd.WaitDelay = time.Second // for who holds the output open
	cmd.Stdin = bytes.NewReader(append(stdin, '\n'))
	said := &tail{}
	cmd.Stdout, cmd.Stderr = said, said
	cmd.Env = append(os.Environ(), "COLDSTREAM_EVENT="+e.Event, "COLDSTREAM_TOPIC="+e.Topic)
	err = cmd.Run()
	if ctx.Err() != nil {
		err = fmt.Errorf("it took longer than %s", c.Timeout)
	}
	if err != nil {
		return fmt.Errorf("the command for event %s: %w%s", e.Event, err, said.text())
	}
	return nil
}

// tail keeps the end of what is written to it.
type tail struct{ b []byte }

// Write is [io.Writer].
func (t *tail) Write(p []byte) (int, error) {
	t.b = append(t.b, p...)
	if n := len(t.b) - maxOutput; n > 0 {
		t.b = append(t.b[:0], t.b[n:]...)
	}
	return len(p), nil
}

func (t *tail) text() string {
	if said := bytes.TrimSpace(t.b); len(said) > 0 {
		return ": " + string(said)
	}
	return ""
}
