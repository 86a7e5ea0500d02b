// Package azurestore keeps objects in a container of Azure Blob Storage: each created by a
// single conditional PUT, whose bytes the server checks.
package azurestore

import (
	"bytes"
	"context"
	"crypto/md5" //nolint:gosec // the checksum that the service asks for
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"
	"github.com/Azure/azure-sdk-for-go/sdk/azidentity"
	azblob "github.com/Azure/azure-sdk-for-go/sdk/storage/azblob/blob"
	"github.com/Azure/azure-sdk-for-go/sdk/storage/azblob/blockblob"
	"github.com/Azure/azure-sdk-for-go/sdk/storage/azblob/container"

	"coldstream/blob"
	"coldstream/blob/internal/transport"
	"coldstream/internal/program"
)

// Options say where the container is and how objects are stored.
type Options struct {
	Account   string
	Container string
	Prefix    string // of all keys, without slashes at its ends; may be empty
	// Endpoint is the URL of the account's blobs; Azure's if empty.
	Endpoint string
	CAFile   string
	// Tier is the access tier of objects whose keys begin with ColdPrefix. All others have
	// the account's default, since they are read often.
	Tier, ColdPrefix string
	// Login is how to log in. If it is empty, Azure's own ways are tried: environment,
	// workload identity, managed identity, az login.
	Login Login
}

// Login is a way to log in that the environment gives. The first that is not empty counts.
type Login struct {
	ConnectionString string // names account and endpoint too
	AccountKey       string
	SAS              string // a shared access signature, without the '?' before it
}

// Store is a [blob.Store] in a container.
type Store struct {
	client *container.Client
	opts   Options
	host   string
}

var _ blob.Store = (*Store)(nil)

// Open makes a client. Nothing is sent before the first call of a method.
func Open(opts Options) (*Store, error) {
	wires, err := transport.New(transport.Options{CAFile: opts.CAFile})
	if err != nil {
		return nil, err
	}
	client := azcore.ClientOptions{
		Transport: &http.Client{Transport: transport.Asking{RoundTripper: wires}},
		Telemetry: policy.TelemetryOptions{ApplicationID: program.UserAgent()},
		Retry:     policy.RetryOptions{MaxRetries: -1}, // blob/retry retries, and only it
	}
	c, err := connect(&opts, client)
	if err != nil {
		return nil, err
	}
	u, err := url.Parse(c.URL())
	if err != nil {
		return nil, errors.New("the endpoint of the storage account is not a URL")
	}
	return &Store{client: c, opts: opts, host: u.Host}, nil
}

func connect(opts *Options, client azcore.ClientOptions) (*container.Client, error) {
	options := &container.ClientOptions{ClientOptions: client}
	if opts.Login.ConnectionString != "" {
		c, err := container.NewClientFromConnectionString(opts.Login.ConnectionString, opts.Container, options)
		if err != nil {
			return nil, errors.New("AZURE_STORAGE_CONNECTION_STRING is not a connection string") // what is wrong may be the secret
		}
		return c, nil
	}
	if opts.Account == "" {
		return nil, errors.New("option account: name the storage account")
	}
	at := opts.Endpoint
	if at == "" {
		at = "https://" + opts.Account + ".blob.core.windows.net"
	}
	at = strings.TrimSuffix(at, "/") + "/" + opts.Container
	switch {
	case opts.Login.AccountKey != "":
		key, err := container.NewSharedKeyCredential(opts.Account, opts.Login.AccountKey)
		if err != nil {
			return nil, errors.New("AZURE_STORAGE_KEY is not a key of a storage account")
		}
		return container.NewClientWithSharedKeyCredential(at, key, options)
	case opts.Login.SAS != "":
		return container.NewClientWithNoCredential(at+"?"+strings.TrimPrefix(opts.Login.SAS, "?"), options)
	}
	identity, err := azidentity.NewDefaultAzureCredential(nil)
	if err != nil {
		return nil, fmt.Errorf("find Azure credentials: %w", err)
	}
	return container.NewClient(at, identity, options)
}

// key is the object's name in the container.
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

// Create is [blob.Store.Create].
func (s *Store) Create(ctx context.Context, key string, body []byte) error {
	err := check(ctx, key)
	if err == nil {
		err = s.put(ctx, key, body)
	}
	if err != nil {
		return fmt.Errorf("create %s: %w", key, err)
	}
	return nil
}

type seekCloser struct{ *bytes.Reader }

func (seekCloser) Close() error { return nil }

func (s *Store) put(ctx context.Context, key string, body []byte) error {
	sum := md5.Sum(body) //nolint:gosec // as above
	any := azcore.ETagAny
	opts := &blockblob.UploadOptions{
		TransactionalValidation: azblob.TransferValidationTypeMD5(sum[:]),
		AccessConditions: &azblob.AccessConditions{
			ModifiedAccessConditions: &azblob.ModifiedAccessConditions{IfNoneMatch: &any},
		},
	}
	if s.opts.Tier != "" && strings.HasPrefix(key, s.opts.ColdPrefix) {
		tier := azblob.AccessTier(s.opts.Tier)
		opts.Tier = &tier
	}
	_, err := s.client.NewBlockBlobClient(s.key(key)).Upload(ctx, seekCloser{bytes.NewReader(body)}, opts)
	return s.explain(ctx, actionWrite, key, err)
}

func (s *Store) open(ctx context.Context, key string, at azblob.HTTPRange) (*azblob.DownloadStreamResponse, error) {
	r, err := s.client.NewBlobClient(s.key(key)).DownloadStream(ctx, &azblob.DownloadStreamOptions{Range: at})
	if err != nil {
		return nil, s.explain(ctx, actionRead, key, err)
	}
	if r.ContentLength == nil {
		return nil, errors.Join(errors.New("the server does not say how long the object is"), r.Body.Close())
	}
	r.Body = &transport.Body{Ctx: ctx, ReadCloser: r.Body}
	return &r, nil
}

// Open is [blob.Store.Open].
func (s *Store) Open(ctx context.Context, key string) (io.ReadCloser, int64, error) {
	err := check(ctx, key)
	if err == nil {
		var r *azblob.DownloadStreamResponse
		if r, err = s.open(ctx, key, azblob.HTTPRange{}); err == nil {
			return r.Body, *r.ContentLength, nil
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
		r, err := s.open(ctx, key, azblob.HTTPRange{})
		if err != nil {
			return nil, err
		}
		if offset > *r.ContentLength || length > 0 {
			return nil, errors.Join(io.ErrUnexpectedEOF, r.Body.Close())
		}
		return []byte{}, r.Body.Close()
	}
	r, err := s.open(ctx, key, azblob.HTTPRange{Offset: offset, Count: length})
	if err != nil {
		return nil, err
	}
	defer r.Body.Close() //nolint:errcheck // what was wanted was read
	switch {
	case r.ContentRange == nil || !strings.HasPrefix(*r.ContentRange, fmt.Sprintf("bytes %d-", offset)):
		return nil, errors.New("the server does not answer with the range that it was asked for")
	case *r.ContentLength < length:
		return nil, io.ErrUnexpectedEOF
	}
	out := make([]byte, length)
	if _, err := io.ReadFull(r.Body, out); err != nil {
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
		_, err = s.client.NewBlobClient(s.key(key)).Delete(ctx, nil)
		if err = s.explain(ctx, actionDelete, key, err); isAbsent(err) {
			return nil
		}
	}
	if err != nil {
		return fmt.Errorf("delete %s: %w", key, err)
	}
	return nil
}
