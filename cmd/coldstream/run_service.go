package main

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/spf13/pflag"
	"golang.org/x/sync/errgroup"

	"coldstream/backup"
	"coldstream/internal/notify"
)

// service is a continuous backup as its service manager sees it.
type service struct {
	follower *backup.Follower
	options  *runOptions
	env      *env
	log      *eventLog
	manager  *notify.Manager
	isReady  bool
}

// run follows until ctx is done, and does meanwhile what the service manager asks for.
func (s *service) run(ctx context.Context) error {
	hangups := make(chan os.Signal, 1)
	signal.Notify(hangups, syscall.SIGHUP)
	defer signal.Stop(hangups)
	attending, stop := context.WithCancel(ctx)
	var group errgroup.Group
	group.Go(func() error {
		s.attend(attending, hangups)
		if ctx.Err() != nil {
			s.tell(notify.Stopping)
		}
		return nil
	})
	err := s.follower.Run(ctx)
	stop()
	_ = group.Wait() // it returns nothing
	return err
}

// attend tells the manager that all is well, and reloads.
func (s *service) attend(ctx context.Context, hangups <-chan os.Signal) {
	every := time.Second
	if alive := s.manager.Alive(); alive > 0 {
		every = min(every, alive/2)
	}
	tick := time.NewTicker(every)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-hangups:
			s.tell(notify.Reloading)
			s.reload()
			s.tell(notify.Ready)
		case <-tick.C:
			s.isWell()
		}
	}
}

// isWell asks the backup for its status, which it cannot give if it is stuck.
func (s *service) isWell() {
	status := s.follower.Status()
	if !s.manager.Listens() || status == nil {
		return
	}
	states := []string{notify.Watchdog}
	if status.ClusterID != "" {
		if !s.isReady {
			s.isReady = true
			states = append(states, notify.Ready)
		}
		states = append(states, notify.Status(statusLine(status)))
	}
	s.tell(states...)
}

func statusLine(status *backup.Status) string {
	line := fmt.Sprintf("%d topics", len(status.Topics))
	if !status.Committed.IsZero() {
		line += ", last saved " + status.Committed.UTC().Format(time.RFC3339)
	}
	if status.Cluster != nil {
		line += ", waiting for the cluster"
	}
	if status.Storage != nil {
		line += ", waiting for the storage"
	}
	return line
}

func (s *service) tell(states ...string) {
	if err := s.manager.Send(states...); err != nil {
		s.log.warn("the service manager does not listen", "error", err)
	}
}

// reload reads configuration and environment again. Where they are not as they should be, all
// stays as it is.
func (s *service) reload() {
	fresh, later, err := s.options.again(s.env)
	if err != nil {
		f := classify(context.Background(), err) //nolint:forbidigo // nothing is waited for
		s.log.warn("the configuration was not reloaded, and the one before stays", "error", f.err, "hint", f.hint)
		return
	}
	patterns, err := fresh.topics.patterns()
	if err != nil {
		s.log.warn("the configuration was not reloaded, and the one before stays", "error", err)
		return
	}
	s.follower.SetTopics(patterns)
	s.follower.SetMaxRate(int64(fresh.maxRate))
	s.log.info("configuration reloaded", "topics", strings.Join(fresh.topics.include, ","), "exclude", strings.Join(fresh.topics.exclude, ","),
		"max_rate", fresh.maxRate.String(), "after_a_restart", strings.Join(later, ","))
}

// again reads what the command was started with once more. later are flags with another value
// now that only a restart takes up.
func (o *runOptions) again(e *env) (fresh *runOptions, later []string, err error) {
	global := &globalOptions{args: o.global.args}
	root := newRootCommand(global, e)
	before, _, err := root.Find([]string{"run"})
	if err != nil {
		return nil, nil, err
	}
	root.RemoveCommand(before)
	cmd, fresh := runCommand(global, e)
	root.AddCommand(cmd)
	_, rest, err := root.Find(global.args)
	if err != nil {
		return nil, nil, err
	}
	if err := cmd.ParseFlags(rest); err != nil {
		return nil, nil, err
	}
	if global.settings, err = configure(cmd, e); err != nil {
		return nil, nil, err
	}
	if err := refuseEmpty(cmd); err != nil {
		return nil, nil, err
	}
	if err := fresh.validate(); err != nil {
		return nil, nil, err
	}
	cmd.Flags().VisitAll(func(f *pflag.Flag) {
		if !slices.Contains([]string{"topic", "exclude", "max-rate"}, f.Name) && o.values[f.Name] != f.Value.String() {
			later = append(later, f.Name)
		}
	})
	return fresh, later, nil
}
