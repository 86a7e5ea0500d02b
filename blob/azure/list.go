package azurestore

import (
	"context"
	"fmt"
	"iter"
	"strings"

	"github.com/Azure/azure-sdk-for-go/sdk/storage/azblob/container"

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
	full := s.key(prefix)
	opts := &container.ListBlobsFlatOptions{Prefix: &full}
	// Where the service does not know it, all pages come from the first on.
	if from := s.key(blob.ListFrom(after)); after != "" && from > full {
		opts.StartFrom = &from
	}
	last := ""
	for pages := s.client.NewListBlobsFlatPager(opts); pages.More(); {
		page, err := pages.NextPage(ctx)
		if err != nil {
			return s.explain(ctx, actionList, prefix, err)
		}
		for _, item := range page.Segment.BlobItems { // a page may be empty, with others behind it
			key := strings.TrimPrefix(*item.Name, s.key(""))
			if !strings.HasPrefix(key, prefix) || key <= after || blob.CheckKey(key) != nil {
				continue
			}
			if key <= last {
				return fmt.Errorf("the server lists %q behind %q: coldstream needs listings in the order of keys", key, last)
			}
			if last = key; !yield(blob.Entry{Key: key, SizeBytes: *item.Properties.ContentLength}) {
				return nil
			}
		}
	}
	return ctx.Err()
}

// Foreign returns the name of any object under the prefix, or "" if there is none.
func (s *Store) Foreign(ctx context.Context) (string, error) {
	full := s.key("")
	for pages := s.client.NewListBlobsFlatPager(&container.ListBlobsFlatOptions{Prefix: &full}); pages.More(); {
		page, err := pages.NextPage(ctx)
		if err != nil {
			return "", fmt.Errorf("list: %w", s.explain(ctx, actionList, "", err))
		}
		for _, item := range page.Segment.BlobItems {
			return *item.Name, nil
		}
	}
	return "", nil
}
