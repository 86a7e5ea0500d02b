package kafka

import (
	"bytes"
	"context"
	"crypto/tls"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"coldstream/internal/program"
	"coldstream/kafka/auth"
)

const (
	// probeTimeout bounds each step of a look at a port that did not serve a client.
	probeTimeout = 3 * time.Second
	// maxProbeAnswer bounds what is read from a port that may not be a broker's.
	maxProbeAnswer = 1 << 20
	// misrouteVersion is the first version of ApiVersions that carries whom the client
	// takes the broker for (KIP-1242).
	misrouteVersion = 5
)

// expectedBroker is whom the cluster says to find at an address. The zero value expects
// nobody in particular.
type expectedBroker struct {
	clusterID string
	nodeID    int32
}

// probe looks at a port, after a client got nowhere there, and says what it is that
// explains this. It returns nil if it finds nothing wrong. It may say less than there is to
// know, and never something that it did not see.
func probe(ctx context.Context, login *auth.Config, address string, want expectedBroker) error {
	conn, err := login.Dial(ctx, address, stepTimeout(ctx))
	if err != nil {
		return dialError(address, err)
	}
	defer conn.Close() //nolint:errcheck // nothing of it is needed
	p := &prober{conn: conn, address: address, login: login}
	versions := kmsg.NewApiVersionsResponse()
	if err := p.ask(ctx, kmsg.NewPtrApiVersionsRequest(), &versions); err != nil {
		return p.explain(ctx, err)
	}
	apis := map[int16]int16{}
	for _, key := range versions.ApiKeys {
		apis[key.ApiKey] = key.MaxVersion
	}
	if _, serves := apis[kmsg.Metadata.Int16()]; !serves && len(apis) > 0 {
		return errController(address)
	}
	if want.clusterID != "" && apis[kmsg.ApiVersions.Int16()] >= misrouteVersion {
		if err := p.askWho(ctx, want); err != nil {
			return err
		}
	}
	return p.askLogin(ctx)
}

// stepTimeout is how long one step of a look at a port may take, so that there is time left
// for another one.
func stepTimeout(ctx context.Context) time.Duration {
	if end, ok := ctx.Deadline(); ok {
		return min(probeTimeout, time.Until(end)/2)
	}
	return probeTimeout
}

func dialPlain(ctx context.Context, address string) (net.Conn, error) {
	dialer := net.Dialer{Timeout: stepTimeout(ctx)}
	conn, err := dialer.DialContext(ctx, "tcp", address)
	if err != nil {
		return nil, dialError(address, err)
	}
	return conn, nil
}

// prober has one connection to a port.
type prober struct {
	conn    net.Conn
	address string
	login   *auth.Config
}

// notKafkaError holds what came instead of an answer.
type notKafkaError struct{ said []byte }

func (e *notKafkaError) Error() string { return fmt.Sprintf("it says %q", e.said) }

// ask sends a request and reads its answer.
func (p *prober) ask(ctx context.Context, req kmsg.Request, resp kmsg.Response) error {
	const correlation = 1
	if err := p.conn.SetDeadline(time.Now().Add(stepTimeout(ctx))); err != nil {
		return err
	}
	request := kmsg.NewRequestFormatter(kmsg.FormatterClientID(clientID)).AppendRequest(nil, req, correlation)
	if _, err := p.conn.Write(request); err != nil {
		return err
	}
	var head [8]byte // the size, and the number of the request
	if n, err := io.ReadFull(p.conn, head[:]); err != nil {
		if n > 0 {
			return &notKafkaError{head[:n]}
		}
		return err
	}
	size := binary.BigEndian.Uint32(head[:])
	if size < 4 || size > maxProbeAnswer || binary.BigEndian.Uint32(head[4:]) != correlation {
		more := make([]byte, 24)
		n, _ := io.ReadAtLeast(p.conn, more, 1) // what it says is only for people
		return &notKafkaError{append(head[:], more[:n]...)}
	}
	body := make([]byte, size-4)
	if _, err := io.ReadFull(p.conn, body); err != nil {
		return err
	}
	resp.SetVersion(req.GetVersion())
	return resp.ReadFrom(body)
}

// explain says what a port is that gave no answer of a broker.
func (p *prober) explain(ctx context.Context, err error) error {
	var other *notKafkaError
	var timeout net.Error
	const tlsAlert, tlsMajor = 21, 3
	switch {
	case errors.As(err, &other) && bytes.HasPrefix(other.said, []byte("HTTP/")):
		return &contactError{
			text: p.address + " is an HTTP server, and not a Kafka broker", hint: hintPort, final: true,
		}
	case !p.login.Encrypts() && (errors.As(err, &other) && len(other.said) > 1 && other.said[0] == tlsAlert && other.said[1] == tlsMajor || speaksTLS(ctx, p.address)):
		return &contactError{
			text:  p.address + " speaks TLS, and it was spoken to in plaintext",
			hint:  "write security.protocol=SSL (with a login: SASL_SSL) in the properties, or name a listener without TLS",
			input: auth.InputProperties, final: true,
		}
	case errors.As(err, &other):
		return &contactError{
			text: fmt.Sprintf("%s is not a Kafka broker: it answers %q", p.address, printable(other.said)), hint: hintPort, final: true,
		}
	case errors.As(err, &timeout) && timeout.Timeout():
		return &contactError{text: p.address + " takes connections and answers nothing", hint: hintSilent}
	}
	return &contactError{
		text: p.address + " takes connections and closes them without an answer", hint: hintSilent,
	}
}

const (
	hintPort   = "name the host and port of a broker's listener, which is often 9092"
	hintSilent = "see whether that is a broker's listener, and what stands before it: a proxy, a firewall, a tunnel"
)

// printable cuts off what is not text.
func printable(said []byte) string {
	text, _, _ := strings.Cut(string(said), "\n")
	return strings.TrimRight(text, "\r")
}

// speaksTLS tries a TLS handshake. Whose certificate it is does not matter here.
func speaksTLS(ctx context.Context, address string) bool {
	ctx, cancel := context.WithTimeout(ctx, stepTimeout(ctx))
	defer cancel()
	plain, err := dialPlain(ctx, address)
	if err != nil {
		return false
	}
	defer plain.Close()                                              //nolint:errcheck // nothing of it is needed
	conn := tls.Client(plain, &tls.Config{InsecureSkipVerify: true}) // nothing is sent
	err = conn.HandshakeContext(ctx)
	var alert tls.AlertError
	return err == nil || errors.As(err, &alert) // a server that refuses us speaks it, too
}

func errController(address string) error {
	return &contactError{
		text:  address + " is the controller listener of a KRaft node, which does not serve clients",
		hint:  "name a broker's listener: one in `listeners` of a broker's server.properties that is not in controller.listener.names",
		final: true,
	}
}

// askWho asks a broker whether it is the one that is expected.
func (p *prober) askWho(ctx context.Context, want expectedBroker) error {
	req := kmsg.NewPtrApiVersionsRequest()
	req.Version, req.ClientSoftwareName, req.ClientSoftwareVersion = misrouteVersion, program.Name, program.SoftwareVersion()
	req.ClusterID, req.NodeID = &want.clusterID, want.nodeID
	resp := kmsg.NewApiVersionsResponse()
	if err := p.ask(ctx, req, &resp); err != nil || resp.ErrorCode != kerr.RebootstrapRequired.Code {
		return nil //nolint:nilerr // it does not say that it is another
	}
	return errMisrouted(p.address, want, "it says that it is not (REBOOTSTRAP_REQUIRED)")
}

// errMisrouted is for an address where another broker answers than the cluster says.
func errMisrouted(address string, want expectedBroker, how string) *contactError {
	return &contactError{
		text: fmt.Sprintf("%s, which should be broker %d of cluster %s, is another broker or belongs to another cluster: %s",
			address, want.nodeID, want.clusterID, how),
		hint:  "correct advertised.listeners of broker " + strconv.Itoa(int(want.nodeID)) + ", or what its name resolves to here",
		final: true,
	}
}

// askLogin asks which logins a broker takes. One without any answers that it takes none.
func (p *prober) askLogin(ctx context.Context) error {
	req := kmsg.NewPtrSASLHandshakeRequest()
	req.Version, req.Mechanism = 1, "?"
	resp := kmsg.NewSASLHandshakeResponse()
	if err := p.ask(ctx, req, &resp); err != nil || resp.ErrorCode != kerr.UnsupportedSaslMechanism.Code {
		return nil //nolint:nilerr // it asks for no login
	}
	offered := strings.Join(resp.SupportedMechanisms, ", ")
	if p.login.LogsIn() {
		if slices.Contains(resp.SupportedMechanisms, p.login.Mechanism()) {
			return nil
		}
		return &contactError{
			text: fmt.Sprintf("%s does not offer sasl.mechanism=%s, and offers %s", p.address, p.login.Mechanism(), offered),
			hint: "write one of these, with the login module that belongs to it, or name another listener", final: true,
		}
	}
	protocol := "SASL_PLAINTEXT"
	if p.login.Encrypts() {
		protocol = "SASL_SSL"
	}
	return &contactError{
		text: fmt.Sprintf("%s asks for a login (SASL: %s), and none was given", p.address, offered),
		hint: "write security.protocol=" + protocol + ", sasl.mechanism and sasl.jaas.config in the properties," +
			" or name a listener without a login",
		input: auth.InputProperties, final: true,
	}
}

// dialError says in a line why there is no connection.
func dialError(address string, err error) error {
	var dns *net.DNSError
	var timeout net.Error
	switch {
	case errors.As(err, &dns) && dns.IsNotFound:
		return &contactError{
			text: fmt.Sprintf("%s: no such host: the name %q is not known here", address, dns.Name),
			hint: "correct the name, or make it known here (DNS, /etc/hosts)", input: auth.InputAddress, cause: err, prompt: true,
		}
	case errors.Is(err, syscall.ECONNREFUSED):
		return &contactError{
			text: address + ": connection refused: nothing listens there", hint: "see whether the broker runs, and whether host and port are right", input: auth.InputAddress, cause: err, prompt: true,
		}
	case errors.As(err, &timeout) && timeout.Timeout():
		return &contactError{
			text: address + ": no answer to an attempt to connect", hint: "see whether a firewall is between, and whether host and port are right", input: auth.InputAddress, cause: err,
		}
	}
	return &contactError{text: fmt.Sprintf("%s: %v", address, err), hint: hintSilent, cause: err}
}

// contactError says why an address was not reached, and what to do about it.
type contactError struct {
	text, hint string
	input      auth.Input
	cause      error
	final      bool // another try comes to the same
	prompt     bool // it was known at once, and may change
}

func (e *contactError) Error() string { return e.text }
func (e *contactError) Unwrap() error { return e.cause }

// Input is what the hint speaks of; empty if that is no one thing.
func (e *contactError) Input() auth.Input { return e.input }

// Hint says what to do.
func (e *contactError) Hint() string { return e.hint }
