package awscreds

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// services stands for those of AWS that give credentials: token service, container and
// instance metadata. Each gives others, and notes what it was asked.
type services struct {
	*httptest.Server
	asked []url.Values
}

const soon = "2036-01-02T15:04:05Z"

func startServices(t *testing.T) *services {
	t.Helper()
	s := &services{}
	s.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_ = r.ParseForm() // noted below
		answer := ""
		metadata := func(id string) string {
			return fmt.Sprintf(`{"Code":"Success","AccessKeyId":%q,"SecretAccessKey":"secret","Token":"token","Expiration":%q}`, id, soon)
		}
		switch action := r.PostForm.Get("Action"); {
		case action != "":
			s.asked = append(s.asked, r.PostForm)
			answer = fmt.Sprintf(`<%sResponse><%[1]sResult><Credentials><AccessKeyId>%[1]s</AccessKeyId><SecretAccessKey>secret</SecretAccessKey>`+
				`<SessionToken>token</SessionToken><Expiration>%s</Expiration></Credentials></%[1]sResult></%[1]sResponse>`, action, soon)
		case r.URL.Path == "/container":
			answer = metadata("container")
		case r.URL.Path == "/latest/api/token":
			w.Header().Set("X-Aws-Ec2-Metadata-Token-Ttl-Seconds", "600")
			answer = "session"
		case r.URL.Path == "/latest/meta-data/iam/security-credentials/":
			answer = "role"
		case r.URL.Path == "/latest/meta-data/iam/security-credentials/role":
			answer = metadata("instance")
		default:
			w.WriteHeader(http.StatusNotFound)
		}
		_, _ = w.Write([]byte(answer))
	}))
	t.Cleanup(s.Close)
	return s
}

// TestFind finds credentials in each place where people have them, and nowhere else.
func TestFind(t *testing.T) {
	s := startServices(t)
	dir := t.TempDir()
	write := func(name, text string) string {
		file := filepath.Join(dir, name)
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return file
	}
	profiles := write("config", "[profile nightly]\nregion = eu-west-1\naws_access_key_id = of-profile\naws_secret_access_key = secret\n"+
		"[profile deputy]\nregion = eu-west-2\nrole_arn = arn:aws:iam::1:role/r\nsource_profile = nightly\n")
	token := write("token", "identity")
	for _, c := range []struct {
		name    string
		env     map[string]string
		options Options
		id      string // of the access key
		region  string
		form    url.Values // what the token service was asked last
	}{
		{name: "environment", env: map[string]string{"AWS_ACCESS_KEY_ID": "of-environment", "AWS_SECRET_ACCESS_KEY": "secret", "AWS_REGION": "r-1"}, id: "of-environment", region: "r-1"},
		{name: "profile", options: Options{Profile: "nightly"}, id: "of-profile", region: "eu-west-1"},
		{name: "profile by environment", env: map[string]string{"AWS_PROFILE": "nightly"}, id: "of-profile", region: "eu-west-1"},
		{name: "role of a profile", options: Options{Profile: "deputy"}, id: "AssumeRole", region: "eu-west-2", form: url.Values{"RoleArn": {"arn:aws:iam::1:role/r"}}},
		{name: "role", options: Options{Profile: "nightly", Role: Role{ARN: "arn:2", SessionName: "s", ExternalID: "e", Region: "eu-west-3"}}, id: "AssumeRole", region: "eu-west-1",
			form: url.Values{"RoleArn": {"arn:2"}, "RoleSessionName": {"s"}, "ExternalId": {"e"}}},
		{name: "role by keys", options: Options{Region: "r-2", Static: Value{"static", "secret", ""}, Role: Role{ARN: "arn:3"}}, id: "AssumeRole", region: "r-2",
			form: url.Values{"RoleArn": {"arn:3"}, "RoleSessionName": {"coldstream"}}},
		{name: "keys", options: Options{Static: Value{"static", "secret", ""}}, id: "static"},
		{name: "web identity", env: map[string]string{"AWS_WEB_IDENTITY_TOKEN_FILE": token, "AWS_ROLE_ARN": "arn:4", "AWS_ROLE_SESSION_NAME": "pod", "AWS_REGION": "r-3"},
			id: "AssumeRoleWithWebIdentity", region: "r-3", form: url.Values{"RoleArn": {"arn:4"}, "WebIdentityToken": {"identity"}}},
		{name: "container", env: map[string]string{"AWS_CONTAINER_CREDENTIALS_FULL_URI": s.URL + "/container"}, id: "container"},
		{name: "instance", env: map[string]string{"AWS_EC2_METADATA_DISABLED": "false"}, id: "instance"},
	} {
		t.Run(c.name, func(t *testing.T) {
			for _, name := range []string{
				"AWS_PROFILE", "AWS_REGION", "AWS_DEFAULT_REGION", "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN",
				"AWS_WEB_IDENTITY_TOKEN_FILE", "AWS_ROLE_ARN", "AWS_CONTAINER_CREDENTIALS_FULL_URI", "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI",
			} {
				t.Setenv(name, "")
			}
			t.Setenv("AWS_EC2_METADATA_DISABLED", "true")
			t.Setenv("AWS_EC2_METADATA_SERVICE_ENDPOINT", s.URL)
			t.Setenv("AWS_ENDPOINT_URL_STS", s.URL)
			t.Setenv("AWS_CONFIG_FILE", profiles)
			t.Setenv("AWS_SHARED_CREDENTIALS_FILE", filepath.Join(dir, "none"))
			for name, value := range c.env {
				t.Setenv(name, value)
			}
			source, err := Find(t.Context(), c.options)
			if err != nil {
				t.Fatal(err)
			}
			v, err := source.Get(t.Context())
			if err != nil || v.AccessKeyID != c.id || v.SecretAccessKey != "secret" || source.Region() != c.region {
				t.Errorf("%q in %q: %v; want %q in %q", v.AccessKeyID, source.Region(), err, c.id, c.region)
			}
			for name, want := range c.form {
				if diff := cmp.Diff(want, s.asked[len(s.asked)-1][name]); diff != "" {
					t.Errorf("%s (-want +got)\n%s", name, diff)
				}
			}
		})
	}
}

// TestPresign signs the example in the documents of AWS: a GET of an object in S3. (There
// the body is named UNSIGNED-PAYLOAD, so that the signature itself is another; kafka/auth
// compares signatures with those of Amazon's library.)
func TestPresign(t *testing.T) {
	u, err := Presign(t.Context(), Value{"AKIAIOSFODNN7EXAMPLE", "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY", ""}, Request{
		Service: "s3", Region: "us-east-1", Host: "examplebucket.s3.amazonaws.com", Query: url.Values{"x": {"a b"}},
		Expires: 24 * time.Hour, Time: time.Date(2013, 5, 24, 0, 0, 0, 0, time.UTC),
	})
	if err != nil {
		t.Fatal(err)
	}
	q := u.Query()
	if q.Get("X-Amz-Credential") != "AKIAIOSFODNN7EXAMPLE/20130524/us-east-1/s3/aws4_request" || q.Get("X-Amz-Date") != "20130524T000000Z" ||
		q.Get("X-Amz-Expires") != "86400" || q.Get("X-Amz-SignedHeaders") != "host" || q.Get("x") != "a b" || len(q.Get("X-Amz-Signature")) != 64 {
		t.Error(u)
	}
	if strings.Contains(u.String(), "wJalr") {
		t.Error("the secret is in the URL")
	}
}
