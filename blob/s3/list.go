package s3store

import (
	"context"
	"iter"
	"strings"

	"github.com/minio/minio-go/v7"

	"coldstream/blob"
	"coldstream/blob/internal/listing"
)

// List is [blob.Store.List].
func (s *Store) List(ctx context.Context, prefix, after string) iter.Seq2[blob.Entry, error] {
	return listing.Keys(ctx, s.names, s.key(""), prefix, after)
}

// Foreign returns the name of any object under the prefix, or "" if there is none.
func (s *Store) Foreign(ctx context.Context) (string, error) {
	return listing.First(ctx, s.names, s.key(""))
}

func (s *Store) names(ctx context.Context, prefix, from string) iter.Seq2[blob.Entry, error] {
	return func(yield func(blob.Entry, error) bool) {
		noOwner := false
		opts := minio.ListObjectsOptions{Prefix: prefix, Recursive: true, FetchOwner: &noOwner, StartAfter: from}
		for object := range s.api.ListObjectsIter(ctx, s.opts.Bucket, opts) {
			if object.Err != nil {
				yield(blob.Entry{}, s.explain(ctx, actionList, strings.TrimPrefix(prefix, s.key("")), object.Err))
				return
			}
			if !yield(blob.Entry{Key: object.Key, SizeBytes: object.Size}, nil) {
				return
			}
		}
	}
}
