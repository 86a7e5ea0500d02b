// Package awscreds finds AWS credentials where people have them: environment, shared
// config and credentials files with profiles, assumed roles, single sign-on, web identity
// (EKS), container and instance metadata. It is the one place that imports the AWS SDK.
package awscreds

import (
	"context"
	"fmt"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/smithy-go/logging"
)

// Options choose among what there is.
type Options struct {
	Profile string // of the shared files; AWS_PROFILE, else "default", if empty
	Region  string // where roles are assumed; what environment or profile say if empty
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
	cfg, err := config.LoadDefaultConfig(ctx, load...)
	if err != nil {
		return nil, fmt.Errorf("read AWS configuration: %w", err)
	}
	return &Source{config: cfg}, nil
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
