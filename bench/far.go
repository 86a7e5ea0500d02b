package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"coldstream/blob/storetest"
)

// farOneWay is how long the relay to the storage holds a request, and its answer: together
// they take 30 ms longer.
const farOneWay = 15 * time.Millisecond

const (
	folderTool = "folder"
	nearS3Tool = "s3"
	farS3Tool  = "s3-30ms"
)

// farStorage is a server of object storage of its own, and a long way to it.
type farStorage struct {
	*storetest.S3
	stop  func()
	relay *relayProcess
}

// farTools are coldstream with vaults in different places.
func farTools() []tool {
	var out []tool
	for _, place := range []struct {
		name  string
		vault func(j *job)
	}{
		{folderTool, nil},
		{nearS3Tool, func(j *job) { j.inBucket(j.storage.Endpoint) }},
		{farS3Tool, func(j *job) { j.inBucket("http://" + j.storage.relay.addr) }},
	} {
		out = append(out, tool{
			name: place.name, place: place.vault, prepare: makeVault,
			backup:  func(j *job) []string { return j.coldstreamBackup() },
			restore: (*job).coldstreamRestore,
		})
	}
	return out
}

// inBucket puts a job's vault into the bucket, which is found at an endpoint.
func (j *job) inBucket(endpoint string) {
	prefix := filepath.Base(j.dir)
	j.vault, j.objects = j.storage.URLAt(endpoint, prefix), filepath.Join(j.storage.Dir, prefix)
}

// far measures backups and restores with vaults that are far away.
func (s *session) far(ctx context.Context) error {
	storage := &farStorage{}
	var err error
	if storage.S3, storage.stop, err = storetest.StartVersitygw(); err != nil {
		return err
	}
	s.storage = storage
	for name, value := range storetest.Environ() {
		s.env = append(s.env, name+"="+value)
	}
	if storage.relay, err = startRelay(ctx, farOneWay); err != nil {
		return err
	}
	if err := storage.relay.to(strings.TrimPrefix(storage.Endpoint, "http://")); err != nil {
		return fmt.Errorf("tell the relay where the storage is: %w", err)
	}
	return s.everything(ctx)
}

func (f *farStorage) close() {
	if f.relay != nil {
		f.relay.close()
	}
	f.stop()
}

// farTarget is how fast an operation on storage that is far away shall be at least, as a share of its
// speed on a folder.
type farTarget struct {
	Operation, Tool string
	Share           float64
}

func farTargets() []farTarget {
	return []farTarget{
		{Operation: backupOperation, Tool: farS3Tool, Share: 0.60},
		{Operation: restoreOperation, Tool: farS3Tool, Share: 0.45},
	}
}

// share is how fast it was.
func (s *Summary) share() float64 {
	return s.median(func(p pair) float64 { return p.limit.Wall / p.tool.Wall })
}

// farVerdicts say of vaults in other places than a folder how fast they were.
func (r *Report) farVerdicts() []string {
	var out []string
	for _, s := range r.Summaries() {
		if s.tool != folderTool && s.tool != nearS3Tool && s.tool != farS3Tool {
			continue
		}
		s.workload = s.tool // of which there is one, and the places are what differs
		out = append(out, s.memoryVerdict())
		if s.operation == restoreOperation && s.Records != "same" {
			out = append(out, fmt.Sprintf("MISSED %s %s: the records are not the same (%s)", s.operation, s.tool, s.Records))
		}
		for _, t := range farTargets() {
			if s.operation != t.Operation || s.tool != t.Tool {
				continue
			}
			word := "met   "
			if s.share() < t.Share {
				word = "MISSED"
			}
			out = append(out, fmt.Sprintf("%s %s %s: %.2f of the folder's speed, at least %.2f", word, s.operation, s.tool, s.share(), t.Share))
		}
	}
	return out
}

// remove deletes what a job has stored.
func (j *job) remove() error {
	if err := os.RemoveAll(j.objects); err != nil {
		return err
	}
	return os.RemoveAll(j.dir)
}
