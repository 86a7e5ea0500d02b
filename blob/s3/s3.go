// Package s3store keeps objects in a bucket of S3, or of one of the many that speak its
// protocol: each created by a single conditional PUT, whose bytes the server checks.
package s3store

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"io/fs"
	"net/url"
	"strings"

	"github.com/minio/minio-go/v7"
	"github.com/minio/minio-go/v7/pkg/credentials"
	"github.com/minio/minio-go/v7/pkg/encrypt"

	"coldstream/blob"
	"coldstream/blob/internal/transport"
	"coldstream/internal/awscreds"
	"coldstream/internal/program"
)

// Options say where the bucket is and how objects are stored.
type Options struct {
	Bucket string
	Prefix string // of all keys, without slashes at its ends; may be empty
	// Endpoint is a URL, or a host that is spoken to by TLS; Amazon's of the region if empty.
	Endpoint  string
	Region    string
	PathStyle *bool // the bucket in the path, or in the host; by the endpoint if nil
	CAFile    string
	// StorageClass is that of objects whose keys begin with ColdPrefix. All others are
	// stored in the bucket's default class, since they are read often.
	StorageClass, ColdPrefix string
	Encryption               Encryption
	Credentials              *awscreds.Source
}

// Encryption is what the server encrypts objects with, if the bucket's default is not it.
type Encryption struct {
	Kind   string // "", s3, kms, c
	KMSKey string // of kms; the account's default if empty
	Key    []byte // of c: 32 bytes, which the server forgets
}

// Store is a [blob.Store] in a bucket.
type Store struct {
	api     minio.Core
	opts    Options
	region  string
	host    string
	plain   bool // no TLS: payloads are signed
	sse     encrypt.ServerSide
	replace bool // see [Store.Unconditional]
	lock    *blob.Lock
	version string // of objects that are read; the newest if empty
}

var (
	_ blob.Store         = (*Store)(nil)
	_ blob.Unconditional = (*Store)(nil)
)

// Open makes a client. Nothing is sent before the first call of a method.
func Open(opts Options) (*Store, error) {
	s := &Store{opts: opts, region: opts.Region}
	if s.region == "" {
		s.region = opts.Credentials.Region()
	}
	if s.region == "" {
		s.region = "us-east-1"
	}
	endpoint, err := opts.endpoint(s.region)
	if err != nil {
		return nil, err
	}
	s.host, s.plain = endpoint.Host, endpoint.Scheme == "http"
	if s.sse, err = opts.Encryption.serverSide(); err != nil {
		return nil, err
	}
	wires, err := transport.New(transport.Options{CAFile: opts.CAFile})
	if err != nil {
		return nil, err
	}
	lookup := minio.BucketLookupAuto
	if opts.PathStyle != nil {
		lookup = minio.BucketLookupDNS
		if *opts.PathStyle {
			lookup = minio.BucketLookupPath
		}
	}
	client, err := minio.New(endpoint.Host, &minio.Options{
		Creds:  credentials.New(provider{opts.Credentials}),
		Secure: !s.plain, Region: s.region, Transport: transport.Asking{RoundTripper: wires}, BucketLookup: lookup,
		MaxRetries: 1, // blob/retry retries, and only it
	})
	if err != nil {
		return nil, fmt.Errorf("endpoint %s: %w", endpoint.Host, err)
	}
	client.SetAppInfo(program.Name, program.Version())
	s.api = minio.Core{Client: client}
	return s, nil
}

// Check says what of the options cannot be, before anything is opened.
func (o *Options) Check() error {
	if _, err := o.endpoint("any"); err != nil {
		return err
	}
	_, err := o.Encryption.serverSide()
	return err
}

func (o *Options) endpoint(region string) (*url.URL, error) {
	raw := o.Endpoint
	if raw == "" {
		raw = "s3." + region + ".amazonaws.com"
		if strings.HasPrefix(region, "cn-") {
			raw += ".cn"
		}
	}
	if !strings.Contains(raw, "://") {
		raw = "https://" + raw
	}
	u, err := url.Parse(raw)
	if err != nil || u.Host == "" || u.User != nil || u.Scheme != "http" && u.Scheme != "https" || strings.Trim(u.Path, "/") != "" || u.RawQuery != "" {
		return nil, errors.New("option endpoint: it must be http://HOST:PORT, https://HOST:PORT or HOST:PORT")
	}
	return u, nil
}

func (e *Encryption) serverSide() (encrypt.ServerSide, error) {
	switch e.Kind {
	case "":
		return nil, nil //nolint:nilnil // the bucket's own
	case "s3":
		return encrypt.NewSSE(), nil
	case "kms":
		return encrypt.NewSSEKMS(e.KMSKey, nil)
	case "c":
		return encrypt.NewSSEC(e.Key)
	}
	return nil, fmt.Errorf("option sse: %q is none of s3, kms, c", e.Kind)
}

// provider gives the client credentials. The source keeps them; so here they count as
// expired always.
type provider struct{ source *awscreds.Source }

func (p provider) RetrieveWithCredContext(cc *credentials.CredContext) (credentials.Value, error) {
	v, err := p.source.Get(cc.Context)
	if err != nil {
		return credentials.Value{}, &blob.Failure{Err: err, Next: "set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or AWS_PROFILE (or the option profile), or run where there is a role"}
	}
	return credentials.Value{
		AccessKeyID: v.AccessKeyID, SecretAccessKey: v.SecretAccessKey, SessionToken: v.SessionToken,
		SignerType: credentials.SignatureV4,
	}, nil
}

func (p provider) Retrieve() (credentials.Value, error) {
	return credentials.Value{}, errors.New("credentials are asked for with a context")
}

func (provider) IsExpired() bool { return true }

// Unconditional is [blob.Unconditional]: the same bucket on a server that knows no
// If-None-Match.
func (s *Store) Unconditional() blob.Store {
	other := *s
	other.replace = true
	return &other
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

func (s *Store) put(ctx context.Context, key string, body []byte) error {
	if s.replace {
		if _, err := s.size(ctx, key); !errors.Is(err, fs.ErrNotExist) {
			if err == nil {
				err = fs.ErrExist
			}
			return err
		}
	}
	opts := minio.PutObjectOptions{
		ContentType:          "application/octet-stream",
		ServerSideEncryption: s.sse,
		DisableMultipart:     true,
		DisableContentSha256: true, // no chunks with signatures of their own: one for all
		UserMetadata:         map[string]string{},
	}
	md5Sum, sha256Sum := "", ""
	if s.replace {
		// Who knows no conditions may not know newer checksums either.
		md5Sum = contentMD5(body)
	} else {
		opts.SetMatchETagExcept("*") // If-None-Match
		opts.UserMetadata["x-amz-checksum-crc32c"] = checksum(body)
	}
	if s.plain {
		sum := sha256.Sum256(body)
		sha256Sum = hex.EncodeToString(sum[:])
	}
	if s.opts.StorageClass != "" && strings.HasPrefix(key, s.opts.ColdPrefix) {
		opts.StorageClass = s.opts.StorageClass
	}
	if s.lock != nil {
		opts.Mode, opts.RetainUntilDate = modeOf(s.lock.Compliance), lockEnd(s.lock)
	}
	info, err := s.api.PutObject(ctx, s.opts.Bucket, s.key(key), bytes.NewReader(body), int64(len(body)), md5Sum, sha256Sum, opts)
	if err != nil {
		return s.explain(ctx, actionPut, key, err)
	}
	if want := opts.UserMetadata["x-amz-checksum-crc32c"]; want != "" && info.ChecksumCRC32C != "" && info.ChecksumCRC32C != want {
		return fmt.Errorf("the server stored other bytes: it says CRC-32C %s, sent was %s", info.ChecksumCRC32C, want)
	}
	return nil
}

func checksum(body []byte) string {
	sum := crc32.Checksum(body, crc32.MakeTable(crc32.Castagnoli))
	return base64.StdEncoding.EncodeToString(binary.BigEndian.AppendUint32(nil, sum))
}

// size asks for an object without reading it.
func (s *Store) size(ctx context.Context, key string) (int64, error) {
	r, size, err := s.open(ctx, key)
	if err != nil {
		return 0, err
	}
	return size, r.Close()
}

func (s *Store) open(ctx context.Context, key string) (io.ReadCloser, int64, error) {
	r, info, _, err := s.api.GetObject(ctx, s.opts.Bucket, s.key(key), s.getOptions())
	if err != nil {
		return nil, 0, s.explain(ctx, actionGet, key, err)
	}
	return &transport.Body{Ctx: ctx, ReadCloser: r}, info.Size, nil
}

func (s *Store) getOptions() minio.GetObjectOptions {
	opts := minio.GetObjectOptions{VersionID: s.version}
	if s.opts.Encryption.Kind == "c" {
		opts.ServerSideEncryption = s.sse
	}
	return opts
}

// Open is [blob.Store.Open].
func (s *Store) Open(ctx context.Context, key string) (io.ReadCloser, int64, error) {
	err := check(ctx, key)
	if err == nil {
		var r io.ReadCloser
		var size int64
		if r, size, err = s.open(ctx, key); err == nil {
			return r, size, nil
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
		size, err := s.size(ctx, key)
		if err == nil && (offset > size || length > 0) {
			err = io.ErrUnexpectedEOF
		}
		return []byte{}, err
	}
	opts := s.getOptions()
	if err := opts.SetRange(offset, offset+length-1); err != nil {
		return nil, err
	}
	r, info, header, err := s.api.GetObject(ctx, s.opts.Bucket, s.key(key), opts)
	if err != nil {
		return nil, s.explain(ctx, actionGet, key, err)
	}
	body := transport.Body{Ctx: ctx, ReadCloser: r}
	defer body.Close() //nolint:errcheck // what was wanted was read
	switch {
	case !strings.HasPrefix(header.Get("Content-Range"), fmt.Sprintf("bytes %d-", offset)):
		return nil, errors.New("the server does not answer with the range that it was asked for")
	case info.Size < length:
		return nil, io.ErrUnexpectedEOF
	}
	out := make([]byte, length)
	if _, err := io.ReadFull(&body, out); err != nil {
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
		err = s.explain(ctx, actionDelete, key, s.api.RemoveObject(ctx, s.opts.Bucket, s.key(key), minio.RemoveObjectOptions{}))
		if errors.Is(err, fs.ErrNotExist) { // some say so
			return nil
		}
	}
	if err != nil {
		return fmt.Errorf("delete %s: %w", key, err)
	}
	return nil
}
