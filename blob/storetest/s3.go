package storetest

import (
	"context"
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
	Endpoint string // http://HOST:PORT
	Bucket   string
	// Dir has the objects as files: of versitygw by their keys, of MinIO in folders of these
	// names.
	Dir   string
	Admin *minio.Client
}

var versitygw = testproc.GoProgram{Package: "github.com/versity/versitygw/cmd/versitygw", Version: "v1.8.0"} //nolint:gochecknoglobals // a constant

// Versitygw starts the server whose objects are plain files, which gives altered bytes
// without a word: for whole commands, and for what happens to objects at rest.
func Versitygw(tb TB) *S3 {
	tb.Helper()
	p := start(tb, program{"versitygw", func(ctx context.Context, dir, addr string) (*exec.Cmd, error) {
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
	}})
	s := newS3(tb, p)
	s.Dir = filepath.Join(p.dir, "objects", s.Bucket)
	return s
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
	p := start(tb, program{"minio", func(ctx context.Context, dir, addr string) (*exec.Cmd, error) {
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
	}})
	s := newS3(tb, p)
	s.Dir = filepath.Join(p.dir, "objects", s.Bucket)
	return s
}

func newS3(tb TB, p *process) *S3 {
	tb.Helper()
	s := &S3{Endpoint: "http://" + p.addr, Bucket: "vaults"}
	var err error
	if s.Admin, err = minio.New(p.addr, &minio.Options{Creds: credentials.NewStaticV4(AccessKey, SecretKey, ""), Region: Region}); err != nil {
		tb.Fatalf("client of %s: %v", p.addr, err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), startPatience)
	defer cancel()
	if err := s.Admin.MakeBucket(ctx, s.Bucket, minio.MakeBucketOptions{}); err != nil { // retries while the server starts
		tb.Fatalf("make bucket: %v\n%s", err, p.log())
	}
	return s
}

// Setenv gives a test the server's credentials in the environment, and none besides.
func (s *S3) Setenv(tb TB) {
	tb.Helper()
	for name, value := range map[string]string{
		"AWS_ACCESS_KEY_ID": AccessKey, "AWS_SECRET_ACCESS_KEY": SecretKey, "AWS_SESSION_TOKEN": "", "AWS_PROFILE": "",
		"AWS_CONFIG_FILE": "/nonexistent", "AWS_SHARED_CREDENTIALS_FILE": "/nonexistent", "AWS_EC2_METADATA_DISABLED": "true",
		"AWS_REGION": "", "AWS_DEFAULT_REGION": "", "AWS_ENDPOINT_URL": "", "AWS_ENDPOINT_URL_S3": "", "AWS_CA_BUNDLE": "",
	} {
		tb.Setenv(name, value)
	}
}

// URL is the vault URL of a prefix.
func (s *S3) URL(prefix string) string {
	return "s3://" + s.Bucket + "/" + prefix + "?endpoint=" + s.Endpoint + "&region=" + Region
}
