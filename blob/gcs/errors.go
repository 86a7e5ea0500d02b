package gcsstore

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"strings"

	"golang.org/x/oauth2"

	"coldstream/blob"
	"coldstream/blob/internal/transport"
)

// action is a permission that a role gives.
type action string

const (
	actionCreate action = "storage.objects.create"
	actionGet    action = "storage.objects.get"
	actionDelete action = "storage.objects.delete"
	actionList   action = "storage.objects.list"
)

const maxErrorBytes = 64 << 10

// explainFailure is for what is no answer of the service.
func explainFailure(ctx context.Context, err error) error {
	var login *oauth2.RetrieveError
	if ctx.Err() == nil && errors.As(err, &login) && login.Response != nil && login.Response.StatusCode/100 == 4 {
		return &blob.Failure{Err: fmt.Errorf("log in at Google: %w", err), Next: "log in again (gcloud auth application-default login), or get new credentials; check the clock of this host"}
	}
	return transport.Diagnose(ctx, err)
}

// explain tells what the caller may tell apart, and a person what to do.
func (s *Store) explain(answer *http.Response, r *request) error {
	said := fmt.Errorf("%s says %s", s.host, s.message(answer))
	switch answer.StatusCode {
	case http.StatusNotFound:
		if r.action == actionCreate || r.action == actionList || strings.Contains(said.Error(), "bucket does not exist") {
			return &blob.Failure{
				Err:  fmt.Errorf("bucket %s: %w (%w)", s.opts.Bucket, blob.ErrNoBucket, said),
				Next: fmt.Sprintf("make the bucket first (gcloud storage buckets create gs://%s), or check its name", s.opts.Bucket),
			}
		}
		return fmt.Errorf("%w (%w)", fs.ErrNotExist, said)
	case http.StatusPreconditionFailed:
		return fs.ErrExist
	case http.StatusRequestedRangeNotSatisfiable:
		return io.ErrUnexpectedEOF
	case http.StatusUnauthorized:
		return &blob.Failure{Err: fmt.Errorf("%w (%w)", fs.ErrPermission, said), Next: "the service does not accept the credentials: check GOOGLE_APPLICATION_CREDENTIALS, and the clock of this host"}
	case http.StatusForbidden:
		return &blob.Failure{Err: fmt.Errorf("%w (%w)", fs.ErrPermission, said),
			Next: fmt.Sprintf("%s on %s is denied: give a role that has it on bucket %s (writers: roles/storage.objectUser; readers: roles/storage.objectViewer)", r.action, s.key(r.key), s.opts.Bucket)}
	}
	if transport.IsTemporary(answer.StatusCode) {
		return fmt.Errorf("%w (%w)", blob.ErrTemporary, said)
	}
	if answer.StatusCode == http.StatusBadRequest && r.action == actionCreate && strings.Contains(strings.ToLower(said.Error()), "crc32c") {
		return fmt.Errorf("the bytes were altered on their way: %w (%w)", blob.ErrTemporary, said)
	}
	return said
}

// message is what the service says, in one line.
func (s *Store) message(answer *http.Response) string {
	body, err := io.ReadAll(io.LimitReader(answer.Body, maxErrorBytes))
	var document struct {
		Error struct {
			Message string `json:"message"`
		} `json:"error"`
	}
	text := strings.TrimSpace(string(body))
	if err == nil && json.Unmarshal(body, &document) == nil && document.Error.Message != "" {
		text = document.Error.Message
	}
	const longest = 300
	if len(text) > longest {
		text = text[:longest] + "…"
	}
	return strings.TrimSpace(answer.Status + ": " + strings.ReplaceAll(text, "\n", " "))
}
