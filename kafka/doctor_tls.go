package kafka

import (
	"crypto/tls"
	"fmt"
	"net"
	"strings"
	"time"
)

// expiresSoon is when a certificate is warned of.
const expiresSoon = 30 * 24 * time.Hour

// examineTLS says whose certificate a broker shows, and for how long it is good still.
func examineTLS(conn net.Conn, subject string, now time.Time, out *Findings) {
	secure, ok := conn.(*tls.Conn)
	if !ok {
		return
	}
	state := secure.ConnectionState()
	var chain []string
	soonest := time.Duration(1<<63 - 1)
	for _, certificate := range state.PeerCertificates {
		chain = append(chain, certificate.Subject.String())
		soonest = min(soonest, certificate.NotAfter.Sub(now))
	}
	if len(state.PeerCertificates) == 0 {
		return
	}
	leaf := state.PeerCertificates[0]
	names := append([]string(nil), leaf.DNSNames...)
	for _, ip := range leaf.IPAddresses {
		names = append(names, ip.String())
	}
	days := int(soonest / (24 * time.Hour))
	line := out.Add("tls", subject, StatusOK, fmt.Sprintf("%s; certificate of %s for %s, signed by %s; good for %d days",
		tls.VersionName(state.Version), strings.Join(chain, " < "), strings.Join(names, ", "), leaf.Issuer, days))
	if soonest < expiresSoon {
		line.Status, line.Hint = StatusWarn, "renew it in time: without it nothing is saved"
	}
}
