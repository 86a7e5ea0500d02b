package main

import (
	"context"
	"crypto/sha256"
	"maps"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/spf13/pflag"

	"coldstream"
	"coldstream/backup"
)

const (
	// lookEvery is how often files are looked at. What a file says counts once it has stood there
	// for one look: so no half of a file is taken up.
	lookEvery = 2 * time.Second
	// retryAfter is after how many looks a configuration that could not be used is tried again:
	// what was wrong may be none of the files that are looked at, as a certificate.
	retryAfter = 15
)

// inputs are files that settings were read from, and what was in them.
type inputs struct {
	held map[string]content
	last map[string]content // at the last look
}

// content is the hash of what is in a file; all zero if it cannot be read.
type content [sha256.Size]byte

// note keeps what a file held; nil if it could not be read.
func (i *inputs) note(name string, b []byte) {
	if i == nil {
		return
	}
	if i.held == nil {
		i.held = map[string]content{}
	}
	i.held[name] = contentOf(b)
}

func contentOf(b []byte) content {
	if b == nil {
		return content{}
	}
	return sha256.Sum256(b)
}

// changed looks at the files: something else is in them, and was so at the look before.
func (i *inputs) changed() bool {
	now := map[string]content{}
	for name := range i.held {
		now[name] = contentNow(name)
	}
	stands := maps.Equal(now, i.last)
	i.last = now
	return stands && !maps.Equal(now, i.held)
}

// contentNow follows links: to change a file, Kubernetes changes a link to its folder.
func contentNow(name string) content {
	b, err := os.ReadFile(name)
	if err != nil {
		return content{}
	}
	return contentOf(b)
}

// adopt takes in files of others that are not known here, as they are now.
func (i *inputs) adopt(others *inputs) {
	if i.held == nil {
		i.held = map[string]content{}
	}
	for name := range others.held {
		if _, ok := i.held[name]; !ok {
			i.held[name] = contentNow(name)
		}
	}
}

// reloader reads the configuration of a continuous backup again.
type reloader struct {
	follower *backup.Follower
	options  *runOptions
	env      *env
	log      *eventLog
	watch    *watch
	inputs   *inputs // of the last reading
	failed   string  // why the last reading was of no use
	looks    int     // since then
}

// look reads the configuration again if it has changed.
func (r *reloader) look() {
	r.looks++
	if r.inputs.changed() || r.failed != "" && r.looks >= retryAfter {
		r.reload()
	}
}

// reload reads configuration and environment again. Where they are not as they should be, all
// stays as it is.
func (r *reloader) reload() {
	own := *r.env
	own.inputs = &inputs{}
	fresh, err := r.options.again(&own)
	var patterns *coldstream.Patterns
	if err == nil {
		patterns, err = fresh.topics.patterns()
	}
	if err != nil {
		r.refuse(err, own.inputs)
		return
	}
	r.inputs, r.failed = own.inputs, ""
	later := r.options.laterThan(fresh)
	r.watch.bounds.Store(fresh.watch.rpoBounds())
	r.options.never.Store(fresh.never.Load())
	r.follower.SetMaxRate(int64(fresh.maxRate))
	r.follower.SetTopics(patterns) // and looks at the cluster at once, with the login of now
	r.watch.reloaded(nil)
	r.log.info("configuration reloaded", "topics", strings.Join(fresh.topics.include, ","), "exclude", strings.Join(fresh.topics.exclude, ","),
		"max_rate", fresh.maxRate.String(), "after_a_restart", strings.Join(later, ","))
}

// refuse says, once, what is wrong. The files that were read before are looked at as well.
func (r *reloader) refuse(err error, read *inputs) {
	read.adopt(r.inputs)
	r.inputs, r.looks = read, 0
	f := classify(context.Background(), err) //nolint:forbidigo // nothing is waited for
	if text := f.err.Error(); text != r.failed {
		r.failed = text
		r.watch.reloaded(f.err)
		r.log.warn("the configuration was not reloaded, and the one before stays", "error", f.err, "hint", f.hint)
	}
}

// again reads what the command was started with once more.
func (o *runOptions) again(e *env) (*runOptions, error) {
	global := &globalOptions{args: o.global.args}
	root := newRootCommand(global, e)
	before, _, err := root.Find([]string{"run"})
	if err != nil {
		return nil, err
	}
	root.RemoveCommand(before)
	cmd, fresh := runCommand(global, e)
	root.AddCommand(cmd)
	_, rest, err := root.Find(global.args)
	if err != nil {
		return nil, err
	}
	if err := cmd.ParseFlags(rest); err != nil {
		return nil, err
	}
	if global.settings, err = configure(cmd, e); err != nil {
		return nil, err
	}
	if err := refuseEmpty(cmd); err != nil {
		return nil, err
	}
	if err := fresh.validate(); err != nil {
		return nil, err
	}
	never, err := global.settings.neverRescan(e)
	if err != nil {
		return nil, err
	}
	fresh.never.Store(never)
	if fresh.watch.bounds, err = global.settings.topicBounds(e); err != nil {
		return nil, err
	}
	fresh.values = map[string]string{}
	cmd.Flags().VisitAll(func(f *pflag.Flag) { fresh.values[f.Name] = f.Value.String() })
	return fresh, fresh.cluster.load()
}

// laterThan takes over the credentials of fresh, and returns what else is another in it now that
// only a restart takes up.
func (o *runOptions) laterThan(fresh *runOptions) []string {
	atOnce := []string{"topic", "exclude", "max-rate", "max-rpo"}
	var properties []string
	if o.cluster.auth != nil && fresh.cluster.auth != nil {
		properties = o.cluster.auth.Renew(fresh.cluster.auth)
		atOnce = append(atOnce, "command-config", "command-property")
	}
	var later []string
	for _, name := range slices.Sorted(maps.Keys(fresh.values)) {
		if !slices.Contains(atOnce, name) && o.values[name] != fresh.values[name] {
			later = append(later, name)
		}
	}
	return append(later, properties...)
}
