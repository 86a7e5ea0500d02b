package auth

import (
	"bufio"
	"encoding/base64"
	"encoding/json"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// isolateAWS hides what the machine may know of AWS, and gives credentials.
func isolateAWS(t *testing.T, id, secret, token string) {
	t.Helper()
	none := writeText(t, "")
	for name, value := range map[string]string{
		"AWS_CONFIG_FILE": none, "AWS_SHARED_CREDENTIALS_FILE": none, "AWS_PROFILE": "", "AWS_REGION": "", "AWS_DEFAULT_REGION": "",
		"AWS_EC2_METADATA_DISABLED": "true", "AWS_ACCESS_KEY_ID": id, "AWS_SECRET_ACCESS_KEY": secret, "AWS_SESSION_TOKEN": token,
	} {
		t.Setenv(name, value)
	}
}

const (
	exampleSecret = "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY"
	iamFile       = "security.protocol=SASL_SSL\nsasl.mechanism=AWS_MSK_IAM\nsasl.jaas.config=software.amazon.msk.auth.iam.IAMLoginModule required;\n" +
		"sasl.client.callback.handler.class=software.amazon.msk.auth.iam.IAMClientCallbackHandler\n"
	amazonFile = "security.protocol=SASL_SSL\nsasl.mechanism=OAUTHBEARER\nsasl.jaas.config=org.apache.kafka.common.security.oauthbearer.OAuthBearerLoginModule required;\n" +
		"sasl.login.callback.handler.class=software.amazon.msk.auth.iam.IAMOAuthBearerLoginCallbackHandler\n" +
		"sasl.client.callback.handler.class=software.amazon.msk.auth.iam.IAMOAuthBearerLoginCallbackHandler\n"
)

// TestMSKAsAmazon signs what Amazon's own library (aws-msk-iam-auth 2.3.2) has signed, at
// the same second: testdata/msk-iam.txt is what that library wrote.
func TestMSKAsAmazon(t *testing.T) {
	file, err := os.Open(filepath.Join("testdata", "msk-iam.txt"))
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	count := 0
	for lines := bufio.NewScanner(file); lines.Scan(); count++ {
		if strings.HasPrefix(lines.Text(), "{") {
			compareIAM(t, lines.Text())
		} else {
			compareToken(t, lines.Text())
		}
	}
	if count != 7 {
		t.Errorf("%d vectors, want 7", count)
	}
}

func signedAt(t *testing.T, text string) func() time.Time {
	t.Helper()
	at, err := time.Parse("20060102T150405Z", text)
	if err != nil {
		t.Fatal(err)
	}
	return func() time.Time { return at }
}

func compareIAM(t *testing.T, text string) {
	t.Helper()
	var want, got map[string]string
	if err := json.Unmarshal([]byte(text), &want); err != nil {
		t.Fatal(err)
	}
	id, _, _ := strings.Cut(want["x-amz-credential"], "/")
	isolateAWS(t, id, exampleSecret, want["x-amz-security-token"])
	m := mustLoad(t, iamFile).mechanism.(tracked).Mechanism.(mskIAM)
	m.signer.now = signedAt(t, want["x-amz-date"])
	session, first, err := m.Authenticate(t.Context(), want["host"]+":9098")
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(first, &got); err != nil {
		t.Fatal(err)
	}
	if !strings.HasPrefix(got["user-agent"], "coldstream/") {
		t.Errorf("user-agent %q", got["user-agent"])
	}
	delete(got, "user-agent")
	delete(want, "user-agent")
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-Amazon +ours)\n%s", diff)
	}
	if done, next, err := session.Challenge([]byte(`{"version":"2020_10_22","request-id":"x"}`)); !done || next != nil || err != nil {
		t.Errorf("%v %q %v", done, next, err)
	}
	if _, _, err := session.Challenge(nil); err == nil {
		t.Error("an empty answer is taken")
	}
}

func compareToken(t *testing.T, text string) {
	t.Helper()
	query := func(token string) (host string, values url.Values) {
		b, err := base64.RawURLEncoding.DecodeString(token)
		if err != nil {
			t.Fatal(err)
		}
		u, err := url.Parse(string(b))
		if err != nil {
			t.Fatal(err)
		}
		values = u.Query()
		if values.Get("User-Agent") == "" {
			t.Error("no User-Agent")
		}
		values.Del("User-Agent")
		return u.Host, values
	}
	wantHost, want := query(text)
	isolateAWS(t, "AKIDEXAMPLE", exampleSecret, "")
	t.Setenv("AWS_REGION", "eu-west-1")
	m := mustLoad(t, amazonFile).mechanism.(tracked).Mechanism.(amazonToken)
	m.signer.now = signedAt(t, want.Get("X-Amz-Date"))
	_, first, err := m.Authenticate(t.Context(), "broker.example.com:9098")
	if err != nil {
		t.Fatal(err)
	}
	token := strings.TrimSuffix(strings.TrimPrefix(string(first), "n,,\x01auth=Bearer "), "\x01\x01")
	host, got := query(token)
	if diff := cmp.Diff(want, got); diff != "" || host != wantHost {
		t.Errorf("%s, Amazon %s (-Amazon +ours)\n%s", host, wantHost, diff)
	}
}

func TestAWSErrors(t *testing.T) {
	isolateAWS(t, "", "", "")
	c := mustLoad(t, iamFile)
	_, _, err := c.mechanism.Authenticate(t.Context(), "b-1.x.kafka.eu-west-1.amazonaws.com:9098")
	login, ok := c.Explain(err).(*LoginError) //nolint:errorlint // Explain returns it itself
	if !ok || !strings.Contains(login.Error(), "login with AWS_MSK_IAM cannot begin: AWS: find AWS credentials") || !strings.Contains(login.Hint(), "AWS_PROFILE") || !login.Definite() {
		t.Errorf("%v", c.Explain(err))
	}
	isolateAWS(t, "AKIDEXAMPLE", exampleSecret, "")
	c = mustLoad(t, iamFile)
	if _, _, err := c.mechanism.Authenticate(t.Context(), "broker.example.com:9098"); err == nil || !strings.Contains(err.Error(), "the region is not known") {
		t.Errorf("%v", err)
	}
	_, err = load(t, strings.Replace(iamFile, "required;", `required awsProfil="x";`, 1))
	refuses(t, err, "line 3", "awsProfil")
	_, err = load(t, strings.Replace(iamFile, "required;", `required "canary"="x";`, 1))
	refuses(t, err, "line 3", "not known here")
}

// TestRegionOf finds the region in names of brokers.
func TestRegionOf(t *testing.T) {
	for host, want := range map[string]string{
		"b-1.demo.abc.c2.kafka.eu-west-1.amazonaws.com": "eu-west-1", "boot-x.c3.kafka-serverless.us-east-1.amazonaws.com": "us-east-1",
		"b-2.demo.c1.kafka.cn-north-1.amazonaws.com.cn": "cn-north-1", "broker.example.com": "", "127.0.0.1": "", "amazonaws.com": "",
	} {
		if got := regionOf(host); got != want {
			t.Errorf("%s: %q, want %q", host, got, want)
		}
	}
}
