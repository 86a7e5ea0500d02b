package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/spf13/cobra"

	"coldstream"
	"coldstream/backup"
	"coldstream/internal/alarm"
	"coldstream/internal/httpd"
	"coldstream/internal/metrics"
	"coldstream/internal/program"
	"coldstream/internal/protection"
	"coldstream/internal/terminal"
)

// watchOptions say who is told of a continuous backup.
type watchOptions struct {
	listen     string
	isDefault  func() bool // nobody asked for the address
	heartbeat  string
	onEvent    string
	maxRPO     time.Duration
	bounds     *topicBounds // of topics that have a --max-rpo of their own, in the file
	partitions bool
}

// rpoBounds say how old what is saved of a topic may be.
type rpoBounds struct {
	all    time.Duration // 0 is no bound
	topics *topicBounds
}

func (b *rpoBounds) of(topic string) time.Duration {
	return b.topics.of(&coldstream.Topic{Name: topic}, b.all)
}

func (b *rpoBounds) exist() bool { return b.all > 0 || len(b.topics.values) > 0 }

const (
	noListen        = "none"
	heartbeatEvery  = 30 * time.Second
	rpoLookEvery    = time.Second
	defaultListen   = "127.0.0.1:8080"
	heartbeatEnvVar = "COLDSTREAM_HEARTBEAT_URL"
)

func (o *watchOptions) addFlags(cmd *cobra.Command, e *env) {
	f := cmd.Flags()
	f.StringVar(&o.listen, "listen", defaultListen, "serve /livez, /readyz, /metrics and /api/v1/status at this `ADDRESS`; \""+noListen+"\" serves nothing")
	o.isDefault = func() bool { return !f.Changed("listen") }
	f.StringVar(&o.heartbeat, "heartbeat-url", e.getenv(heartbeatEnvVar),
		"ask for this `URL` every 30 s while all is well, so that somebody notices when it stops; @FILE reads it from a file (environment: "+heartbeatEnvVar+")")
	f.StringVar(&o.onEvent, "on-event", "", "run this `COMMAND` for gaps, damage and an RPO above --max-rpo; it gets the event as JSON on stdin")
	f.DurationVar(&o.maxRPO, "max-rpo", 0, "how old what is saved may be, a `TIME` as 5m; for --on-event, metrics and alerts")
	f.BoolVar(&o.partitions, "partition-metrics", false, "serve metrics of each partition too")
}

// rpoBounds are those that the options have.
func (o *watchOptions) rpoBounds() *rpoBounds {
	return &rpoBounds{all: o.maxRPO, topics: cmp.Or(o.bounds, &topicBounds{})}
}

func (o *watchOptions) validate() error {
	if o.maxRPO < 0 {
		return usagef("", errors.New("--max-rpo must be longer than 0"))
	}
	return nil
}

// watch tells others of a continuous backup: its log, Prometheus, who asks over HTTP, a dead man's
// switch, and a command. It is the backup's one observer.
type watch struct {
	opts     *watchOptions
	log      *eventLog
	now      func() time.Time
	metrics  *metrics.Metrics
	live     *protection.Live
	follower atomic.Pointer[backup.Follower]
	bounds   atomic.Pointer[rpoBounds]
	// configuration says how the last reading of the configuration went.
	configuration atomic.Pointer[protection.Configuration]

	listener  net.Listener // nil if nothing is served
	heartbeat *alarm.Heartbeat
	command   *alarm.Command

	stop context.CancelFunc
	done sync.WaitGroup
}

// followed is what else there is to know of a backup.
type followed struct {
	vaultID  string
	interval time.Duration
}

// newWatch checks the options, and takes the address before anything else begins. If nobody asked
// for the address and it is taken, as by another backup on this host, nothing is served.
func newWatch(ctx context.Context, o *watchOptions, log *eventLog, e *env) (*watch, error) {
	w := &watch{opts: o, log: log, now: e.now, stop: func() {}}
	w.bounds.Store(o.rpoBounds())
	w.configuration.Store(&protection.Configuration{Read: timestamp(e.now())})
	w.live = &protection.Live{Status: w.status, Now: e.now, MaxRPO: func(topic string) time.Duration { return w.bounds.Load().of(topic) }}
	w.metrics = metrics.New(metrics.Options{Live: w.live, Version: program.Version(), Partitions: o.partitions})
	if err := w.prepareNotices(); err != nil {
		return nil, err
	}
	if o.listen == noListen {
		return w, nil
	}
	listener, err := httpd.Listen(ctx, o.listen)
	switch {
	case err == nil:
		w.listener = listener
	case o.isDefault():
		log.warn("nothing is served over HTTP: name another address with --listen", "error", err)
	default:
		return nil, &failure{exitFailed, err, "name another address with --listen, or none: --listen " + noListen}
	}
	return w, nil
}

func (w *watch) prepareNotices() error {
	if w.opts.onEvent != "" {
		w.command = alarm.NewCommand(w.opts.onEvent)
		w.command.Done = func(result string, err error) {
			w.metrics.Command(result)
			if err != nil {
				w.log.warn("an event was not told", "error", err)
			}
		}
	}
	if w.opts.heartbeat == "" {
		return nil
	}
	address := w.opts.heartbeat
	if path, isFile := strings.CutPrefix(address, "@"); isFile {
		b, err := os.ReadFile(path)
		if err != nil {
			return usagef("", fmt.Errorf("read --heartbeat-url: %w", err))
		}
		address = strings.TrimSpace(string(b))
	}
	heartbeat, err := alarm.NewHeartbeat(address, heartbeatEvery)
	if err != nil {
		return usagef("", err)
	}
	heartbeat.Done = func(err error) {
		w.metrics.Heartbeat(w.now(), err)
		if err != nil {
			w.log.warn("the heartbeat failed", "error", err)
		}
	}
	w.heartbeat = heartbeat
	return nil
}

// reloaded tells how a reading of the configuration went. Where it failed, the one before counts.
func (w *watch) reloaded(err error) {
	w.metrics.Reload(err)
	now := &protection.Configuration{Read: timestamp(w.now())}
	if err != nil {
		now.Read, now.Error = w.configuration.Load().Read, terminal.Text(err)
	}
	w.configuration.Store(now)
}

// follow begins to tell of a backup, until close.
func (w *watch) follow(ctx context.Context, follower *backup.Follower, o *followed) {
	w.live.VaultID = o.vaultID
	w.follower.Store(follower)
	// What the end of the backup brings is told as well.
	ctx, w.stop = context.WithCancel(context.WithoutCancel(ctx))
	if listener := w.listener; listener != nil {
		w.listener = nil // it is the server's now
		w.log.info("serving over HTTP", "address", listener.Addr().String())
		w.done.Go(func() {
			err := httpd.Serve(ctx, listener, httpd.Options{Ready: w.ready, Metrics: w.metrics.Handler(), Status: w.document})
			if err != nil {
				w.log.warn("nothing is served over HTTP any more", "error", err)
			}
		})
	}
	if w.heartbeat != nil {
		w.heartbeat.Well = func() bool { return w.isWell(o.interval) }
		w.done.Go(func() { w.heartbeat.Run(ctx) })
	}
	if w.command != nil {
		w.done.Go(func() { w.command.Run(ctx) })
		w.done.Go(func() { w.watchRPO(ctx) })
	}
}

// close ends what follow began.
func (w *watch) close() {
	w.stop()
	w.done.Wait()
	if w.listener != nil {
		_ = w.listener.Close() // nothing was served
	}
}

func (w *watch) status() *backup.Status {
	if f := w.follower.Load(); f != nil {
		return f.Status()
	}
	return nil
}

// ready says why the backup does not work now. How far it is behind is not for this to say.
func (w *watch) ready() error {
	s := w.status()
	if s == nil {
		return errors.New("the backup has not begun")
	}
	for side, outage := range map[coldstream.Side]*coldstream.Outage{coldstream.SideCluster: s.Cluster, coldstream.SideStorage: s.Storage} {
		if outage != nil {
			return fmt.Errorf("the %s has not served since %s: %w", side, timestamp(outage.Since), outage.Err)
		}
	}
	return nil
}

// isWell says that the backup works and gets on: all is saved, or something was saved lately.
func (w *watch) isWell(interval time.Duration) bool {
	s := w.status()
	if s == nil || w.ready() != nil {
		return false
	}
	atEnds := true
	for i := range s.Topics {
		atEnds = atEnds && s.Topics[i].AtEnds
	}
	return atEnds || s.Now.Sub(s.Committed) < max(3*interval, 5*time.Minute)
}

func (w *watch) document(partitions httpd.Partitions) (any, bool) {
	d, ok := w.live.Document()
	if !ok {
		return nil, false
	}
	d.Configuration = w.configuration.Load()
	if !partitions {
		for i := range d.Topics {
			d.Topics[i].Partitions = nil
		}
	}
	return d, true
}

// Observe is [coldstream.Observer].
func (w *watch) Observe(event coldstream.Event) {
	w.log.Observe(event)
	w.metrics.Observe(event)
	w.live.Observe(event)
	if w.command == nil {
		return
	}
	switch ev := event.(type) {
	case *coldstream.GapFound:
		w.command.Tell(alarm.Event{
			Event: alarm.KindGap, Time: timestamp(w.now()), Topic: ev.Topic, Partition: &ev.Partition, FirstOffset: &ev.FirstOffset, NextOffset: &ev.NextOffset,
			Cause: string(ev.Cause), Text: fmt.Sprintf("%s offsets [%d, %d) were gone before they could be saved", ev.TopicPartition, ev.FirstOffset, ev.NextOffset),
		})
	case *coldstream.DamageFound:
		if !ev.Healed {
			w.command.Tell(alarm.Event{Event: alarm.KindDamage, Time: timestamp(w.now()), Text: ev.Err.Error()})
		}
	}
}

// watchRPO tells when the RPO of a topic passes its bound, and when it is back.
func (w *watch) watchRPO(ctx context.Context) {
	ticker := time.NewTicker(rpoLookEvery)
	defer ticker.Stop()
	passed := map[string]bool{}
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
		bounds := w.bounds.Load()
		if !bounds.exist() {
			continue
		}
		d, ok := w.live.Document()
		if !ok {
			continue
		}
		now := map[string]bool{}
		for i := range d.Topics {
			t := &d.Topics[i]
			if now[t.Topic] = t.OK != nil && !*t.OK && t.RPOSeconds != nil; now[t.Topic] == passed[t.Topic] {
				continue
			}
			e := alarm.Event{
				Event: alarm.KindRPO, Time: d.Time, Topic: t.Topic, RPOSeconds: t.RPOSeconds, MaxRPOSeconds: t.MaxRPOSeconds,
				Text: fmt.Sprintf("the RPO of topic %s is above %s", t.Topic, bounds.of(t.Topic)),
			}
			if !now[t.Topic] {
				e.Event, e.Text = alarm.KindRPOAgain, fmt.Sprintf("the RPO of topic %s is below %s again", t.Topic, bounds.of(t.Topic))
			}
			w.command.Tell(e)
		}
		passed = now
	}
}
