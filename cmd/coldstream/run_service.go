package main

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"syscall"
	"time"

	"golang.org/x/sync/errgroup"

	"coldstream/backup"
	"coldstream/internal/notify"
)

// service is a continuous backup as its service manager sees it.
type service struct {
	follower *backup.Follower
	reloader *reloader
	log      *eventLog
	watch    *watch
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
	group.Go(func() error { // beside the rest: a folder that hangs holds up the reading of a file only
		s.reloads(attending, hangups)
		return nil
	})
	group.Go(func() error {
		s.attend(attending)
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

// attend tells the manager that all is well.
func (s *service) attend(ctx context.Context) {
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
		case <-tick.C:
			s.isWell()
		}
	}
}

// reloads reads the configuration again, when it is told to and when it has changed.
func (s *service) reloads(ctx context.Context, hangups <-chan os.Signal) {
	look := time.NewTicker(lookEvery)
	defer look.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-hangups:
			s.tell(notify.Reloading)
			s.reloader.reload()
			s.tell(notify.Ready)
		case <-look.C:
			s.reloader.look()
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
		line := statusLine(status)
		if s.watch.configuration.Load().Error != "" {
			line += ", the configuration is wrong and was not reloaded"
		}
		states = append(states, notify.Status(line))
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
