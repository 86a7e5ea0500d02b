package azurestore

import (
	"context"
	"iter"
	"strings"

	"github.com/Azure/azure-sdk-for-go/sdk/storage/azblob/container"

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
		opts := &container.ListBlobsFlatOptions{Prefix: &prefix}
		if from > prefix { // where the service does not know it, all pages come from the first on
			opts.StartFrom = &from
		}
		for pages := s.client.NewListBlobsFlatPager(opts); pages.More(); {
			page, err := pages.NextPage(ctx)
			if err != nil {
				yield(blob.Entry{}, s.explain(ctx, actionList, strings.TrimPrefix(prefix, s.key("")), err))
				return
			}
			for _, item := range page.Segment.BlobItems { // a page may be empty, with others behind it
				if !yield(blob.Entry{Key: *item.Name, SizeBytes: *item.Properties.ContentLength}, nil) {
					return
				}
			}
		}
	}
}
