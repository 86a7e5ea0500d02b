package s3store

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/minio/minio-go/v7"
	"github.com/minio/minio-go/v7/pkg/lifecycle"

	"coldstream/blob"
)

var _ blob.Configured = (*Store)(nil)

// Settings is [blob.Configured]: versions, lifecycle rules and object lock of the bucket.
func (s *Store) Settings(ctx context.Context, lock blob.Lock) []blob.Setting {
	versions, on := s.versioning(ctx)
	out := []blob.Setting{versions}
	out = append(out, s.lifecycle(ctx, on && lock.For == 0)...)
	return append(out, s.objectLock(ctx, lock))
}

// unread is a setting that could not be read.
func unread(name string, right action, err error) blob.Setting {
	return blob.Setting{Name: name, Text: "not checked: " + err.Error(), Fit: blob.Fits, Hint: fmt.Sprintf("to have it checked, allow %s on the bucket", right)}
}

func (s *Store) versioning(ctx context.Context) (of blob.Setting, on bool) {
	const name = "versioning"
	found, err := s.api.GetBucketVersioning(ctx, s.opts.Bucket)
	switch {
	case err != nil:
		return unread(name, "s3:GetBucketVersioning", s.explain(ctx, actionList, "", err)), false
	case found.Enabled():
		return blob.Setting{Name: name, Text: "on: what somebody overwrites or deletes can be brought back with versions=first"}, true
	}
	return blob.Setting{
		Name: name, Fit: blob.Doubtful, Text: "off: what somebody overwrites or deletes is gone",
		Hint: fmt.Sprintf("aws s3api put-bucket-versioning --bucket %s --versioning-configuration Status=Enabled", s.opts.Bucket),
	}, false
}

// lifecycle judges the rules that are for the vault's prefix. Where versions are kept and only hidden
// when something is deleted, there must be one that deletes them at last.
func (s *Store) lifecycle(ctx context.Context, mustExpire bool) []blob.Setting { //nolint:revive // a fact of the bucket
	const name = "lifecycle rules"
	found, err := s.api.GetBucketLifecycle(ctx, s.opts.Bucket)
	var answer minio.ErrorResponse
	if errors.As(err, &answer) && answer.Code == "NoSuchLifecycleConfiguration" {
		found, err = &lifecycle.Configuration{}, nil
	}
	if err != nil {
		return []blob.Setting{unread(name, "s3:GetLifecycleConfiguration", s.explain(ctx, actionList, "", err))}
	}
	var out []blob.Setting
	expires := false
	for i := range found.Rules {
		rule := &found.Rules[i]
		if !s.isFor(rule) {
			continue
		}
		if says, hint := judge(rule); says != "" {
			out = append(out, blob.Setting{Name: name, Text: fmt.Sprintf("rule %q %s", rule.ID, says), Fit: blob.Harmful, Hint: hint})
		}
		if !rule.NoncurrentVersionExpiration.IsDaysNull() {
			expires = true
			out = append(out, blob.Setting{Name: name, Text: fmt.Sprintf(
				"rule %q deletes versions for ever %d days after they were overwritten or deleted", rule.ID, rule.NoncurrentVersionExpiration.NoncurrentDays)})
		}
	}
	if mustExpire && !expires {
		out = append(out, blob.Setting{
			Name: name, Fit: blob.Doubtful, Text: "none deletes old versions: what prune deletes is only hidden, and costs its room for ever",
			Hint: "add a rule with NoncurrentVersionExpiration, as long as you want to be able to bring things back",
		})
	}
	if len(out) == 0 {
		out = append(out, blob.Setting{Name: name, Text: "none is for the vault's objects"})
	}
	return out
}

// isFor says that a rule is for objects of the vault, which have no tags.
func (s *Store) isFor(rule *lifecycle.Rule) bool {
	f := &rule.RuleFilter
	if rule.Status != "Enabled" || f.Tag.Key != "" || len(f.And.Tags) > 0 {
		return false
	}
	root, prefix := s.key(""), cmp.Or(f.And.Prefix, f.Prefix, rule.Prefix)
	return strings.HasPrefix(root, prefix) || strings.HasPrefix(prefix, root)
}

// judge says what a rule does to objects that are needed.
func judge(rule *lifecycle.Rule) (says, hint string) {
	switch class := rule.Transition.StorageClass; {
	case !rule.Expiration.IsDaysNull() || !rule.Expiration.IsDateNull() || rule.AllVersionsExpiration.Days > 0:
		return "deletes the vault's objects, however much they are needed", "remove it: coldstream forget and prune know what is needed"
	case class == "GLACIER" || class == "DEEP_ARCHIVE":
		return "moves objects to " + class + ", where nothing reads them before they are brought back: the vault will not open",
			"remove it, and give packs alone a class with the option storage_class"
	}
	return "", ""
}

// objectLock compares the bucket with the vault's lock.
func (s *Store) objectLock(ctx context.Context, lock blob.Lock) blob.Setting {
	const name = "object lock"
	state, mode, validity, unit, err := s.api.GetObjectLockConfig(ctx, s.opts.Bucket)
	var answer minio.ErrorResponse
	switch {
	case errors.As(err, &answer) && answer.Code == "ObjectLockConfigurationNotFoundError": // off
	case err != nil:
		return unread(name, "s3:GetBucketObjectLockConfiguration", s.explain(ctx, actionList, "", err))
	}
	on := state == "Enabled"
	switch {
	case lock.For > 0 && !on:
		return blob.Setting{Name: name, Fit: blob.Harmful, Text: "off, and the vault was made with a lock: nothing can be stored", Hint: "turn it on, or copy into another vault"}
	case lock.For > 0:
		return blob.Setting{Name: name, Text: "on: every object is locked as it is stored"}
	case on && mode != nil && validity != nil && unit != nil:
		return blob.Setting{
			Name: name, Fit: blob.Doubtful, Text: fmt.Sprintf("the bucket locks for %d %s (%s), and the vault does not know it: nothing makes locks longer", *validity, unit, mode),
			Hint: "make a vault with a lock, and copy into it",
		}
	case on:
		return blob.Setting{Name: name, Text: "on, but the vault was made without a lock: nothing is locked"}
	}
	return blob.Setting{Name: name, Text: "off"}
}
