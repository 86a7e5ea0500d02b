// Package gcsstore keeps objects in a bucket of Google Cloud Storage, over its JSON API:
// each created by a single upload under the condition that there is none, whose bytes the
// server checks.
package gcsstore

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"io/fs"
	"net/http"
	"net/url"
	"strings"

	"golang.org/x/oauth2"
	"golang.org/x/oauth2/google"

	"coldstream/blob"
	"coldstream/blob/internal/transport"
	"coldstream/internal/program"
)

const (
	scope           = "https://www.googleapis.com/auth/devstorage.read_write"
	defaultEndpoint = "https://storage.googleapis.com"
)

// Options say where the bucket is and how objects are stored.
type Options struct {
	Bucket string
	Prefix string // of all keys, without slashes at its ends; may be empty
	// Endpoint is the URL of the service, Google's if empty.
	Endpoint string
	CAFile   string
	// StorageClass is that of objects whose keys begin with ColdPrefix. All others have the
	// bucket's default class, since they are read often.
	StorageClass, ColdPrefix string
	// Anonymous sends no credentials: to an emulator.
	Anonymous bool
}

// Store is a [blob.Store] in a bucket.
type Store struct {
	client   *http.Client
	opts     Options
	endpoint string
	host     string
}

var _ blob.Store = (*Store)(nil)

// Open makes a client. Nothing but credentials is asked for before the first call of a
// method.
func Open(ctx context.Context, opts Options) (*Store, error) {
	s := &Store{opts: opts, endpoint: strings.TrimSuffix(opts.Endpoint, "/")}
	if s.endpoint == "" {
		s.endpoint = defaultEndpoint
	}
	u, err := url.Parse(s.endpoint)
	if err != nil || u.Host == "" || u.User != nil || u.Scheme != "http" && u.Scheme != "https" {
		return nil, errors.New("option endpoint: it must be http://HOST:PORT or https://HOST")
	}
	s.host = u.Host
	wires, err := transport.New(transport.Options{CAFile: opts.CAFile})
	if err != nil {
		return nil, err
	}
	s.client = &http.Client{Transport: transport.Asking{RoundTripper: wires}}
	if opts.Anonymous {
		return s, nil
	}
	// Tokens are asked for long after this call; its context is not theirs.
	ctx = context.WithValue(context.WithoutCancel(ctx), oauth2.HTTPClient, s.client)
	found, err := google.FindDefaultCredentials(ctx, scope)
	if err != nil {
		return nil, &blob.Failure{Err: fmt.Errorf("find Google credentials: %w", err),
			Next: "set GOOGLE_APPLICATION_CREDENTIALS, or: gcloud auth application-default login, or run where there is a service account"}
	}
	s.client = &http.Client{Transport: &oauth2.Transport{Source: found.TokenSource, Base: s.client.Transport}}
	return s, nil
}

// key is the object's name in the bucket.
func (s *Store) key(key string) string {
	if s.opts.Prefix == "" {
		return key
	}
	return s.opts.Prefix + "/" + key
}

func check(ctx context.Context, key string) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	return blob.CheckKey(key)
}

// request is one call of the API.
type request struct {
	method string
	path   string // below the endpoint
	query  url.Values
	header http.Header
	body   [][]byte
	action action
	key    string
}

func (s *Store) objects() string { return "/storage/v1/b/" + url.PathEscape(s.opts.Bucket) + "/o" }

func (s *Store) object(key string) string { return s.objects() + "/" + url.PathEscape(s.key(key)) }

// do sends a request. Answers that are none of success are errors.
func (s *Store) do(ctx context.Context, r *request) (*http.Response, error) {
	var length int64
	var parts []io.Reader
	for _, part := range r.body {
		length += int64(len(part))
		parts = append(parts, bytes.NewReader(part))
	}
	var body io.Reader
	if length > 0 {
		body = io.MultiReader(parts...)
	}
	req, err := http.NewRequestWithContext(ctx, r.method, s.endpoint+r.path+"?"+r.query.Encode(), body)
	if err != nil {
		return nil, err
	}
	req.ContentLength = length
	for name, values := range r.header {
		req.Header[name] = values
	}
	req.Header.Set("User-Agent", program.UserAgent())
	answer, err := s.client.Do(req)
	if err != nil {
		return nil, explainFailure(ctx, err)
	}
	answer.Body = &transport.Body{Ctx: ctx, ReadCloser: answer.Body}
	if answer.StatusCode/100 == 2 {
		return answer, nil
	}
	defer answer.Body.Close() //nolint:errcheck // the error is what counts
	return nil, s.explain(answer, r)
}

// Create is [blob.Store.Create].
func (s *Store) Create(ctx context.Context, key string, body []byte) error {
	err := check(ctx, key)
	if err == nil {
		err = s.upload(ctx, key, body)
	}
	if err != nil {
		return fmt.Errorf("create %s: %w", key, err)
	}
	return nil
}

type metadata struct {
	Name         string `json:"name"`
	ContentType  string `json:"contentType"`
	CRC32C       string `json:"crc32c"` // the server refuses other bytes
	StorageClass string `json:"storageClass,omitempty"`
}

// boundary stands between the two parts of an upload.
const boundary = "coldstream-7f3b1c9ae5d24086"

func (s *Store) upload(ctx context.Context, key string, body []byte) error {
	sum := crc32.Checksum(body, crc32.MakeTable(crc32.Castagnoli))
	m := metadata{Name: s.key(key), ContentType: "application/octet-stream",
		CRC32C: base64.StdEncoding.EncodeToString(binary.BigEndian.AppendUint32(nil, sum))}
	if strings.HasPrefix(key, s.opts.ColdPrefix) {
		m.StorageClass = s.opts.StorageClass
	}
	text, err := json.Marshal(m)
	if err != nil {
		return err
	}
	mark := boundaryFor(body)
	answer, err := s.do(ctx, &request{
		method: http.MethodPost, path: "/upload" + s.objects(), action: actionCreate, key: key,
		query:  url.Values{"uploadType": {"multipart"}, "ifGenerationMatch": {"0"}, "fields": {"crc32c"}},
		header: http.Header{"Content-Type": {"multipart/related; boundary=" + mark}},
		body: [][]byte{
			[]byte("--" + mark + "\r\nContent-Type: application/json; charset=UTF-8\r\n\r\n"), text,
			[]byte("\r\n--" + mark + "\r\nContent-Type: application/octet-stream\r\n\r\n"), body,
			[]byte("\r\n--" + mark + "--\r\n"),
		},
	})
	if err != nil {
		return err
	}
	return answer.Body.Close()
}

// boundaryFor is a text that the body does not have in it.
func boundaryFor(body []byte) string {
	mark := boundary
	for bytes.Contains(body, []byte(mark)) {
		mark += "-"
	}
	return mark
}

// get asks for an object, or for a part of it.
func (s *Store) get(ctx context.Context, key string, header http.Header) (*http.Response, error) {
	return s.do(ctx, &request{
		method: http.MethodGet, path: s.object(key), action: actionGet, key: key,
		query: url.Values{"alt": {"media"}}, header: header,
	})
}

// Open is [blob.Store.Open].
func (s *Store) Open(ctx context.Context, key string) (io.ReadCloser, int64, error) {
	err := check(ctx, key)
	if err == nil {
		var answer *http.Response
		if answer, err = s.get(ctx, key, nil); err == nil {
			if answer.ContentLength >= 0 {
				return answer.Body, answer.ContentLength, nil
			}
			err = errors.Join(errors.New("the server does not say how long the object is"), answer.Body.Close())
		}
	}
	return nil, 0, fmt.Errorf("open %s: %w", key, err)
}

// Read is [blob.Store.Read].
func (s *Store) Read(ctx context.Context, key string, offset, length int64) ([]byte, error) {
	err := check(ctx, key)
	if err == nil && (offset < 0 || length < 0) {
		err = errors.New("negative range")
	}
	if err == nil {
		var out []byte
		if out, err = s.read(ctx, key, offset, length); err == nil {
			return out, nil
		}
	}
	return nil, fmt.Errorf("read %s: %w", key, err)
}

func (s *Store) read(ctx context.Context, key string, offset, length int64) ([]byte, error) {
	if length == 0 || offset+length < 0 { // there is no such range to ask for
		r, size, err := s.Open(ctx, key)
		if err != nil {
			return nil, err
		}
		if offset > size || length > 0 {
			return nil, errors.Join(io.ErrUnexpectedEOF, r.Close())
		}
		return []byte{}, r.Close()
	}
	answer, err := s.get(ctx, key, http.Header{"Range": {fmt.Sprintf("bytes=%d-%d", offset, offset+length-1)}})
	if err != nil {
		return nil, err
	}
	defer answer.Body.Close() //nolint:errcheck // what was wanted was read
	switch {
	case answer.StatusCode != http.StatusPartialContent || !strings.HasPrefix(answer.Header.Get("Content-Range"), fmt.Sprintf("bytes %d-", offset)):
		return nil, errors.New("the server does not answer with the range that it was asked for")
	case answer.ContentLength >= 0 && answer.ContentLength < length:
		return nil, io.ErrUnexpectedEOF
	}
	out := make([]byte, length)
	if _, err := io.ReadFull(answer.Body, out); err != nil {
		if errors.Is(err, io.EOF) {
			err = io.ErrUnexpectedEOF
		}
		return nil, err
	}
	return out, nil
}

// Delete is [blob.Store.Delete].
func (s *Store) Delete(ctx context.Context, key string) error {
	err := check(ctx, key)
	if err == nil {
		var answer *http.Response
		answer, err = s.do(ctx, &request{method: http.MethodDelete, path: s.object(key), action: actionDelete, key: key})
		if err == nil {
			err = answer.Body.Close()
		}
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
	}
	if err != nil {
		return fmt.Errorf("delete %s: %w", key, err)
	}
	return nil
}
