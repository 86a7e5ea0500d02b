package s3store

import (
	"context"
	"fmt"
	"iter"
	"strings"

	"github.com/minio/minio-go/v7"

	"coldstream/blob"
)

// List is [blob.Store.List]. A name that is no key is passed over: what people and other
// programs leave under the prefix.
func (s *Store) List(ctx context.Context, prefix, after string) iter.Seq2[blob.Entry, error] {
	return func(yield func(blob.Entry, error) bool) {
		if err := s.list(ctx, prefix, after, func(e blob.Entry) bool { return yield(e, nil) }); err != nil {
			yield(blob.Entry{}, fmt.Errorf("list %q: %w", prefix, err))
		}
	}
}

func (s *Store) list(ctx context.Context, prefix, after string, yield func(blob.Entry) bool) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	if !blob.MayBegin(prefix) {
		return nil
	}
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	noOwner := false
	opts := minio.ListObjectsOptions{Prefix: s.key(prefix), Recursive: true, FetchOwner: &noOwner}
	if after != "" {
		opts.StartAfter = s.key(blob.ListFrom(after))
	}
	last := ""
	for object := range s.api.ListObjectsIter(ctx, s.opts.Bucket, opts) {
		if object.Err != nil {
			return s.explain(ctx, actionList, prefix, object.Err)
		}
		key := strings.TrimPrefix(object.Key, s.key(""))
		if !strings.HasPrefix(key, prefix) || key <= after || blob.CheckKey(key) != nil {
			continue
		}
		if key <= last {
			return fmt.Errorf("the server lists %q behind %q: coldstream needs listings in the order of keys", key, last)
		}
		if last = key; !yield(blob.Entry{Key: key, SizeBytes: object.Size}) {
			return nil
		}
	}
	return ctx.Err() // the client ends a listing without a word when its context does
}

// Foreign returns the name of any object under the prefix, or "" if there is none.
func (s *Store) Foreign(ctx context.Context) (string, error) {
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	for object := range s.api.ListObjectsIter(ctx, s.opts.Bucket, minio.ListObjectsOptions{Prefix: s.key(""), Recursive: true, MaxKeys: 1}) {
		if object.Err != nil {
			return "", fmt.Errorf("list: %w", s.explain(ctx, actionList, "", object.Err))
		}
		return object.Key, nil
	}
	return "", ctx.Err()
}
