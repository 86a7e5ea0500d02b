package gcsstore

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"iter"
	"net/http"
	"net/url"
	"strconv"
	"strings"

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
	last, token := "", ""
	for {
		page, err := s.page(ctx, prefix, blob.ListFrom(after), token)
		if err != nil {
			return err
		}
		for _, item := range page.Items {
			key := strings.TrimPrefix(item.Name, s.key(""))
			if !strings.HasPrefix(key, prefix) || key <= after || blob.CheckKey(key) != nil {
				continue
			}
			if key <= last {
				return fmt.Errorf("the server lists %q behind %q: coldstream needs listings in the order of keys", key, last)
			}
			size, err := strconv.ParseInt(item.Size, 10, 64)
			if err != nil {
				return fmt.Errorf("the server lists %q with size %q", key, item.Size)
			}
			if last = key; !yield(blob.Entry{Key: key, SizeBytes: size}) {
				return nil
			}
		}
		if token = page.NextPageToken; token == "" {
			return nil
		}
	}
}

type listPage struct {
	Items []struct {
		Name string `json:"name"`
		Size string `json:"size"`
	} `json:"items"`
	NextPageToken string `json:"nextPageToken"`
}

const maxPageBytes = 16 << 20

func (s *Store) page(ctx context.Context, prefix, from, token string) (*listPage, error) {
	query := url.Values{"prefix": {s.key(prefix)}, "maxResults": {"1000"}, "fields": {"nextPageToken,items(name,size)"}}
	if from != "" {
		query.Set("startOffset", s.key(from))
	}
	if token != "" {
		query.Set("pageToken", token)
	}
	answer, err := s.do(ctx, &request{method: http.MethodGet, path: s.objects(), query: query, action: actionList, key: prefix})
	if err != nil {
		return nil, err
	}
	defer answer.Body.Close() //nolint:errcheck // what was wanted was read
	body, err := io.ReadAll(io.LimitReader(answer.Body, maxPageBytes))
	if err != nil {
		return nil, err
	}
	var page listPage
	if err := json.Unmarshal(body, &page); err != nil {
		return nil, fmt.Errorf("the server's listing cannot be read: %w", err)
	}
	return &page, nil
}

// Foreign returns the name of any object under the prefix, or "" if there is none.
func (s *Store) Foreign(ctx context.Context) (string, error) {
	page, err := s.page(ctx, "", "", "")
	if err != nil {
		return "", fmt.Errorf("list: %w", err)
	}
	for _, item := range page.Items {
		return item.Name, nil
	}
	return "", nil
}
