package storetest

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"

	"github.com/minio/minio-go/v7"
	"github.com/minio/minio-go/v7/pkg/credentials"

	"coldstream/internal/testproc"
)

// Region is that of every S3 server.
const Region = "us-east-1"

// S3 is a server of the S3 protocol with one bucket.
type S3 struct {
	Endpoint string // http://HOST:PORT, or https
	Bucket   string
	// Dir has the objects as files: of versitygw by their keys, of MinIO in folders of these
	// names.
	Dir   string
	PID   int
	Admin *minio.Client
}

var versitygw = testproc.GoProgram{Package: "github.com/versity/versitygw/cmd/versitygw", Version: "v1.8.0"} //nolint:gochecknoglobals // a constant

// Versitygw starts the server whose objects are plain files, which gives altered bytes
// without a word: for whole commands, and for what happens to objects at rest.
func Versitygw(tb TB) *S3 {
	tb.Helper()
	return newS3(tb, start(tb, versitygwProgram()))
}

// VersionedVersitygw is the same server for buckets that keep versions.
func VersionedVersitygw(tb TB) *S3 {
	tb.Helper()
	return newS3(tb, start(tb, program{"versitygw", func(ctx context.Context, dir, addr string) (*exec.Cmd, error) {
		versions, err := subfolder(dir, "versions")
		if err != nil {
			return nil, err
		}
		cmd, err := versitygwProgram().command(ctx, dir, addr)
		if err != nil {
			return nil, err
		}
		last := len(cmd.Args) - 1
		cmd.Args = append(cmd.Args[:last:last], "--versioning-dir", versions, cmd.Args[last])
		return cmd, nil
	}}))
}

// LockingBucket makes another bucket of the server, whose objects can be locked.
func (s *S3) LockingBucket(tb TB, name string) *S3 {
	tb.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), startPatience)
	defer cancel()
	if err := s.Admin.MakeBucket(ctx, name, minio.MakeBucketOptions{ObjectLocking: true}); err != nil {
		tb.Fatalf("make bucket %s: %v", name, err)
	}
	other := *s
	other.Bucket = name
	other.Dir = filepath.Join(filepath.Dir(s.Dir), name)
	return &other
}

// StartVersitygw is [Versitygw] for a program that is no test; stop ends the server.
func StartVersitygw() (s *S3, stop func(), err error) {
	p, err := startOnce(versitygwProgram())
	if err != nil {
		return nil, nil, err
	}
	if s, err = p.s3(plainly()); err != nil {
		p.stop()
		return nil, nil, err
	}
	return s, p.stop, nil
}

func versitygwProgram() program {
	return program{"versitygw", func(ctx context.Context, dir, addr string) (*exec.Cmd, error) {
		path, err := testproc.GoInstall(ctx, versitygw)
		if err != nil {
			return nil, err
		}
		objects, err := subfolder(dir, "objects")
		if err != nil {
			return nil, err
		}
		accounts, err := subfolder(dir, "accounts")
		if err != nil {
			return nil, err
		}
		cmd := exec.Command(path, "--port", addr, "--iam-dir", accounts, "posix", objects)
		cmd.Env = append(os.Environ(), "ROOT_ACCESS_KEY="+AccessKey, "ROOT_SECRET_KEY="+SecretKey)
		return cmd, nil
	}}
}

// AddUser makes a user of versitygw with the given name as access key, and SecretKey as
// secret key. What the user may do is said by the policy of the bucket.
func (s *S3) AddUser(tb TB, name string) {
	tb.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), startPatience)
	defer cancel()
	path, err := testproc.GoInstall(ctx, versitygw)
	if err != nil {
		tb.Fatalf("add user %s: %v", name, err)
	}
	cmd := exec.CommandContext(ctx, path, "admin", "--endpoint-url", s.Endpoint, "--access", AccessKey, "--secret", SecretKey, "--region", Region,
		"create-user", "--access", name, "--secret", SecretKey, "--role", "user")
	if _, err := testproc.Output(cmd); err != nil {
		tb.Fatalf("add user %s: %v", name, err)
	}
}

// MinIO starts the server that most people run for themselves. To build it takes minutes.
func MinIO(tb TB) *S3 {
	tb.Helper()
	return newS3(tb, start(tb, program{"minio", minioCommand}))
}

func minioCommand(ctx context.Context, dir, addr string) (*exec.Cmd, error) {
	path, err := testproc.GoInstall(ctx, testproc.GoProgram{Package: "github.com/minio/minio", Version: "v0.0.0-20260212201848-7aac2a2c5b7c"})
	if err != nil {
		return nil, err
	}
	objects, err := subfolder(dir, "objects")
	if err != nil {
		return nil, err
	}
	cmd := exec.Command(path, "server", "--address", addr, "--console-address", "127.0.0.1:0", objects)
	cmd.Env = append(os.Environ(), "MINIO_ROOT_USER="+AccessKey, "MINIO_ROOT_PASSWORD="+SecretKey)
	return cmd, nil
}

func newS3(tb TB, p *process) *S3 {
	tb.Helper()
	s, err := p.s3(plainly())
	if err != nil {
		tb.Fatalf("%v", err)
	}
	return s
}

func plainly() *minio.Options {
	return &minio.Options{Creds: credentials.NewStaticV4(AccessKey, SecretKey, ""), Region: Region}
}

// s3 makes the bucket of a server of the S3 protocol, which has its files in objects.
func (s *process) s3(how *minio.Options) (*S3, error) {
	server := &S3{Endpoint: "http://" + s.addr, Bucket: "vaults", PID: s.cmd.Process.Pid}
	server.Dir = filepath.Join(s.dir, "objects", server.Bucket)
	if how.Secure {
		server.Endpoint = "https://" + s.addr
	}
	var err error
	if server.Admin, err = minio.New(s.addr, how); err != nil {
		return nil, fmt.Errorf("client of %s: %w", s.addr, err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), startPatience)
	defer cancel()
	if err := server.Admin.MakeBucket(ctx, server.Bucket, minio.MakeBucketOptions{}); err != nil { // retries while the server starts
		return nil, fmt.Errorf("make bucket: %w\n%s", err, s.log())
	}
	return server, nil
}

// Session is the environment of a session of MinIO that may do what a policy allows, and nothing
// besides.
func (s *S3) Session(tb TB, policy string) map[string]string {
	tb.Helper()
	session, err := credentials.NewSTSAssumeRole(s.Endpoint, credentials.STSAssumeRoleOptions{
		AccessKey: AccessKey, SecretKey: SecretKey, Policy: policy, DurationSeconds: 3600,
	})
	var value credentials.Value
	if err == nil {
		value, err = session.GetWithContext(nil)
	}
	if err != nil {
		tb.Fatalf("session with the policy %s: %v", policy, err)
	}
	out := Environ()
	out["AWS_ACCESS_KEY_ID"], out["AWS_SECRET_ACCESS_KEY"], out["AWS_SESSION_TOKEN"] = value.AccessKeyID, value.SecretAccessKey, value.SessionToken
	return out
}

// Environ are the server's credentials as variables of the environment, and no others.
func Environ() map[string]string {
	return map[string]string{
		"AWS_ACCESS_KEY_ID": AccessKey, "AWS_SECRET_ACCESS_KEY": SecretKey, "AWS_SESSION_TOKEN": "", "AWS_PROFILE": "",
		"AWS_CONFIG_FILE": "/nonexistent", "AWS_SHARED_CREDENTIALS_FILE": "/nonexistent", "AWS_EC2_METADATA_DISABLED": "true",
		"AWS_REGION": "", "AWS_DEFAULT_REGION": "", "AWS_ENDPOINT_URL": "", "AWS_ENDPOINT_URL_S3": "", "AWS_CA_BUNDLE": "",
	}
}

// Setenv gives a test the server's credentials in the environment, and none besides.
func (s *S3) Setenv(tb TB) {
	tb.Helper()
	for name, value := range Environ() {
		tb.Setenv(name, value)
	}
}

// URL is the vault URL of a prefix.
func (s *S3) URL(prefix string) string { return s.URLAt(s.Endpoint, prefix) }

// URLAt is the same with something between, as a relay, that listens at an endpoint.
func (s *S3) URLAt(endpoint, prefix string) string {
	return "s3://" + s.Bucket + "/" + prefix + "?endpoint=" + endpoint + "&region=" + Region
}
