package auth

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/url"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/sasl"
	"github.com/twmb/franz-go/pkg/sasl/oauth"

	"coldstream/internal/awscreds"
	"coldstream/internal/program"
)

const (
	moduleIAM      = "software.amazon.msk.auth.iam.IAMLoginModule"
	awsService     = "kafka-cluster"
	awsSignedFor   = 15 * time.Minute // as long as Amazon's own library
	awsPayloadName = "2020_10_22"
)

// isAmazonHandler tells of the class with which Amazon's library logs in through
// OAUTHBEARER.
func isAmazonHandler(class string) bool {
	return strings.TrimSpace(class) == "software.amazon.msk.auth.iam.IAMOAuthBearerLoginCallbackHandler"
}

// awsSigner signs that somebody may connect.
type awsSigner struct {
	options awscreds.Options

	mu     sync.Mutex
	source *awscreds.Source
	now    func() time.Time
}

// awsSigner reads the options of Amazon's login module.
func (m *mechanismMaker) awsSigner() (*awsSigner, error) {
	o := m.jaas.options
	for name := range o {
		if !slices.Contains([]string{
			"awsProfileName", "awsRoleArn", "awsRoleExternalId", "awsRoleAccessKeyId", "awsRoleSecretAccessKey", "awsRoleSessionToken",
			"awsRoleSessionName", "awsStsRegion", "awsDebugCreds", "awsMaxRetries", "awsMaxBackOffTimeMs", "awsAddDefaultProviders",
		}, name) && !strings.HasPrefix(name, "extension_") {
			return nil, m.settings.fault("sasl.jaas.config", "has an option of AWS that is not known here: "+knownOptionName(name), "")
		}
	}
	return &awsSigner{now: time.Now, options: awscreds.Options{
		Profile: o["awsProfileName"],
		Static:  awscreds.Value{AccessKeyID: o["awsRoleAccessKeyId"], SecretAccessKey: o["awsRoleSecretAccessKey"], SessionToken: o["awsRoleSessionToken"]},
		Role:    awscreds.Role{ARN: o["awsRoleArn"], SessionName: o["awsRoleSessionName"], ExternalID: o["awsRoleExternalId"], Region: o["awsStsRegion"]},
	}}, nil
}

// knownOptionName is a name that is surely one, and no secret in its place.
func knownOptionName(name string) string {
	if strings.HasPrefix(name, "aws") && len(name) < 40 {
		return name
	}
	return "(its name does not begin with aws)"
}

// credentials finds them; who has found the source asks it from then on.
func (a *awsSigner) credentials(ctx context.Context) (awscreds.Value, string, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.source == nil {
		source, err := awscreds.Find(ctx, a.options)
		if err != nil {
			return awscreds.Value{}, "", awsError(err)
		}
		a.source = source
	}
	v, err := a.source.Get(ctx)
	if err != nil {
		return awscreds.Value{}, "", awsError(err)
	}
	return v, a.source.Region(), nil
}

func awsError(err error) error {
	return &tokenError{what: "AWS", cause: err,
		hint: "give credentials by environment (AWS_ACCESS_KEY_ID …), AWS_PROFILE, or awsProfileName and awsRoleArn in sasl.jaas.config"}
}

// sign returns a signed request to a host, in a region that is the host's if it is empty.
func (a *awsSigner) sign(ctx context.Context, host func(region string) string, region string) (*url.URL, error) {
	v, home, err := a.credentials(ctx)
	if err != nil {
		return nil, err
	}
	if region == "" {
		region = home
	}
	if region == "" {
		return nil, &tokenError{what: "AWS: the region is not known, neither from the brokers' names nor else", hint: "set AWS_REGION"}
	}
	return awscreds.Presign(ctx, v, awscreds.Request{
		Service: awsService, Region: region, Host: host(region), Query: url.Values{"Action": {awsService + ":Connect"}},
		Expires: awsSignedFor, Time: a.now().UTC(),
	})
}

// regionOf is the region in a broker's name, as b-1.c.abc.kafka.eu-west-1.amazonaws.com.
func regionOf(host string) string {
	for _, suffix := range []string{".amazonaws.com", ".amazonaws.com.cn", ".c2s.ic.gov", ".sc2s.sgov.gov"} {
		if rest, ok := strings.CutSuffix(host, suffix); ok {
			return rest[strings.LastIndexByte(rest, '.')+1:]
		}
	}
	return ""
}

// mskIAM is the mechanism AWS_MSK_IAM: one JSON object with a signed request to the broker.
type mskIAM struct{ signer *awsSigner }

func (mskIAM) Name() string { return "AWS_MSK_IAM" }

func (m mskIAM) Authenticate(ctx context.Context, address string) (sasl.Session, []byte, error) {
	host, _, err := net.SplitHostPort(address)
	if err != nil {
		return nil, nil, err
	}
	signed, err := m.signer.sign(ctx, func(string) string { return host }, regionOf(host))
	if err != nil {
		return nil, nil, err
	}
	payload := map[string]string{"version": awsPayloadName, "host": host, "user-agent": program.UserAgent()}
	for name, values := range signed.Query() {
		payload[strings.ToLower(name)] = values[0]
	}
	first, err := json.Marshal(payload)
	return mskSession{}, first, err
}

type mskSession struct{}

// Challenge reads the one answer that there is, which holds a request ID.
func (mskSession) Challenge(answer []byte) (done bool, next []byte, err error) {
	if len(answer) == 0 {
		return false, nil, errors.New("AWS_MSK_IAM: the broker's answer is empty")
	}
	return true, nil, nil
}

// amazonToken is Amazon's login through OAUTHBEARER: the token is a signed request to
// Kafka's service.
type amazonToken struct {
	signer     *awsSigner
	extensions map[string]string
}

func (amazonToken) Name() string { return "OAUTHBEARER" }

func (t amazonToken) Authenticate(ctx context.Context, address string) (sasl.Session, []byte, error) {
	host, _, err := net.SplitHostPort(address)
	if err != nil {
		return nil, nil, err
	}
	signed, err := t.signer.sign(ctx, func(region string) string { return fmt.Sprintf("kafka.%s.amazonaws.com", region) }, regionOf(host))
	if err != nil {
		return nil, nil, err
	}
	query := signed.Query()
	query.Set("User-Agent", program.UserAgent())
	signed.RawQuery = query.Encode()
	token := base64.RawURLEncoding.EncodeToString([]byte(signed.String()))
	return oauth.Auth{Token: token, Extensions: t.extensions}.AsMechanism().Authenticate(ctx, address)
}
