package kafka

import (
	"context"
	"errors"
	"fmt"
	"net"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"
	"github.com/twmb/franz-go/pkg/kversion"

	"coldstream"
	"coldstream/internal/program"
	"coldstream/kafka/auth"
)

// Status is how a check came out.
type Status string

// The statuses.
const (
	StatusOK   Status = "ok"
	StatusWarn Status = "warn"
	StatusFail Status = "fail"
)

// Finding is one line of what a doctor says.
type Finding struct {
	Check   string // what was looked at: dns, tls, rights, …
	Subject string // of what: an address, a broker, a topic
	Status  Status
	Text    string
	Hint    string     // what to do, if anything
	Input   auth.Input // that the hint speaks of
}

// Findings gather lines.
type Findings []Finding

// Add appends a line.
func (f *Findings) Add(check, subject string, status Status, text string) *Finding {
	*f = append(*f, Finding{Check: check, Subject: subject, Status: status, Text: text})
	return &(*f)[len(*f)-1]
}

// addError appends a failure, with the hint that its error has.
func (f *Findings) addError(check, subject string, status Status, err error) {
	line := f.Add(check, subject, status, err.Error())
	line.Hint = hintOf(err)
	var about interface{ Input() auth.Input }
	if errors.As(err, &about) {
		line.Input = about.Input()
	}
}

// Checkup says what a doctor is to look for.
type Checkup struct {
	Job Job
	// Topics are the chosen topics; of a restore the names that topics are restored under.
	Topics *coldstream.Patterns
	// Every is how often the job runs, for topics whose retention is shorter.
	Every time.Duration
	Now   func() time.Time
}

// ExamineAddresses looks at bootstrap servers before anything is sent to them: their names
// and their certificates.
func ExamineAddresses(ctx context.Context, cfg Config, now time.Time) Findings {
	var out Findings
	for _, address := range cfg.Bootstrap {
		if full, err := hostPort(address); err == nil {
			look := &addressLook{cfg.Auth, now, &out}
			look.at(ctx, full, "bootstrap "+full)
		}
	}
	return out
}

// addressLook looks at addresses.
type addressLook struct {
	login *auth.Config
	now   time.Time
	out   *Findings
}

// at looks a name up, and at the certificate of who answers.
func (l *addressLook) at(ctx context.Context, address, subject string) {
	out := l.out
	ctx, cancel := context.WithTimeout(ctx, 2*probeTimeout)
	defer cancel()
	host, _, err := net.SplitHostPort(address)
	if err != nil {
		out.addError("address", subject, StatusFail, err)
		return
	}
	ips, err := net.DefaultResolver.LookupHost(ctx, host)
	if err != nil {
		out.addError("address", subject, StatusFail, dialError(address, err))
		return
	}
	conn, err := l.login.Dial(ctx, address, probeTimeout)
	if err != nil {
		if explained := l.login.Explain(err); explained != err { //nolint:errorlint // it is the same error, or it says more
			out.addError("tls", subject, StatusFail, explained)
			return
		}
		out.addError("address", subject, StatusFail, dialError(address, err))
		return
	}
	defer conn.Close() //nolint:errcheck // nothing was sent
	text := "takes connections"
	if len(ips) != 1 || ips[0] != host {
		text += "; " + host + " is " + strings.Join(ips, ", ")
	}
	out.Add("address", subject, StatusOK, text)
	examineTLS(conn, subject, l.now, out)
}

// Examine looks at the cluster as a job needs it. It changes nothing.
func (c *Client) Examine(ctx context.Context, checkup Checkup) (Findings, error) {
	d := &doctor{client: c, checkup: checkup}
	cluster, err := c.describeAll(ctx)
	if err != nil {
		return nil, err
	}
	d.cluster = cluster
	for _, step := range []func(context.Context){d.brokers, d.versions, d.login, d.topics, d.rights, d.clock} {
		step(ctx)
		if err := ctx.Err(); err != nil {
			return d.out, err
		}
	}
	return d.out, nil
}

type doctor struct {
	client  *Client
	checkup Checkup
	cluster *kmsg.MetadataResponse
	out     Findings

	apis   map[int16]bool // that all brokers know
	chosen []coldstream.Topic
}

// describeAll asks for everything, with the rights that the user has on each topic.
func (c *Client) describeAll(ctx context.Context) (*kmsg.MetadataResponse, error) {
	ctx, cancel := context.WithTimeout(ctx, tryTimeout)
	defer cancel()
	req := metadataOfAll()
	req.IncludeTopicAuthorizedOperations = true
	resp, err := metadata(ctx, c.kgo, req)
	if err != nil {
		return nil, fmt.Errorf("describe the cluster: %w", err)
	}
	return resp, nil
}

// brokers looks at each advertised address.
func (d *doctor) brokers(ctx context.Context) {
	for _, b := range brokersOf(d.cluster) {
		address := net.JoinHostPort(b.Host, strconv.Itoa(int(b.Port)))
		look := &addressLook{d.client.cfg.Auth, d.checkup.Now(), &d.out}
		look.at(ctx, address, fmt.Sprintf("broker %d at %s", b.ID, address))
	}
}

// lack is what goes without an API that a broker does not have.
type lack struct {
	key     int16
	version int16
	jobs    []Job
	costs   string
	status  Status
}

func lacks() []lack {
	saving, restoring := []Job{JobBackup, JobRun}, []Job{JobRestore}
	return []lack{
		{kmsg.Fetch.Int16(), 4, saving, "records cannot be read (Fetch v4, Kafka 0.11)", StatusFail},
		{kmsg.ListOffsets.Int16(), 1, []Job{JobBackup, JobRun, JobRestore}, "the ends of logs are not told (ListOffsets v1, Kafka 0.10.1)", StatusFail},
		{kmsg.Fetch.Int16(), 12, saving, "a log that lost its end is noticed late, by asking for leader epochs (Fetch v12, Kafka 2.7)", StatusWarn},
		{kmsg.OffsetForLeaderEpoch.Int16(), 3, saving, "a log that lost its end and was written anew may go unnoticed (OffsetForLeaderEpoch v3, Kafka 2.3)", StatusWarn},
		{kmsg.Metadata.Int16(), 10, saving, "there are no topic IDs: a topic that is deleted and made again between two backups is told by its offsets only (Metadata v10, Kafka 2.8)", StatusWarn},
		{kmsg.DescribeConfigs.Int16(), 1, saving, "configs of topics are not saved (DescribeConfigs v1, Kafka 1.1)", StatusWarn},
		{kmsg.ListGroups.Int16(), 0, saving, "consumer groups are not saved (ListGroups)", StatusWarn},
		{kmsg.OffsetFetch.Int16(), 2, saving, "offsets of consumer groups are not saved (OffsetFetch v2, Kafka 0.10.2)", StatusWarn},
		{kmsg.DescribeCluster.Int16(), 0, saving, "whether brokers leave consumer groups out for lack of rights is not told (DescribeCluster, Kafka 2.8)", StatusWarn},
		{kmsg.Produce.Int16(), 3, restoring, "records cannot be written (Produce v3, Kafka 0.11)", StatusFail},
		{kmsg.InitProducerID.Int16(), 0, restoring, "records cannot be written once and only once (InitProducerId, Kafka 0.11)", StatusFail},
		{kmsg.CreateTopics.Int16(), 0, restoring, "topics cannot be made: make them before the restore (CreateTopics)", StatusWarn},
		{kmsg.IncrementalAlterConfigs.Int16(), 0, restoring, "a change of configs that somebody else makes at the same moment may be lost (IncrementalAlterConfigs, Kafka 2.3)", StatusWarn},
		{kmsg.DeleteRecords.Int16(), 0, restoring, "a log that starts above 0 cannot be exact: restore with translated offsets (DeleteRecords, Kafka 0.11)", StatusWarn},
		{kmsg.OffsetCommit.Int16(), 2, restoring, "consumer groups cannot be restored (OffsetCommit)", StatusWarn},
	}
}

// versions asks each broker which APIs it has. What brokers lack is told once, with all that
// lack it.
func (d *doctor) versions(ctx context.Context) {
	lacking := map[int][]string{} // brokers, by index of lacks
	for _, b := range brokersOf(d.cluster) {
		subject := fmt.Sprintf("broker %d", b.ID)
		resp, err := d.askVersions(ctx, b.ID)
		if err != nil {
			d.out.Add("versions", subject, StatusWarn, fmt.Sprintf("does not answer: %v", err)).Hint =
				"partitions that it leads are waited for, for as long as the patience lasts"
			continue
		}
		missing := d.versionsOf(resp)
		for _, i := range missing {
			lacking[i] = append(lacking[i], strconv.Itoa(int(b.ID)))
		}
		if len(missing) == 0 {
			guess := kversion.FromApiVersionsResponse(resp).VersionGuess()
			d.out.Add("versions", subject, StatusOK, fmt.Sprintf("has all that a %s needs; its APIs are those of Kafka %s", d.checkup.Job, strings.TrimPrefix(guess, "v")))
		}
	}
	for i, l := range lacks() {
		if brokers := lacking[i]; len(brokers) > 0 {
			d.out.Add("versions", "broker "+strings.Join(brokers, ", "), l.status, "lacks what newer brokers have: "+l.costs)
		}
	}
}

func (d *doctor) askVersions(ctx context.Context, broker int32) (*kmsg.ApiVersionsResponse, error) {
	ctx, cancel := context.WithTimeout(ctx, 2*probeTimeout)
	defer cancel()
	req := kmsg.NewPtrApiVersionsRequest()
	req.ClientSoftwareName, req.ClientSoftwareVersion = program.Name, program.SoftwareVersion()
	answer, err := within(ctx, func() (kmsg.Response, error) { return d.client.kgo.Broker(int(broker)).Request(ctx, req) })
	if err != nil {
		return nil, err
	}
	resp, ok := answer.(*kmsg.ApiVersionsResponse)
	if !ok {
		return nil, fmt.Errorf("answer of type %T", answer)
	}
	return resp, brokerError(resp.ErrorCode, nil)
}

// versionsOf returns the indexes of what a broker lacks.
func (d *doctor) versionsOf(resp *kmsg.ApiVersionsResponse) []int {
	most := map[int16]int16{}
	apis := map[int16]bool{}
	for _, key := range resp.ApiKeys {
		most[key.ApiKey], apis[key.ApiKey] = key.MaxVersion, true
	}
	if d.apis == nil {
		d.apis = apis
	}
	for key := range d.apis {
		if !apis[key] {
			delete(d.apis, key)
		}
	}
	var missing []int
	for i, l := range lacks() {
		if has, ok := most[l.key]; (!ok || has < l.version) && slices.Contains(l.jobs, d.checkup.Job) {
			missing = append(missing, i)
		}
	}
	return missing
}

// login says who the cluster takes us for, as far as that is known here.
func (d *doctor) login(context.Context) {
	text := "in as " + d.client.cfg.Auth.Principal()
	if !d.client.cfg.Auth.LogsIn() {
		text = "the listener asks for none"
		if principal := d.client.cfg.Auth.Principal(); principal != "User:ANONYMOUS" {
			text += "; the certificate says " + principal
		}
	}
	d.out.Add("login", "", StatusOK, text)
	if !d.client.cfg.Auth.Encrypts() {
		line := d.out.Add("tls", "", StatusWarn, "connections are not encrypted")
		line.Hint = "what goes over a network that others can read should take a listener with TLS (security.protocol=SSL or SASL_SSL)"
		if d.isLocal() {
			line.Status, line.Hint = StatusOK, ""
			line.Text += ", and all brokers are on this host"
		}
	}
}

func (d *doctor) isLocal() bool {
	for _, b := range d.cluster.Brokers {
		ip := net.ParseIP(b.Host)
		if b.Host != "localhost" && (ip == nil || !ip.IsLoopback()) {
			return false
		}
	}
	return true
}
