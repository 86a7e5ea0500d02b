package main

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// Measurement is one tool doing one thing once. Processor times are in seconds.
type Measurement struct {
	Workload  string `json:"workload"`
	Operation string `json:"operation"`
	Tool      string `json:"tool"`
	Round     int    `json:"round"`

	Wall      float64 `json:"wall_seconds"`
	CPU       float64 `json:"cpu_seconds"`
	BrokerCPU float64 `json:"broker_cpu_seconds"`
	PeakRSS   int64   `json:"peak_rss_bytes"`
	// StorageCPU is what a server of object storage used on the same machine.
	StorageCPU float64 `json:"storage_cpu_seconds,omitempty"`
	// Stored and Objects are what a backup left, in bytes of files and in files.
	Stored  int64 `json:"stored_bytes,omitempty"`
	Objects int   `json:"objects,omitempty"`
	// Records says how much is the same after it: same, values, count or differ.
	Records string `json:"records,omitempty"`
	// OtherCPU is what others on this machine used meanwhile. Noise says why the
	// measurement is not worth much, if so.
	OtherCPU float64 `json:"other_cpu_seconds"`
	Noise    string  `json:"noise,omitempty"`
}

// machine is what the system has counted up to now.
type machine struct {
	at           time.Time
	busy, stolen time.Duration // of all processors
	brokers      time.Duration
	storage      time.Duration
	own          time.Duration // and the relay's
}

// Times in /proc are in hundredths of a second, on every Linux.
const tick = 10 * time.Millisecond

func (s *session) look() (machine, error) {
	m := machine{at: time.Now(), own: ownCPU()} //nolint:forbidigo // what a benchmark is for
	var err error
	if m.busy, m.stolen, err = machineCPU(); err != nil {
		return m, err
	}
	for _, c := range s.brokers() {
		cpu, err := processCPU(c.PID(1))
		if err != nil {
			return m, err
		}
		m.brokers += cpu
	}
	relay := s.relay
	if s.storage != nil {
		relay = s.storage.relay
		if m.storage, err = processCPU(s.storage.PID); err != nil {
			return m, err
		}
	}
	if relay != nil {
		cpu, err := processCPU(relay.cmd.Process.Pid)
		m.own += cpu
		return m, err
	}
	return m, nil
}

// machineCPU is the time that all processors together were busy, and that a hypervisor
// kept from us.
func machineCPU() (busy, stolen time.Duration, err error) {
	b, err := os.ReadFile("/proc/stat")
	if err != nil {
		return 0, 0, fmt.Errorf("bench needs Linux: %w", err)
	}
	line, _, _ := strings.Cut(string(b), "\n")
	fields := strings.Fields(line)
	const userAt, idleAt, iowaitAt, stealAt = 1, 4, 5, 8
	if len(fields) <= stealAt {
		return 0, 0, fmt.Errorf("/proc/stat begins with %q", line)
	}
	for i, field := range fields[:stealAt+1] {
		n, _ := strconv.ParseInt(field, 10, 64) // the first is no number
		switch {
		case i < userAt, i == idleAt, i == iowaitAt:
		case i == stealAt:
			stolen = time.Duration(n) * tick
		default:
			busy += time.Duration(n) * tick
		}
	}
	return busy, stolen, nil
}

// processCPU is the time that a process has used.
func processCPU(pid int) (time.Duration, error) {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return 0, fmt.Errorf("read the processor time of a broker, a relay or a storage: %w", err)
	}
	_, rest, _ := strings.Cut(string(b), ") ") // the name before may hold anything
	fields := strings.Fields(rest)
	const utimeAt, stimeAt = 11, 12
	if len(fields) <= stimeAt {
		return 0, fmt.Errorf("/proc/%d/stat is %q", pid, b)
	}
	user, err := strconv.ParseInt(fields[utimeAt], 10, 64)
	if err != nil {
		return 0, err
	}
	system, err := strconv.ParseInt(fields[stimeAt], 10, 64)
	return time.Duration(user+system) * tick, err
}

// measure runs a command and says what it took. What others have written goes to disk
// before, so that nobody pays for it but them.
func (s *session) measure(ctx context.Context, command []string) (Measurement, error) {
	syscall.Sync()
	cmd := s.command(ctx, command)
	var said bytes.Buffer
	cmd.Stdout, cmd.Stderr = &said, &said
	before, err := s.look()
	if err != nil {
		return Measurement{}, err
	}
	if err := cmd.Run(); err != nil {
		return Measurement{}, fmt.Errorf("%s: %w\n%s", strings.Join(command, " "), err, said.Bytes())
	}
	after, err := s.look()
	if err != nil {
		return Measurement{}, err
	}
	usage, ok := cmd.ProcessState.SysUsage().(*syscall.Rusage)
	if !ok {
		return Measurement{}, fmt.Errorf("the system does not say what %s took", command[0])
	}
	m := Measurement{
		Wall:       after.at.Sub(before.at).Seconds(),
		CPU:        time.Duration(usage.Utime.Nano() + usage.Stime.Nano()).Seconds(),
		BrokerCPU:  (after.brokers - before.brokers).Seconds(),
		PeakRSS:    usage.Maxrss << 10,
		StorageCPU: (after.storage - before.storage).Seconds(),
	}
	m.OtherCPU = max(0, (after.busy-before.busy-(after.own-before.own)).Seconds()-m.CPU-m.BrokerCPU-m.StorageCPU)
	m.Noise = noise(m, (after.stolen - before.stolen).Seconds())
	return m, nil
}

const (
	otherLimit  = 0.10 // of the machine
	stolenLimit = 0.05
	leastNoise  = 0.2 // seconds: less is within what the system's counters can tell
)

// noise says if others took so much of the machine that a measurement is not worth much.
func noise(m Measurement, stolen float64) string {
	whole := m.Wall * float64(runtime.NumCPU())
	var why []string
	if m.OtherCPU > max(leastNoise, otherLimit*whole) {
		why = append(why, fmt.Sprintf("others used %.0f %% of the machine", 100*m.OtherCPU/whole))
	}
	if stolen > max(leastNoise, stolenLimit*whole) {
		why = append(why, fmt.Sprintf("%.0f %% of it was kept from us", 100*stolen/whole))
	}
	return strings.Join(why, ", ")
}
