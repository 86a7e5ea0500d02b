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
		for token, more := "", true; more; more = token != "" {
			page, err := s.page(ctx, prefix, from, token)
			if err != nil {
				yield(blob.Entry{}, err)
				return
			}
			for _, item := range page.Items {
				size, err := strconv.ParseInt(item.Size, 10, 64)
				if err != nil {
					err = fmt.Errorf("the server lists %q with size %q", item.Name, item.Size)
				}
				if !yield(blob.Entry{Key: item.Name, SizeBytes: size}, err) || err != nil {
					return
				}
			}
			token = page.NextPageToken
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
	query := url.Values{"prefix": {prefix}, "maxResults": {"1000"}, "fields": {"nextPageToken,items(name,size)"}}
	if from != "" {
		query.Set("startOffset", from)
	}
	if token != "" {
		query.Set("pageToken", token)
	}
	answer, err := s.do(ctx, &request{method: http.MethodGet, path: s.objects(), query: query, action: actionList, key: strings.TrimPrefix(prefix, s.key(""))})
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
