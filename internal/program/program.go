// Package program says which version this program is: one string for all that tells others, people,
// brokers, object stores and Prometheus.
package program

import "strings"

// version is set by the linker: -X coldstream/internal/program.version=1.2.3.
var version = "development"

// Name is what others know the program by.
const Name = "coldstream"

// Version is the version, without a v before it.
func Version() string { return version }

// UserAgent is what the program says of itself over HTTP.
func UserAgent() string { return Name + "/" + version }

// SoftwareVersion is the version as brokers take it (KIP-511): of letters, digits, dots and dashes, and
// with none of the last two at its ends.
func SoftwareVersion() string {
	text := strings.Map(func(r rune) rune {
		if r < 0x80 && (r >= '0' && r <= '9' || r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r == '.') {
			return r
		}
		return '-'
	}, version)
	if text = strings.Trim(text, "-."); text == "" {
		return "unknown"
	}
	return text
}
