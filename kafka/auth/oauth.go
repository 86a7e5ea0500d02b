package auth

import (
	"context"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/sasl"
	"github.com/twmb/franz-go/pkg/sasl/oauth"
)

const (
	moduleOAuth  = "org.apache.kafka.common.security.oauthbearer.OAuthBearerLoginModule"
	tokenURLName = "sasl.oauthbearer.token.endpoint.url"
	maxToken     = 1 << 20 // no answer with a token is larger
	// tokenTimeout bounds one request for a token.
	tokenTimeout = 10 * time.Second
	// tokenShare is how much of a token's lifetime it is used for: a new one is there
	// before brokers refuse the old one.
	tokenShare = 0.8
)

// tokenError is a token that could not be had.
type tokenError struct {
	what, hint string
	retriable  bool
	cause      error
}

func (e *tokenError) Error() string {
	if e.cause == nil {
		return e.what
	}
	return e.what + ": " + e.cause.Error()
}

func (e *tokenError) Unwrap() error   { return e.cause }
func (e *tokenError) Hint() string    { return e.hint }
func (e *tokenError) Retriable() bool { return e.retriable }

// oauthBearer chooses where tokens come from: Amazon's handler, a file, or a token
// endpoint.
func (m *mechanismMaker) oauthBearer() (sasl.Mechanism, error) {
	s := m.settings
	if err := m.wants(moduleOAuth); err != nil {
		return nil, err
	}
	if err := m.checkHandlers(); err != nil {
		return nil, err
	}
	extensions, err := m.extensions()
	if err != nil {
		return nil, err
	}
	var token func(context.Context) (string, error)
	address := s.value(tokenURLName)
	u, err := url.Parse(address)
	switch {
	case isAmazonHandler(s.value(loginHandler)):
		signer, err := m.awsSigner()
		if err != nil {
			return nil, err
		}
		return amazonToken{signer, extensions}, nil
	case address == "":
		return nil, s.fault(tokenURLName, "is missing: tokens come from there, by http, https or file", "")
	case err != nil:
		return nil, s.fault(tokenURLName, "is not a URL", "") // not the error, which quotes it
	case u.Scheme == "file":
		token = tokenFile(u.Path).read
	case (u.Scheme == "http" || u.Scheme == "https") && u.Host != "":
		client, err := m.tokenClient(u)
		if err != nil {
			return nil, err
		}
		token = client.token
	default:
		return nil, s.fault(tokenURLName, "is neither http, https nor file", "")
	}
	return oauth.Oauth(func(ctx context.Context) (oauth.Auth, error) {
		t, err := token(ctx)
		return oauth.Auth{Token: t, Extensions: extensions}, err
	}), nil
}

const (
	loginHandler  = "sasl.login.callback.handler.class"
	clientHandler = "sasl.client.callback.handler.class"
	retriever     = "sasl.oauthbearer.jwt.retriever.class"
)

// checkHandlers refuses classes of Java that do what is not known here.
func (m *mechanismMaker) checkHandlers() error {
	const kafka = "org.apache.kafka.common.security.oauthbearer."
	known := map[string]bool{
		"": true, kafka + "OAuthBearerLoginCallbackHandler": true, kafka + "secured.OAuthBearerLoginCallbackHandler": true,
		kafka + "DefaultJwtRetriever": true, kafka + "ClientCredentialsJwtRetriever": true, kafka + "FileJwtRetriever": true,
		kafka + "internals.OAuthBearerSaslClientCallbackHandler": true,
	}
	for _, name := range []string{loginHandler, clientHandler, retriever} {
		class := strings.TrimSpace(m.settings.value(name))
		if !known[class] && !isAmazonHandler(class) {
			return m.settings.fault(name, "names a class of Java's that has no counterpart here",
				"tokens can come from a file, or from a token endpoint with client credentials: "+tokenURLName)
		}
	}
	return nil
}

// extensions are those of the login module, and of librdkafka's sasl.oauthbearer.extensions.
func (m *mechanismMaker) extensions() (map[string]string, error) {
	out := map[string]string{}
	for option, value := range m.jaas.options {
		if name, ok := strings.CutPrefix(option, "extension_"); ok {
			out[name] = value
		}
	}
	const name = "sasl.oauthbearer.extensions"
	if m.settings.has(name) {
		for _, pair := range strings.Split(m.settings.value(name), ",") {
			key, value, ok := strings.Cut(strings.TrimSpace(pair), "=")
			if !ok {
				return nil, m.settings.fault(name, "is not name=value,…", "")
			}
			out[key] = value
		}
	}
	for key := range out {
		if key == "" || key == "auth" || strings.Trim(strings.ToLower(key), "abcdefghijklmnopqrstuvwxyz") != "" {
			return nil, m.settings.fault("sasl.jaas.config", "has an extension whose name is not of letters, or is auth", "")
		}
	}
	return out, nil
}

// tokenFile is a file with a token in it, which somebody else renews.
type tokenFile string

func (f tokenFile) read(context.Context) (string, error) {
	b, err := readFile(string(f))
	token := strings.TrimSpace(string(b))
	if err == nil && (token == "" || strings.ContainsAny(token, " \t\r\n\x01")) {
		err = fmt.Errorf("read %s: there is not one token in it", string(f))
	}
	if err != nil {
		return "", &tokenError{what: "read the token", cause: err, hint: "put a token into the file that " + tokenURLName + " names"}
	}
	return token, nil
}

// tokenClient asks a token endpoint with client credentials (RFC 6749, 4.4) and keeps the
// token for most of its lifetime.
type tokenClient struct {
	url        string
	id, secret string
	scope      string
	http       *http.Client

	mu    sync.Mutex
	kept  string
	until time.Time
}

func (m *mechanismMaker) tokenClient(u *url.URL) (*tokenClient, error) {
	s := m.settings
	first := func(name, option string) string {
		if s.has(name) {
			return s.value(name)
		}
		return m.jaas.options[option]
	}
	c := &tokenClient{
		url:    u.String(),
		id:     first("sasl.oauthbearer.client.credentials.client.id", "clientId"),
		secret: first("sasl.oauthbearer.client.credentials.client.secret", "clientSecret"),
		scope:  first("sasl.oauthbearer.scope", "scope"),
	}
	if c.id == "" || c.secret == "" {
		return nil, &Error{Where: m.login.where, what: "OAUTHBEARER wants the ID and the secret of a client",
			hint: "write sasl.oauthbearer.client.credentials.client.id and .client.secret, or clientId and clientSecret in sasl.jaas.config"}
	}
	m.login.user = c.id
	if strings.EqualFold(s.value("sasl.oauthbearer.header.urlencode"), "true") {
		c.id, c.secret = url.QueryEscape(c.id), url.QueryEscape(c.secret)
	}
	transport, err := m.tokenTransport()
	if err != nil {
		return nil, err
	}
	c.http = &http.Client{Transport: transport, Timeout: tokenTimeout, CheckRedirect: func(*http.Request, []*http.Request) error {
		return http.ErrUseLastResponse // the secret goes to the endpoint and nowhere else
	}}
	return c, nil
}

// tokenTransport trusts the system's authorities, and those that sasl.jaas.config or the
// properties name for brokers.
func (m *mechanismMaker) tokenTransport() (*http.Transport, error) {
	trust := keyFiles{
		where: m.settings.byName["sasl.jaas.config"].where + ": ssl.truststore.location in sasl.jaas.config",
		store: m.jaas.options["ssl.truststore.location"], storePassword: m.jaas.options["ssl.truststore.password"],
	}
	if trust.store == "" && m.config.tls != nil {
		trust = m.config.tls.trust
	}
	extra, err := trust.certificates()
	if err != nil {
		return nil, err
	}
	transport := http.DefaultTransport.(*http.Transport).Clone()
	if len(extra) > 0 {
		pool, err := x509.SystemCertPool()
		if err != nil {
			pool = x509.NewCertPool()
		}
		for _, certificate := range extra {
			pool.AddCert(certificate)
		}
		transport.TLSClientConfig = cloneWithRoots(transport.TLSClientConfig, pool)
	}
	return transport, nil
}

// token returns a token that is good for a while.
func (c *tokenClient) token(ctx context.Context) (string, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.kept != "" && time.Now().Before(c.until) {
		return c.kept, nil
	}
	token, lifetime, err := c.ask(ctx)
	if err != nil {
		return "", err
	}
	c.kept, c.until = token, time.Now().Add(time.Duration(float64(lifetime)*tokenShare))
	return token, nil
}

// tokenAnswer is what endpoints answer, well or not.
type tokenAnswer struct {
	AccessToken string      `json:"access_token"`
	ExpiresIn   json.Number `json:"expires_in"`
	Error       string      `json:"error"`
	Description string      `json:"error_description"`
}

func (c *tokenClient) ask(ctx context.Context) (token string, lifetime time.Duration, err error) {
	form := url.Values{"grant_type": {"client_credentials"}}
	if c.scope != "" {
		form.Set("scope", c.scope)
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, c.url, strings.NewReader(form.Encode()))
	if err != nil {
		return "", 0, &tokenError{what: tokenURLName + " is not a URL"}
	}
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	req.Header.Set("Accept", "application/json")
	req.Header.Set("Authorization", "Basic "+base64.StdEncoding.EncodeToString([]byte(c.id+":"+c.secret)))
	resp, err := c.http.Do(req)
	if err != nil {
		return "", 0, c.unreached(err)
	}
	defer resp.Body.Close() //nolint:errcheck // only read
	body, err := io.ReadAll(io.LimitReader(resp.Body, maxToken))
	if err != nil {
		return "", 0, c.unreached(err)
	}
	var answer tokenAnswer
	decodeErr := json.Unmarshal(body, &answer)
	if resp.StatusCode/100 != 2 {
		return "", 0, c.refused(resp, answer)
	}
	if decodeErr != nil || answer.AccessToken == "" || strings.ContainsAny(answer.AccessToken, " \x01") {
		return "", 0, &tokenError{what: fmt.Sprintf("%s: the answer holds no access_token", c.where()), hint: "check " + tokenURLName}
	}
	return answer.AccessToken, lifetimeOf(answer), nil
}

// where is the endpoint without what may be secret in it.
func (c *tokenClient) where() string {
	u, err := url.Parse(c.url)
	if err != nil {
		return tokenURLName
	}
	return "token endpoint " + u.Scheme + "://" + u.Host + u.Path
}

func (c *tokenClient) unreached(err error) error {
	var inner *url.Error
	if errors.As(err, &inner) {
		err = inner.Err // without the URL
	}
	e := &tokenError{what: c.where(), cause: err, retriable: true, hint: "check " + tokenURLName + ", and that it can be reached from here"}
	var authority x509.UnknownAuthorityError
	if errors.As(err, &authority) {
		e.retriable = false
		e.hint = `name the endpoint's authority: ssl.truststore.location="…" in sasl.jaas.config, or the system's certificates`
	}
	return e
}

// refused quotes no more than the error codes of the standard: an endpoint may repeat what
// it was sent.
func (c *tokenClient) refused(resp *http.Response, answer tokenAnswer) error {
	what := fmt.Sprintf("%s: HTTP %d", c.where(), resp.StatusCode)
	switch answer.Error {
	case "invalid_request", "invalid_client", "invalid_grant", "unauthorized_client", "unsupported_grant_type", "invalid_scope":
		what += " " + answer.Error
	}
	e := &tokenError{what: what, retriable: resp.StatusCode >= 500 || resp.StatusCode == http.StatusTooManyRequests, hint: "check " + tokenURLName}
	switch {
	case answer.Error == "invalid_scope":
		e.hint = "check sasl.oauthbearer.scope"
	case resp.StatusCode == http.StatusUnauthorized || answer.Error == "invalid_client" || answer.Error == "unauthorized_client":
		e.hint = "check client ID and secret, and that the client may ask for tokens with its credentials"
	case e.retriable:
		e.hint = "the token endpoint is in trouble; try again"
	}
	return e
}

// lifetimeOf is what the answer says, else the token itself (exp, of a JWT), else short.
func lifetimeOf(answer tokenAnswer) time.Duration {
	if n, err := strconv.ParseFloat(string(answer.ExpiresIn), 64); err == nil && n > 0 && n < 1e9 {
		return time.Duration(n * float64(time.Second))
	}
	parts := strings.Split(answer.AccessToken, ".")
	if len(parts) == 3 {
		var claims struct {
			Expires float64 `json:"exp"`
		}
		b, err := base64.RawURLEncoding.DecodeString(parts[1])
		if err == nil && json.Unmarshal(b, &claims) == nil && claims.Expires > 0 && claims.Expires < 1e12 {
			return time.Until(time.Unix(int64(claims.Expires), 0))
		}
	}
	return time.Minute
}
