//go:build long

package main

import (
	"encoding/json"
	"flag"
	"math/rand/v2"
	"net/http"
	"regexp"
	"strconv"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"

	"coldstream/internal/protection"
)

var soakFlag = flag.Duration("soak", 45*time.Second, "how long TestSoak goes on")

// soak is a continuous backup to which something happens again and again while records come.
type soak struct {
	*weather
	ledger ledger
	random *rand.Rand
	hold   time.Duration // how long each fault lasts
	faults int           // so far
	grown  int32         // the last partition of the topic that grows

	kills      bool // the backup is killed and started again all the time
	killed     int
	nextKill   time.Time
	inject     func() (stop func()) // what its storage does now; nil if all is well
	uninject   func()
	samples    []sample
	lastSample time.Time
}

// sample is what the backup's process takes at a moment.
type sample struct{ memory, goroutines, descriptors float64 }

// TestSoak: a continuous backup goes through a fault at a time, catches up after each, holds all
// that was acknowledged at the end, and takes no more of the machine than at the beginning. A
// long one has a fault each minute (make soak H=2).
func TestSoak(t *testing.T) {
	s := newSoak(t, 2*time.Second)
	every := 4 * time.Second
	if *soakFlag >= 10*time.Minute {
		s.hold, every = 30*time.Second, time.Minute
	}
	defer s.tell()
	s.goesOn(*soakFlag, every)
	s.ends()
	s.mustBeFlat()
}

func newSoak(t *testing.T, hold time.Duration) *soak {
	t.Helper()
	w := newWeather(t)
	strace(t)
	s := &soak{weather: w, ledger: ledger{acked: map[string]map[int64]int64{}}, random: newRandom(t), hold: hold}
	for topic, partitions := range map[string]int32{soakKept: 3, soakShort: 1, soakDeals: 1, soakAgain: 1, "weather-grows": 1} {
		s.create3(topic, partitions)
	}
	s.create3(soakCompact, 1, "cleanup.policy", "compact", "min.cleanable.dirty.ratio", "0.01", "segment.ms", "2000", "delete.retention.ms", "1000")
	return s
}

// create3 makes a topic that each of the three brokers has a replica of, and which goes on with two.
func (s *soak) create3(topic string, partitions int32, configs ...string) {
	s.Helper()
	values := map[string]*string{"min.insync.replicas": kadm.StringPtr("2")}
	for i := 0; i < len(configs); i += 2 {
		values[configs[i]] = &configs[i+1]
	}
	if _, err := s.adm.CreateTopic(s.Context(), partitions, 3, values, topic); err != nil {
		s.Fatal(err)
	}
}

// goesOn lets faults happen one after the other for so long.
func (s *soak) goesOn(long, every time.Duration) {
	s.Helper()
	s.begins()
	stop := s.write()
	all := soakFaults()
	for end := time.Now().Add(long); time.Now().Before(end); {
		began, f := time.Now(), all[s.faults%len(all)]
		f.do(s)
		s.faults++
		s.caughtUp()
		s.Logf("%s: %s; saved %v after it began", time.Now().Format(time.TimeOnly), f.name, time.Since(began).Round(time.Second))
		s.wait(every - time.Since(began))
	}
	stop()
}

// tell logs what a soak that failed knew of its backup.
func (s *soak) tell() {
	s.Helper()
	if !s.Failed() || s.process == nil {
		return
	}
	_, body := s.get(s.at + "/api/v1/status")
	log := s.stderr.String()
	s.Logf("the backup's status:\n%s\nand the end of its log:\n%s", body, log[max(0, len(log)-8000):])
}

// ends lets all be saved, ends the backup as a service manager does, and judges.
func (s *soak) ends() {
	s.Helper()
	s.kills = false
	s.protected(soakKept, soakShort, soakCompact, soakDeals, soakAgain, "weather-grows")
	s.terminated(s.process)
	s.judgeAll()
}

// caughtUp waits until no topic is far behind.
func (s *soak) caughtUp() {
	s.Helper()
	if s.kills {
		return // it has no time to
	}
	s.await("no topic is more than 10 seconds behind", func() bool {
		if s.hasEnded() {
			s.Fatalf("it ended with %d:\n%.4000s", s.code, s.stderr.String())
		}
		code, body := s.get(s.at + "/api/v1/status")
		var d protection.Document
		if code != http.StatusOK || json.Unmarshal([]byte(body), &d) != nil || len(d.Topics) != 6 {
			return false
		}
		for _, topic := range d.Topics {
			if topic.RPOSeconds == nil || *topic.RPOSeconds > 10 {
				return false
			}
		}
		return true
	})
}

// wait lets time pass, in which the process is looked at, and killed if it is to be.
func (s *soak) wait(d time.Duration) {
	s.Helper()
	over := time.NewTimer(d)
	defer over.Stop()
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	for {
		select {
		case <-over.C:
			return
		case <-tick.C:
			s.beside()
		}
	}
}

// during waits until something long is done.
func (s *soak) during(what string, do func() error) {
	s.Helper()
	done := make(chan error, 1)
	go func() { done <- do() }()
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	for {
		select {
		case err := <-done:
			if err != nil {
				s.Fatalf("%s: %v", what, err)
			}
			return
		case <-tick.C:
			s.beside()
		}
	}
}

// beside is what goes on while faults do.
func (s *soak) beside() {
	s.Helper()
	if s.kills {
		s.killIfDue()
	} else if time.Since(s.lastSample) > 2*time.Second {
		s.lastSample = time.Now()
		s.sample()
	}
}

// killIfDue kills the backup, and starts it again, each few seconds.
func (s *soak) killIfDue() {
	s.Helper()
	if time.Now().Before(s.nextKill) {
		return
	}
	s.nextKill = time.Now().Add(2*time.Second + time.Duration(s.random.Int64N(int64(4*time.Second))))
	if s.hasEnded() && s.code != exitUnreachable {
		s.Fatalf("it ended with %d:\n%.4000s", s.code, s.stderr.String())
	}
	_ = s.process.Process.Kill() // unless it found no cluster
	<-s.ended
	s.killed++
	s.process = s.startProcess(s.binary, "run", "-t", "weather-*", "--interval", "1s", "--snapshot-every", "2s", "--listen", "none")
	if s.inject != nil {
		s.uninject()
		s.uninject = s.inject()
	}
}

// sample asks the backup what it takes.
func (s *soak) sample() {
	code, body := s.get(s.at + "/metrics")
	if code != http.StatusOK {
		return
	}
	value := func(name string) float64 {
		found := regexp.MustCompile(`(?m)^` + name + ` (\S+)$`).FindStringSubmatch(body)
		if found == nil {
			s.Fatalf("no metric %s", name)
		}
		v, err := strconv.ParseFloat(found[1], 64)
		if err != nil {
			s.Fatal(err)
		}
		return v
	}
	s.samples = append(s.samples, sample{value("process_resident_memory_bytes"), value("go_goroutines"), value("process_open_fds")})
}

// mustBeFlat holds the last third of a soak against the second: the first is for warming up.
func (s *soak) mustBeFlat() {
	s.Helper()
	n := len(s.samples)
	if n < 6 {
		s.Fatalf("%d samples", n)
	}
	before, after := most(s.samples[n/3:2*n/3]), most(s.samples[2*n/3:])
	s.Logf("%d faults; at most, in the second third and in the last: memory %.0f and %.0f MiB, goroutines %.0f and %.0f, descriptors %.0f and %.0f",
		s.faults, before.memory/(1<<20), after.memory/(1<<20), before.goroutines, after.goroutines, before.descriptors, after.descriptors)
	if after.memory > 1.2*before.memory+16<<20 || after.goroutines > 1.2*before.goroutines+20 || after.descriptors > before.descriptors+20 {
		s.Error("it takes more and more")
	}
}

func most(samples []sample) (m sample) {
	for _, s := range samples {
		m = sample{max(m.memory, s.memory), max(m.goroutines, s.goroutines), max(m.descriptors, s.descriptors)}
	}
	return m
}
