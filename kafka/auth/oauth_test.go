package auth

import (
	"context"
	"encoding/base64"
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

// endpoint is a token endpoint, and what it was asked last.
type endpoint struct {
	*httptest.Server
	asked  int
	user   string
	secret string
	form   url.Values
	answer func(w http.ResponseWriter)
}

func newEndpoint(t *testing.T) *endpoint {
	t.Helper()
	e := &endpoint{}
	e.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		e.asked++
		e.user, e.secret, _ = r.BasicAuth()
		_ = r.ParseForm() // compared below
		e.form = r.PostForm
		if e.answer != nil {
			e.answer(w)
			return
		}
		_, _ = fmt.Fprintf(w, `{"access_token":"token-%d","expires_in":3600}`, e.asked)
	}))
	t.Cleanup(e.Close)
	return e
}

func says(status int, body string) func(http.ResponseWriter) {
	return func(w http.ResponseWriter) {
		w.WriteHeader(status)
		_, _ = w.Write([]byte(body))
	}
}

// firstMessage is what the client says first to a broker.
func firstMessage(c *Config) (string, error) {
	_, first, err := c.mechanism.Authenticate(context.Background(), "broker:9092")
	return strings.ReplaceAll(string(first), "\x01", "|"), err
}

const oauthFile = "security.protocol=SASL_PLAINTEXT\nsasl.mechanism=OAUTHBEARER\nsasl.login.callback.handler.class=org.apache.kafka.common.security.oauthbearer.OAuthBearerLoginCallbackHandler\n"

// TestClientCredentials asks in both forms of Kafka, and librdkafka's.
func TestClientCredentials(t *testing.T) {
	for name, text := range map[string]string{
		"login module": "sasl.jaas.config=" + moduleOAuth + ` required clientId="id" clientSecret="s3cr+t" scope="a b" extension_logicalCluster="lkc-1" extension_identityPoolId="pool-1";`,
		"properties of 4.1": "sasl.jaas.config=" + moduleOAuth + ` required extension_logicalCluster="lkc-1" extension_identityPoolId="pool-1";` +
			"\nsasl.oauthbearer.client.credentials.client.id=id\nsasl.oauthbearer.client.credentials.client.secret=s3cr+t\nsasl.oauthbearer.scope=a b",
		"librdkafka": "sasl.oauthbearer.method=oidc\nsasl.oauthbearer.client.id=id\nsasl.oauthbearer.client.secret=s3cr+t\nsasl.oauthbearer.scope=a b\nsasl.oauthbearer.extensions=logicalCluster=lkc-1,identityPoolId=pool-1",
	} {
		t.Run(name, func(t *testing.T) {
			e := newEndpoint(t)
			c := mustLoad(t, oauthFile+"sasl.oauthbearer.token.endpoint.url="+e.URL+"/token\n"+text+"\n")
			for range 3 {
				got, err := firstMessage(c)
				if err != nil || got != "n,,|auth=Bearer token-1|identityPoolId=pool-1|logicalCluster=lkc-1||" {
					t.Errorf("%s %v", got, err)
				}
			}
			want := url.Values{"grant_type": {"client_credentials"}, "scope": {"a b"}}
			if diff := cmp.Diff(want, e.form); diff != "" || e.user != "id" || e.secret != "s3cr+t" || e.asked != 1 {
				t.Errorf("user %q, secret %q, asked %d times\n%s", e.user, e.secret, e.asked, diff)
			}
		})
	}
}

func TestClientCredentialsInTheHeaderAreEncoded(t *testing.T) {
	e := newEndpoint(t)
	c := mustLoad(t, oauthFile+"sasl.oauthbearer.token.endpoint.url="+e.URL+"\nsasl.oauthbearer.client.id=a:b\nsasl.oauthbearer.client.secret=c d\nsasl.oauthbearer.header.urlencode=true\n")
	if _, err := firstMessage(c); err != nil || e.user != "a%3Ab" || e.secret != "c+d" {
		t.Errorf("%q %q %v", e.user, e.secret, err)
	}
}

// A token is used for most of its lifetime: by the answer, or by what stands in it.
func TestTokenIsRenewed(t *testing.T) {
	e := newEndpoint(t)
	c := mustLoad(t, oauthFile+"sasl.oauthbearer.token.endpoint.url="+e.URL+"\nsasl.oauthbearer.client.id=id\nsasl.oauthbearer.client.secret=s\n")
	for range 2 {
		if _, err := firstMessage(c); err != nil {
			t.Fatal(err)
		}
	}
	if e.asked != 1 {
		t.Errorf("asked %d times for a token of an hour", e.asked)
	}
	e.answer = says(200, `{"access_token":"short","expires_in":"0.000001"}`)
	c = mustLoad(t, oauthFile+"sasl.oauthbearer.token.endpoint.url="+e.URL+"\nsasl.oauthbearer.client.id=id\nsasl.oauthbearer.client.secret=s\n")
	for range 2 {
		if _, err := firstMessage(c); err != nil {
			t.Fatal(err)
		}
	}
	if e.asked != 3 {
		t.Errorf("asked %d times, want 3: what has expired is not used", e.asked)
	}
	claims := base64.RawURLEncoding.EncodeToString(fmt.Appendf(nil, `{"exp":%d}`, time.Now().Add(time.Hour).Unix()))
	if d := lifetimeOf(tokenAnswer{AccessToken: "x." + claims + ".y"}); d < 50*time.Minute || d > time.Hour {
		t.Errorf("%s of a token that says an hour", d)
	}
	if d := lifetimeOf(tokenAnswer{AccessToken: "opaque"}); d != time.Minute {
		t.Errorf("%s of a token that says nothing", d)
	}
}

func TestTokenFileIsReadAgain(t *testing.T) {
	file := filepath.Join(t.TempDir(), "token")
	c := mustLoad(t, oauthFile+"sasl.oauthbearer.token.endpoint.url=file://"+file+"\n")
	for _, token := range []string{"one", "two"} {
		if err := os.WriteFile(file, []byte(token+"\n"), 0o600); err != nil {
			t.Fatal(err)
		}
		if got, err := firstMessage(c); err != nil || got != "n,,|auth=Bearer "+token+"||" {
			t.Errorf("%s %v", got, err)
		}
	}
	for _, bad := range []string{"", "two words canary"} {
		if err := os.WriteFile(file, []byte(bad), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := firstMessage(c); err == nil || strings.Contains(err.Error(), "canary") {
			t.Errorf("%v", err)
		}
	}
}

// TestTokenErrors says what is wrong, quotes nothing of what an endpoint answers, and
// tells what passes from what does not.
func TestTokenErrors(t *testing.T) {
	e := newEndpoint(t)
	text := oauthFile + "sasl.oauthbearer.token.endpoint.url=" + e.URL + "/t?key=canary\nsasl.oauthbearer.client.id=id\nsasl.oauthbearer.client.secret=canary\n"
	for _, w := range []struct {
		answer   func(http.ResponseWriter)
		says     string
		hint     string
		definite bool
	}{
		{says(401, `{"error":"invalid_client","error_description":"canary"}`), "HTTP 401 invalid_client", "client ID and secret", true},
		{says(400, `{"error":"invalid_scope"}`), "HTTP 400 invalid_scope", "sasl.oauthbearer.scope", true},
		{says(400, `{"error":"canary"}`), "HTTP 400", "token.endpoint.url", true},
		{says(404, `canary`), "HTTP 404", "token.endpoint.url", true},
		{says(302, ``), "HTTP 302", "token.endpoint.url", true},
		{says(503, `canary`), "HTTP 503", "try again", false},
		{says(200, `canary`), "holds no access_token", "token.endpoint.url", true},
		{says(200, `{"access_token":""}`), "holds no access_token", "token.endpoint.url", true},
	} {
		e.answer = w.answer
		c := mustLoad(t, text)
		_, err := firstMessage(c)
		login, ok := c.Explain(err).(*LoginError) //nolint:errorlint // Explain returns it itself
		if !ok {
			t.Errorf("%s: %v", w.says, err)
			continue
		}
		if !strings.Contains(login.Error(), w.says) || !strings.Contains(login.Hint(), w.hint) || login.Definite() != w.definite || strings.Contains(login.Error()+login.Hint(), "canary") {
			t.Errorf("%v; %s; definite: %v", login, login.Hint(), login.Definite())
		}
	}
	for text, says := range map[string]string{
		"":                                    "is missing",
		tokenURLName + "=ftp://x/canary":      "neither http, https nor file",
		tokenURLName + "=http://[canary":      "is not a URL",
		tokenURLName + "=http://x/":           "wants the ID and the secret of a client",
		loginHandler + "=com.example.Handler": "no counterpart here",
		tokenURLName + "=http://x/\nsasl.oauthbearer.client.id=a\nsasl.oauthbearer.client.secret=canary\nsasl.oauthbearer.extensions=canary": "is not name=value",
		"sasl.oauthbearer.assertion.file=x": "is not supported",
	} {
		_, err := load(t, oauthFile+text+"\n")
		refuses(t, err, says)
	}
}
