// Package notify tells systemd how a service is doing: it hides the protocol of sd_notify(3).
package notify

import (
	"fmt"
	"net"
	"os"
	"strconv"
	"strings"
	"time"
)

// The states of a service.
const (
	Ready     = "READY=1"
	Reloading = "RELOADING=1"
	Stopping  = "STOPPING=1"
	Watchdog  = "WATCHDOG=1"
)

// Status is a line for people.
func Status(text string) string { return "STATUS=" + strings.ReplaceAll(text, "\n", " ") }

// Manager is the service manager that started this process. Without one, nothing is sent.
type Manager struct {
	socket string
	alive  time.Duration
}

// New finds the service manager in the environment.
func New(getenv func(string) string) *Manager {
	m := &Manager{socket: getenv("NOTIFY_SOCKET")}
	if pid := getenv("WATCHDOG_PID"); pid != "" && pid != strconv.Itoa(os.Getpid()) {
		return m
	}
	if us, err := strconv.ParseInt(getenv("WATCHDOG_USEC"), 10, 64); err == nil && us > 0 {
		m.alive = time.Duration(us) * time.Microsecond
	}
	return m
}

// Listens tells whether there is a service manager.
func (m *Manager) Listens() bool { return m.socket != "" }

// Alive is how often the manager wants to hear [Watchdog] at least; 0 is never.
func (m *Manager) Alive() time.Duration { return m.alive }

// Send sends states in one message. The socket's name may begin with @: it is no file then.
func (m *Manager) Send(states ...string) error {
	if !m.Listens() {
		return nil
	}
	conn, err := net.DialUnix("unixgram", nil, &net.UnixAddr{Name: m.socket, Net: "unixgram"})
	if err != nil {
		return fmt.Errorf("tell the service manager: %w", err)
	}
	defer func() { _ = conn.Close() }() // what was sent is sent
	if _, err := conn.Write([]byte(strings.Join(states, "\n"))); err != nil {
		return fmt.Errorf("tell the service manager: %w", err)
	}
	return nil
}
