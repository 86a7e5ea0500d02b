// Package awscreds finds AWS credentials where people have them: environment, shared
// config and credentials files with profiles, assumed roles, single sign-on, web identity
// (EKS), container and instance metadata. It is the one place that imports the AWS SDK.
package awscreds

import (
	"cmp"
	"context"
	"fmt"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/credentials/stscreds"
	"github.com/aws/aws-sdk-go-v2/service/sts"
	"github.com/aws/smithy-go/logging"
)

// Options choose among what there is.
type Options struct {
	Profile string // of the shared files; AWS_PROFILE, else "default", if empty
	Region  string // where roles are assumed; what environment or profile say if empty

	Static Value // these credentials instead of those that are found, unless it is empty
	Role   Role  // assumed with the credentials, unless it has no ARN
}

// Role is one to assume.
type Role struct {
	ARN         string
	SessionName string // names the session in logs of AWS; "coldstream" if empty
	ExternalID  string
	Region      string // of the token service; as for everything else if empty
}

// Source gives credentials, and new ones before they expire.
type Source struct {
	config aws.Config
}

// Value is what requests are signed with.
type Value struct {
	AccessKeyID     string
	SecretAccessKey string
	SessionToken    string
}

// Find reads environment and files. Services are asked by [Source.Get] only.
func Find(ctx context.Context, opts Options) (*Source, error) {
	load := []func(*config.LoadOptions) error{config.WithLogger(logging.Nop{})} // stderr is not the SDK's
	if opts.Profile != "" {
		load = append(load, config.WithSharedConfigProfile(opts.Profile))
	}
	if opts.Region != "" {
		load = append(load, config.WithRegion(opts.Region))
	}
	if opts.Static != (Value{}) {
		load = append(load, config.WithCredentialsProvider(
			credentials.NewStaticCredentialsProvider(opts.Static.AccessKeyID, opts.Static.SecretAccessKey, opts.Static.SessionToken)))
	}
	cfg, err := config.LoadDefaultConfig(ctx, load...)
	if err != nil {
		return nil, fmt.Errorf("read AWS configuration: %w", err)
	}
	if opts.Role.ARN != "" {
		cfg.Credentials = assume(cfg, opts.Role)
	}
	return &Source{config: cfg}, nil
}

// assume returns credentials of a role, which it gets with those of cfg.
func assume(cfg aws.Config, role Role) aws.CredentialsProvider {
	client := sts.NewFromConfig(cfg, func(o *sts.Options) {
		if role.Region != "" {
			o.Region = role.Region
		}
	})
	return aws.NewCredentialsCache(stscreds.NewAssumeRoleProvider(client, role.ARN, func(o *stscreds.AssumeRoleOptions) {
		o.RoleSessionName = cmp.Or(role.SessionName, "coldstream")
		if role.ExternalID != "" {
			o.ExternalID = &role.ExternalID
		}
	}))
}

// Region is the region that options, environment or profile name; it may be empty.
func (s *Source) Region() string { return s.config.Region }

// Get returns credentials that are valid now. It keeps them until shortly before they
// expire, and is safe for use by several goroutines.
func (s *Source) Get(ctx context.Context) (Value, error) {
	v, err := s.config.Credentials.Retrieve(ctx)
	if err != nil {
		return Value{}, fmt.Errorf("find AWS credentials: %w", err)
	}
	return Value{v.AccessKeyID, v.SecretAccessKey, v.SessionToken}, nil
}
