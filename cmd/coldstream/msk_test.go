package main

import (
	"crypto/hmac"
	"crypto/sha256"
	"crypto/tls"
	"encoding/base64"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/url"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"coldstream/kafka/kafkatest"
)

const (
	mskListener  = "MSK"
	mskKeyID     = "AKIDEXAMPLE"
	mskSecretKey = "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY"
	mskRegion    = "eu-west-1"
)

// mskProxy stands before a listener of the shared broker, which advertises it, and does
// what Amazon's brokers do: it ends TLS and SASL, and checks the signature by the published
// rules, with code that shares nothing with ours. Everything else is the broker's.
type mskProxy struct {
	listener net.Listener

	mu     sync.Mutex
	logins []string // mechanism and user agent, of those that were accepted
}

// msk is there before the broker, which must know its address.
var msk = newMSKProxy()

func newMSKProxy() *mskProxy {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		panic(err)
	}
	return &mskProxy{listener: l}
}

func (p *mskProxy) address() string { return p.listener.Addr().String() }

// serve takes connections until the test ends.
func (p *mskProxy) serve(t *testing.T, c *kafkatest.Cluster) {
	t.Helper()
	broker := filepath.Join(c.Secrets().Dir, "broker.pem")
	certificate, err := tls.LoadX509KeyPair(broker, broker)
	if err != nil {
		t.Fatal(err)
	}
	target := c.ListenerAddrs(mskListener)[0]
	t.Cleanup(func() { _ = p.listener.Close() })
	go func() {
		for {
			conn, err := p.listener.Accept()
			if err != nil {
				return
			}
			go func() {
				client := tls.Server(conn, &tls.Config{Certificates: []tls.Certificate{certificate}, MinVersion: tls.VersionTLS12})
				defer client.Close()
				broker, err := net.Dial("tcp", target)
				if err != nil {
					return
				}
				defer broker.Close()
				if p.login(client, broker) != nil {
					return
				}
				go func() {
					_, _ = io.Copy(broker, client) // ends with either connection
					_ = broker.Close()
				}()
				_, _ = io.Copy(client, broker)
			}()
		}
	}()
}

// login answers requests up to the login.
func (p *mskProxy) login(client, broker net.Conn) error {
	mechanism := ""
	for {
		frame, err := readFrame(client)
		if err != nil {
			return err
		}
		key, version := int16(binary.BigEndian.Uint16(frame)), int16(binary.BigEndian.Uint16(frame[2:]))
		switch key {
		case kmsg.SASLHandshake.Int16():
			req := kmsg.NewPtrSASLHandshakeRequest()
			if err := readBody(req, version, frame); err != nil {
				return err
			}
			mechanism = req.Mechanism
			resp := kmsg.NewPtrSASLHandshakeResponse()
			resp.SupportedMechanisms = []string{"AWS_MSK_IAM", "OAUTHBEARER"}
			if !slices.Contains(resp.SupportedMechanisms, mechanism) {
				resp.ErrorCode = kerr.UnsupportedSaslMechanism.Code
			}
			err = writeBody(client, frame, version, resp)
		case kmsg.SASLAuthenticate.Int16():
			req := kmsg.NewPtrSASLAuthenticateRequest()
			if err := readBody(req, version, frame); err != nil {
				return err
			}
			agent, refused := checkMSK(mechanism, req.SASLAuthBytes)
			resp := kmsg.NewPtrSASLAuthenticateResponse()
			if refused != nil {
				text := "[x]: Access denied: " + refused.Error()
				resp.ErrorCode, resp.ErrorMessage = kerr.SaslAuthenticationFailed.Code, &text
			} else if mechanism == "AWS_MSK_IAM" {
				resp.SASLAuthBytes = []byte(`{"version":"2020_10_22","request-id":"x"}`)
			}
			if err := errors.Join(writeBody(client, frame, version, resp), refused); err != nil {
				return err
			}
			p.mu.Lock()
			p.logins = append(p.logins, mechanism+" "+agent)
			p.mu.Unlock()
			return nil
		default:
			err = forward(client, broker, frame)
		}
		if err != nil {
			return err
		}
	}
}

func readFrame(r io.Reader) ([]byte, error) {
	var size [4]byte
	if _, err := io.ReadFull(r, size[:]); err != nil {
		return nil, err
	}
	frame := make([]byte, binary.BigEndian.Uint32(size[:]))
	_, err := io.ReadFull(r, frame)
	return frame, err
}

func writeFrame(w io.Writer, frame []byte) error {
	_, err := w.Write(append(binary.BigEndian.AppendUint32(nil, uint32(len(frame))), frame...))
	return err
}

// forward sends a request to the broker and its answer back.
func forward(client, broker net.Conn, frame []byte) error {
	if err := writeFrame(broker, frame); err != nil {
		return err
	}
	answer, err := readFrame(broker)
	if err != nil {
		return err
	}
	return writeFrame(client, answer)
}

// readBody passes the header: key, version, correlation, client ID, tags.
func readBody(req kmsg.Request, version int16, frame []byte) error {
	req.SetVersion(version)
	body := frame[8:]
	if length := int16(binary.BigEndian.Uint16(body)); length > 0 {
		body = body[length:]
	}
	body = body[2:]
	if req.IsFlexible() {
		body = body[1:]
	}
	return req.ReadFrom(body)
}

func writeBody(w io.Writer, request []byte, version int16, resp kmsg.Response) error {
	resp.SetVersion(version)
	frame := slices.Clone(request[4:8])
	if resp.IsFlexible() {
		frame = append(frame, 0)
	}
	return writeFrame(w, resp.AppendTo(frame))
}

// checkMSK checks what a client says first, in either form.
func checkMSK(mechanism string, said []byte) (agent string, err error) {
	if mechanism == "AWS_MSK_IAM" {
		var payload map[string]string
		if err := json.Unmarshal(said, &payload); err != nil {
			return "", err
		}
		if payload["version"] != "2020_10_22" || payload["host"] != "127.0.0.1" {
			return "", fmt.Errorf("version %q, host %q", payload["version"], payload["host"])
		}
		return payload["user-agent"], checkSignature(payload["host"], payload)
	}
	token, ok := strings.CutPrefix(strings.TrimRight(string(said), "\x01"), "n,,\x01auth=Bearer ")
	if !ok {
		return "", errors.New("no token")
	}
	text, err := base64.RawURLEncoding.DecodeString(token)
	if err != nil {
		return "", err
	}
	u, err := url.Parse(string(text))
	if err != nil {
		return "", err
	}
	if u.Host != "kafka."+mskRegion+".amazonaws.com" {
		return "", fmt.Errorf("host %q", u.Host)
	}
	payload := map[string]string{}
	for name, values := range u.Query() {
		payload[strings.ToLower(name)] = values[0]
	}
	return payload["user-agent"], checkSignature(u.Host, payload)
}

// checkSignature computes the signature as the documents of AWS say (Signature Version 4,
// in the query).
func checkSignature(host string, payload map[string]string) error {
	var query []string
	for _, name := range []string{"Action", "X-Amz-Algorithm", "X-Amz-Credential", "X-Amz-Date", "X-Amz-Expires", "X-Amz-SignedHeaders"} {
		value, ok := payload[strings.ToLower(name)]
		if !ok {
			return fmt.Errorf("%s is missing", name)
		}
		query = append(query, name+"="+strings.ReplaceAll(url.QueryEscape(value), "+", "%20"))
	}
	at, err := time.Parse("20060102T150405Z", payload["x-amz-date"])
	if err != nil || time.Since(at).Abs() > 15*time.Minute {
		return fmt.Errorf("signed at %q", payload["x-amz-date"])
	}
	scope := at.Format("20060102") + "/" + mskRegion + "/kafka-cluster/aws4_request"
	if payload["x-amz-credential"] != mskKeyID+"/"+scope || payload["action"] != "kafka-cluster:Connect" {
		return fmt.Errorf("%s of %q", payload["action"], payload["x-amz-credential"])
	}
	hash := func(text string) string {
		sum := sha256.Sum256([]byte(text))
		return hex.EncodeToString(sum[:])
	}
	request := "GET\n/\n" + strings.Join(query, "&") + "\nhost:" + host + "\n\nhost\n" + hash("")
	key := []byte("AWS4" + mskSecretKey)
	for _, part := range append(strings.Split(scope, "/"), "AWS4-HMAC-SHA256\n"+payload["x-amz-date"]+"\n"+scope+"\n"+hash(request)) {
		mac := hmac.New(sha256.New, key)
		mac.Write([]byte(part))
		key = mac.Sum(nil)
	}
	if hex.EncodeToString(key) != payload["x-amz-signature"] {
		return errors.New("the signature is wrong")
	}
	return nil
}

// TestMSK backs up through the proxy in both forms of Amazon's login.
func TestMSK(t *testing.T) {
	c := realCluster(t)
	msk.serve(t, c)
	fillTopic(t, c, "managed", 100)
	none := filepath.Join(t.TempDir(), "none")
	for name, value := range map[string]string{
		"AWS_CONFIG_FILE": none, "AWS_SHARED_CREDENTIALS_FILE": none, "AWS_PROFILE": "", "AWS_EC2_METADATA_DISABLED": "true", "AWS_SESSION_TOKEN": "",
		"AWS_REGION": mskRegion, "AWS_ACCESS_KEY_ID": mskKeyID, "AWS_SECRET_ACCESS_KEY": mskSecretKey,
	} {
		t.Setenv(name, value)
	}
	args := func(more ...string) []string {
		return append([]string{"backup", "-o", "json", "-b", msk.address(), "--vault", newVault(t), "-t", "managed", "-X", "security.protocol=SASL_SSL", "-X", "ssl.ca.location=" + c.Secrets().CA()}, more...)
	}
	iam := args("-X", "sasl.mechanism=AWS_MSK_IAM", "-X", "sasl.jaas.config=software.amazon.msk.auth.iam.IAMLoginModule required;",
		"-X", "sasl.client.callback.handler.class=software.amazon.msk.auth.iam.IAMClientCallbackHandler")
	token := args("-X", "sasl.mechanism=OAUTHBEARER", "-X", "sasl.login.callback.handler.class=software.amazon.msk.auth.iam.IAMOAuthBearerLoginCallbackHandler")
	for _, login := range [][]string{iam, token} {
		var saved struct{ Records int64 }
		command(t, nil, login...).must(t, exitDone).into(t, &saved)
		if saved.Records != 100 {
			t.Errorf("saved %d records, want 100", saved.Records)
		}
	}
	msk.mu.Lock()
	seen := slices.Clone(msk.logins)
	msk.mu.Unlock()
	for _, want := range []string{"AWS_MSK_IAM coldstream/", "OAUTHBEARER coldstream/"} {
		if !slices.ContainsFunc(seen, func(s string) bool { return strings.HasPrefix(s, want) }) {
			t.Errorf("no login %q in %q", want, seen)
		}
	}
	t.Setenv("AWS_SECRET_ACCESS_KEY", wrongPassword)
	got := command(t, nil, iam...).must(t, exitUnreachable).says(t, "login with AWS_MSK_IAM was refused", "Access denied")
	noSecrets(t, got)
}
