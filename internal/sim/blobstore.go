package sim

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"iter"
	"sync"

	"coldstream/blob"
)

// Client is a [blob.Store] over the model: for code that knows nothing of simulation.
type Client struct {
	do          func(op Op) (Answer, error)
	conditional bool
	pageLimit   int
}

var _ blob.Store = (*Client)(nil)

// Blob is the process's way to the store: each call is an operation, a listing one for
// each page.
func (p *Proc) Blob() *Client {
	return &Client{do: p.Do, conditional: p.sched.Store.Conditional, pageLimit: p.sched.Store.PageLimit}
}

// Blob is the store outside of any schedule: nothing goes wrong there.
func (s *Store) Blob() *Client {
	var mu sync.Mutex
	return &Client{conditional: s.Conditional, pageLimit: s.PageLimit, do: func(op Op) (Answer, error) {
		mu.Lock()
		defer mu.Unlock()
		answer := s.do(&op)
		return answer, answer.Err
	}}
}

func check(ctx context.Context, key string) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	return blob.CheckKey(key)
}

// Create is [blob.Store.Create]. On a store without conditional create it looks first,
// which is all that a driver can do there.
func (c *Client) Create(ctx context.Context, key string, body []byte) error {
	if err := check(ctx, key); err != nil {
		return err
	}
	if !c.conditional {
		switch _, err := c.do(Op{Kind: OpRead, Key: key}); {
		case err == nil:
			return fmt.Errorf("create %s: %w", key, fs.ErrExist)
		case !errors.Is(err, fs.ErrNotExist):
			return fmt.Errorf("create %s: %w", key, err)
		}
	}
	if _, err := c.do(Op{Kind: OpCreate, Key: key, Body: append([]byte{}, body...)}); err != nil {
		return fmt.Errorf("create %s: %w", key, err)
	}
	return nil
}

func (c *Client) get(ctx context.Context, key string) ([]byte, error) {
	if err := check(ctx, key); err != nil {
		return nil, err
	}
	answer, err := c.do(Op{Kind: OpRead, Key: key})
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", key, err)
	}
	return answer.Body.([]byte), nil
}

// Read is [blob.Store.Read].
func (c *Client) Read(ctx context.Context, key string, offset, length int64) ([]byte, error) {
	body, err := c.get(ctx, key)
	if err != nil {
		return nil, err
	}
	if offset < 0 || length < 0 {
		return nil, fmt.Errorf("read %s: negative range", key)
	}
	if offset > int64(len(body)) || length > int64(len(body))-offset {
		return nil, fmt.Errorf("read %s: %w", key, io.ErrUnexpectedEOF)
	}
	return append([]byte{}, body[offset:offset+length]...), nil
}

// Open is [blob.Store.Open].
func (c *Client) Open(ctx context.Context, key string) (io.ReadCloser, int64, error) {
	body, err := c.get(ctx, key)
	if err != nil {
		return nil, 0, err
	}
	return io.NopCloser(bytes.NewReader(body)), int64(len(body)), nil
}

// List is [blob.Store.List].
func (c *Client) List(ctx context.Context, prefix, after string) iter.Seq2[blob.Entry, error] {
	return func(yield func(blob.Entry, error) bool) {
		op := Op{Kind: OpList, Key: prefix, After: after, Limit: c.pageLimit}
		for {
			if err := ctx.Err(); err != nil {
				yield(blob.Entry{}, err)
				return
			}
			answer, err := c.do(op)
			if err != nil {
				yield(blob.Entry{}, fmt.Errorf("list %s: %w", prefix, err))
				return
			}
			for _, o := range answer.Objects {
				if !yield(blob.Entry{Key: o.Key, SizeBytes: int64(len(o.Body.([]byte)))}, nil) {
					return
				}
			}
			if len(answer.Objects) < c.pageLimit {
				return
			}
			op.After = answer.Objects[len(answer.Objects)-1].Key
		}
	}
}

// Delete is [blob.Store.Delete].
func (c *Client) Delete(ctx context.Context, key string) error {
	if err := check(ctx, key); err != nil {
		return err
	}
	if _, err := c.do(Op{Kind: OpDelete, Key: key}); err != nil {
		return fmt.Errorf("delete %s: %w", key, err)
	}
	return nil
}
