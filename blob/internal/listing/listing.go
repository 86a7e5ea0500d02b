// Package listing makes a listing of keys of what a service of buckets lists: names with a prefix in
// front, of which some are no keys, in pages.
package listing

import (
	"context"
	"fmt"
	"iter"
	"strings"

	"coldstream/blob"
)

// Names lists the names in a bucket that begin with prefix, from the name from on if it is not
// empty. It may begin earlier.
type Names func(ctx context.Context, prefix, from string) iter.Seq2[blob.Entry, error]

// Keys is [blob.Store.List] for keys that have root before them in the bucket. A name that is no key
// is passed over: what people and other programs leave under the prefix.
func Keys(ctx context.Context, names Names, root string, prefix, after string) iter.Seq2[blob.Entry, error] {
	return func(yield func(blob.Entry, error) bool) {
		if err := keys(ctx, names, root, &bounds{prefix, after}, yield); err != nil {
			yield(blob.Entry{}, fmt.Errorf("list %q: %w", prefix, err))
		}
	}
}

type bounds struct{ prefix, after string }

func keys(ctx context.Context, names Names, root string, of *bounds, yield func(blob.Entry, error) bool) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	if !blob.MayBegin(of.prefix) {
		return nil
	}
	from := ""
	if of.after != "" {
		from = root + blob.ListFrom(of.after)
	}
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	last := ""
	for e, err := range names(ctx, root+of.prefix, from) {
		if err != nil {
			return err
		}
		e.Key = strings.TrimPrefix(e.Key, root)
		if !strings.HasPrefix(e.Key, of.prefix) || e.Key <= of.after || blob.CheckKey(e.Key) != nil {
			continue
		}
		if e.Key <= last {
			return fmt.Errorf("the server lists %q behind %q: coldstream needs listings in the order of keys", e.Key, last)
		}
		if last = e.Key; !yield(e, nil) {
			return nil
		}
	}
	return ctx.Err() // a client may end a listing without a word when its context does
}

// First is the first name that begins with root, or "" if there is none.
func First(ctx context.Context, names Names, root string) (string, error) {
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	for e, err := range names(ctx, root, "") {
		if err != nil {
			return "", fmt.Errorf("list: %w", err)
		}
		return e.Key, nil
	}
	return "", ctx.Err()
}
