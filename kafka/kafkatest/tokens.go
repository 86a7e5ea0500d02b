package kafkatest

import (
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"time"
)

const (
	tokenAudience = "kafka"
	tokenIssuer   = "https://tokens.example.com"
	tokenKeyID    = "test"
)

// TokenServer gives tokens of OAUTHBEARER to the users of Config.Users, as client
// credentials, and shows the key that brokers check them with.
type TokenServer struct {
	server *httptest.Server
	key    *rsa.PrivateKey
	users  map[string]string

	mu       sync.Mutex
	asked    int
	form     map[string]string
	lifetime time.Duration
	answer   func(http.ResponseWriter)
}

func startTokenServer(users map[string]string) (*TokenServer, error) {
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		return nil, err
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	s := &TokenServer{key: key, users: users, lifetime: time.Hour}
	mux := http.NewServeMux()
	mux.HandleFunc("POST /token", s.give)
	mux.HandleFunc("GET /jwks", s.keys)
	s.server = &httptest.Server{Listener: l, Config: &http.Server{Handler: mux}}
	s.server.Start()
	return s, nil
}

// URL is where tokens are asked for.
func (s *TokenServer) URL() string { return s.server.URL + "/token" }

func (s *TokenServer) jwksURL() string { return s.server.URL + "/jwks" }

// Asked counts the requests for tokens, and returns the form of the last one.
func (s *TokenServer) Asked() (requests int, form map[string]string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.asked, s.form
}

// Lifetime changes how long new tokens are good, an hour at first.
func (s *TokenServer) Lifetime(d time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.lifetime = d
}

// Answer makes the server answer so, and as ever after nil.
func (s *TokenServer) Answer(answer func(http.ResponseWriter)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.answer = answer
}

func (s *TokenServer) give(w http.ResponseWriter, r *http.Request) {
	user, secret, _ := r.BasicAuth()
	_ = r.ParseForm() // an empty form is refused below
	form := map[string]string{}
	for name := range r.PostForm {
		form[name] = r.PostForm.Get(name)
	}
	s.mu.Lock()
	s.asked++
	s.form = form
	answer, lifetime := s.answer, s.lifetime
	s.mu.Unlock()
	want, known := s.users[user]
	switch {
	case answer != nil:
		answer(w)
	case form["grant_type"] != "client_credentials":
		http.Error(w, `{"error":"unsupported_grant_type"}`, http.StatusBadRequest)
	case !known || secret != want:
		http.Error(w, `{"error":"invalid_client","error_description":"unknown client or wrong secret"}`, http.StatusUnauthorized)
	default:
		w.Header().Set("Content-Type", "application/json")
		_ = json.NewEncoder(w).Encode(map[string]any{ // if it does not arrive, the client says so
			"access_token": s.Token(user, lifetime), "token_type": "Bearer", "expires_in": int(lifetime.Seconds()), "scope": form["scope"],
		})
	}
}

// Token makes a token for a user that the brokers accept for so long.
func (s *TokenServer) Token(user string, lifetime time.Duration) string {
	encode := func(v any) string {
		b, _ := json.Marshal(v) // maps of strings and numbers
		return base64.RawURLEncoding.EncodeToString(b)
	}
	now := time.Now()
	signed := encode(map[string]any{"alg": "RS256", "kid": tokenKeyID, "typ": "JWT"}) + "." + encode(map[string]any{
		"sub": user, "aud": tokenAudience, "iss": tokenIssuer, "scope": "kafka", "iat": now.Unix(), "exp": now.Add(lifetime).Unix(),
	})
	sum := sha256.Sum256([]byte(signed))
	signature, err := rsa.SignPKCS1v15(rand.Reader, s.key, crypto.SHA256, sum[:])
	if err != nil {
		panic(fmt.Sprintf("kafkatest: sign a token: %v", err)) // the key is ours
	}
	return signed + "." + base64.RawURLEncoding.EncodeToString(signature)
}

// keys answers with the public key as a JSON Web Key Set.
func (s *TokenServer) keys(w http.ResponseWriter, _ *http.Request) {
	encode := base64.RawURLEncoding.EncodeToString
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(map[string]any{"keys": []map[string]string{{
		"kty": "RSA", "kid": tokenKeyID, "use": "sig", "alg": "RS256",
		"n": encode(s.key.N.Bytes()), "e": strings.TrimRight(encode(big.NewInt(int64(s.key.E)).Bytes()), "="),
	}}})
}
