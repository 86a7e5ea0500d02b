package s3store

import (
	"context"
	"crypto/md5" //nolint:gosec // Content-MD5 is what S3 asks for
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"strings"

	"github.com/minio/minio-go/v7"

	"coldstream/blob"
	"coldstream/blob/internal/transport"
)

func contentMD5(body []byte) string {
	sum := md5.Sum(body) //nolint:gosec // as above
	return base64.StdEncoding.EncodeToString(sum[:])
}

// action is a right that a policy gives.
type action string

const (
	actionPut    action = "s3:PutObject"
	actionGet    action = "s3:GetObject"
	actionDelete action = "s3:DeleteObject"
	actionList   action = "s3:ListBucket"

	actionListVersions  action = "s3:ListBucketVersions"
	actionDeleteVersion action = "s3:DeleteObjectVersion"
	actionGetVersion    action = "s3:GetObjectVersion"
	actionPutLock       action = "s3:PutObjectRetention"
)

// explain tells what the caller may tell apart, and a person what to do.
func (s *Store) explain(ctx context.Context, did action, key string, err error) error {
	var answer minio.ErrorResponse
	var failure *blob.Failure
	switch {
	case err == nil:
		return nil
	case ctx.Err() != nil:
		return ctx.Err()
	case errors.As(err, &failure): // of the credentials
		return failure
	case !errors.As(err, &answer):
		return transport.Diagnose(ctx, err)
	}
	said := fmt.Errorf("%s says %s: %s", s.host, answer.Code, strings.TrimSpace(answer.Message))
	switch answer.Code {
	case "NoSuchKey":
		return fmt.Errorf("%w (%w)", fs.ErrNotExist, said)
	case "NoSuchBucket":
		return &blob.Failure{
			Err:  fmt.Errorf("bucket %s: %w (%w)", s.opts.Bucket, blob.ErrNoBucket, said),
			Next: fmt.Sprintf("make the bucket first (aws s3 mb s3://%s), or check its name and the options endpoint and region", s.opts.Bucket),
		}
	case "PreconditionFailed":
		return fs.ErrExist
	case "InvalidRange":
		return io.ErrUnexpectedEOF
	case "NotImplemented":
		return fmt.Errorf("%w (%w)", errors.ErrUnsupported, said)
	case "BadDigest", "XAmzContentSHA256Mismatch", "XAmzContentChecksumMismatch", "IncompleteBody":
		return fmt.Errorf("the bytes were altered on their way: %w (%w)", blob.ErrTemporary, said)
	}
	if answer.StatusCode == http.StatusNotImplemented {
		return fmt.Errorf("%w (%w)", errors.ErrUnsupported, said)
	}
	if did == actionDeleteVersion && isOfLocks(&answer) {
		return fmt.Errorf("%w (%w)", fs.ErrPermission, said)
	}
	if did == actionPut && s.lock != nil && isOfLocks(&answer) {
		return &blob.Failure{
			Err:  fmt.Errorf("bucket %s: %w (%w)", s.opts.Bucket, blob.ErrNoLocks, said),
			Next: fmt.Sprintf("make a bucket whose objects can be locked (aws s3api create-bucket --bucket %s --object-lock-enabled-for-bucket), or turn it on for this one, if its storage can", s.opts.Bucket),
		}
	}
	if next := s.next(did, key, &answer); next != "" {
		return &blob.Failure{Err: denied(&answer, said), Next: next}
	}
	if isTemporary(&answer) {
		return fmt.Errorf("%w (%w)", blob.ErrTemporary, said)
	}
	return denied(&answer, said)
}

// denied makes an answer of missing rights one that can be told apart.
func denied(answer *minio.ErrorResponse, said error) error {
	if answer.StatusCode == http.StatusForbidden || answer.StatusCode == http.StatusUnauthorized {
		return fmt.Errorf("%w (%w)", fs.ErrPermission, said)
	}
	return said
}

func isTemporary(answer *minio.ErrorResponse) bool {
	switch answer.Code {
	case "RequestTimeout", "SlowDown", "SlowDownRead", "SlowDownWrite", "InternalError", "ServiceUnavailable", "ConditionalRequestConflict":
		return true
	}
	return transport.IsTemporary(answer.StatusCode) || answer.StatusCode == http.StatusConflict
}

// next says what a person can do about an answer; nothing is known to do if it is empty.
func (s *Store) next(did action, key string, answer *minio.ErrorResponse) string {
	switch answer.Code {
	case "InvalidAccessKeyId", "SignatureDoesNotMatch", "AuthFailure":
		return "check the credentials (AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY, AWS_PROFILE or the option profile): the server does not accept them"
	case "ExpiredToken", "ExpiredTokenException", "InvalidToken", "TokenRefreshRequired":
		return "the session of these credentials has ended: log in again (aws sso login), or get new ones"
	case "RequestTimeTooSkewed", "RequestExpired":
		return "the clock of this host is wrong: set it (timedatectl set-ntp true), then try again"
	case "InvalidObjectState":
		return fmt.Sprintf("the object is in an archive class: bring it back with: aws s3api restore-object --bucket %s --key %s --restore-request Days=7; then, after hours, try again",
			s.opts.Bucket, s.key(key))
	case "AuthorizationHeaderMalformed", "PermanentRedirect", "TemporaryRedirect", "IllegalLocationConstraintException", "InvalidRegion":
		return s.nextRegion(answer)
	case "AccessDenied", "AllAccessDisabled", "UnauthorizedAccess":
		return s.nextPolicy(did, key)
	}
	return ""
}

func (s *Store) nextRegion(answer *minio.ErrorResponse) string {
	if answer.Region != "" && answer.Region != s.region {
		return fmt.Sprintf("the bucket is in region %s, and %s was asked: add region=%s to the vault's URL", answer.Region, s.region, answer.Region)
	}
	return fmt.Sprintf("region %s was asked: name the bucket's with region=… in the vault's URL (aws s3api get-bucket-location --bucket %s)", s.region, s.opts.Bucket)
}

// nextPolicy is the line that a policy lacks.
func (s *Store) nextPolicy(did action, key string) string {
	resource := fmt.Sprintf("arn:aws:s3:::%s/%s*", s.opts.Bucket, s.key(""))
	switch did {
	case actionList:
		resource = "arn:aws:s3:::" + s.opts.Bucket
	case actionListVersions:
		resource = "arn:aws:s3:::" + s.opts.Bucket
	case actionPut:
		if s.lock != nil {
			return fmt.Sprintf(`%s on %s with a lock is denied: allow {"Effect":"Allow","Action":["%s","%s"],"Resource":"%s"}`, did, s.key(key), did, actionPutLock, resource)
		}
	case actionGet:
		return fmt.Sprintf(`%s on %s is denied (also where the object is missing and the right to list is): allow {"Effect":"Allow","Action":"%s","Resource":"%s"} and s3:ListBucket on arn:aws:s3:::%s`,
			did, s.key(key), did, resource, s.opts.Bucket)
	}
	return fmt.Sprintf(`%s on %s is denied: allow {"Effect":"Allow","Action":"%s","Resource":"%s"}`, did, s.key(key), did, resource)
}
