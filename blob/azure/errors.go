package azurestore

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/azidentity"
	"github.com/Azure/azure-sdk-for-go/sdk/storage/azblob/bloberror"

	"coldstream/blob"
	"coldstream/blob/internal/transport"
)

// action is what a role allows.
type action string

const (
	actionWrite  action = "Microsoft.Storage/storageAccounts/blobServices/containers/blobs/add/action"
	actionRead   action = "Microsoft.Storage/storageAccounts/blobServices/containers/blobs/read"
	actionDelete action = "Microsoft.Storage/storageAccounts/blobServices/containers/blobs/delete"
	actionList   action = "Microsoft.Storage/storageAccounts/blobServices/containers/blobs/read"
)

func isAbsent(err error) bool { return errors.Is(err, fs.ErrNotExist) }

// explain tells what the caller may tell apart, and a person what to do.
func (s *Store) explain(ctx context.Context, did action, key string, err error) error {
	var answer *azcore.ResponseError
	var login *azidentity.AuthenticationFailedError
	switch {
	case err == nil:
		return nil
	case ctx.Err() != nil:
		return ctx.Err()
	case errors.As(err, &login):
		return &blob.Failure{Err: fmt.Errorf("log in at Azure: %w", err),
			Next: "set AZURE_STORAGE_CONNECTION_STRING, AZURE_STORAGE_KEY, AZURE_STORAGE_SAS_TOKEN, or AZURE_CLIENT_ID and the like; or az login; or run where there is a managed identity"}
	case !errors.As(err, &answer):
		return transport.Diagnose(ctx, err)
	}
	said := fmt.Errorf("%s says %s (HTTP %d)", s.host, answer.ErrorCode, answer.StatusCode)
	switch bloberror.Code(answer.ErrorCode) {
	case bloberror.BlobNotFound:
		return fmt.Errorf("%w (%w)", fs.ErrNotExist, said)
	case bloberror.BlobAlreadyExists, bloberror.ConditionNotMet:
		return fs.ErrExist
	case bloberror.InvalidRange:
		return io.ErrUnexpectedEOF
	case bloberror.ContainerNotFound, bloberror.ContainerBeingDeleted, bloberror.ResourceNotFound:
		return &blob.Failure{
			Err:  fmt.Errorf("container %s: %w (%w)", s.opts.Container, blob.ErrNoBucket, said),
			Next: fmt.Sprintf("make the container first (az storage container create --account-name %s --name %s), or check its name and the option account", s.opts.Account, s.opts.Container),
		}
	case bloberror.MD5Mismatch:
		return fmt.Errorf("the bytes were altered on their way: %w (%w)", blob.ErrTemporary, said)
	case bloberror.BlobArchived, bloberror.BlobBeingRehydrated:
		return &blob.Failure{Err: said, Next: fmt.Sprintf("the object is in the archive tier: bring it back with: az storage blob set-tier --account-name %s --container-name %s --name %s --tier Hot; then, after hours, try again",
			s.opts.Account, s.opts.Container, s.key(key))}
	}
	switch answer.StatusCode {
	case http.StatusNotFound:
		return fmt.Errorf("%w (%w)", fs.ErrNotExist, said)
	case http.StatusUnauthorized, http.StatusForbidden:
		return &blob.Failure{Err: fmt.Errorf("%w (%w)", fs.ErrPermission, said), Next: s.next(did, key, answer)}
	}
	if transport.IsTemporary(answer.StatusCode) {
		return fmt.Errorf("%w (%w)", blob.ErrTemporary, said)
	}
	return said
}

// next says what a person can do about an answer of missing rights.
func (s *Store) next(did action, key string, answer *azcore.ResponseError) string {
	if bloberror.Code(answer.ErrorCode) == bloberror.AuthenticationFailed {
		return "the server does not accept the credentials: check them, the account's name, the end of a shared access signature, and the clock of this host"
	}
	return fmt.Sprintf(`%s on %s is denied: give the role "Storage Blob Data Contributor" (a reader: "Storage Blob Data Reader") on container %s of account %s`,
		did, s.key(key), s.opts.Container, s.opts.Account)
}
