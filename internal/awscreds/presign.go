package awscreds

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"
)

// emptyBody is the SHA-256 of nothing.
const emptyBody = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"

// Request is a GET of https://Host/ that is to be signed.
type Request struct {
	Service, Region, Host string
	Query                 url.Values
	Expires               time.Duration
	Time                  time.Time
}

// Presign returns the request as a URL that carries its signature (SigV4).
func Presign(ctx context.Context, v Value, r Request) (*url.URL, error) {
	query := url.Values{}
	for name, values := range r.Query {
		query[name] = values
	}
	query.Set("X-Amz-Expires", strconv.Itoa(int(r.Expires.Seconds())))
	address := url.URL{Scheme: "https", Host: r.Host, Path: "/", RawQuery: query.Encode()}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, address.String(), nil)
	if err != nil {
		return nil, fmt.Errorf("sign for %s: %w", r.Host, err)
	}
	credentials := aws.Credentials{AccessKeyID: v.AccessKeyID, SecretAccessKey: v.SecretAccessKey, SessionToken: v.SessionToken}
	signed, _, err := v4.NewSigner().PresignHTTP(ctx, credentials, req, emptyBody, r.Service, r.Region, r.Time)
	if err != nil {
		return nil, fmt.Errorf("sign for %s: %w", r.Host, err)
	}
	return url.Parse(signed)
}
