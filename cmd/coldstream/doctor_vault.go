package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/dustin/go-humanize"

	"coldstream/backup"
	"coldstream/kafka"
	"coldstream/vault"
)

const (
	// fewFiles are open files that a large cluster may take: some connections to each of
	// hundreds of brokers, and the objects under way.
	fewFiles = 1024
	// littleSpace is when a vault in a folder is nearly full.
	littleSpace = 5 << 30
	// slowStorage is how long one answer of a storage may take until that is worth a word.
	slowStorage = 2 * time.Second
)

// key says what the key of an encrypted vault is good for.
func (d *diagnosis) key(v *vault.Vault) {
	err := v.MayReadRecords()
	switch {
	case !v.IsEncrypted():
	case err == nil:
		d.lines.Add("key", "", kafka.StatusOK, "it opens everything")
	case d.options.job == "restore":
		d.fail("key", "", err)
	default:
		d.lines.Add("key", "", kafka.StatusOK, "it opens the catalog, and no record: enough for backups")
	}
}

// vault looks at the vault and its storage.
func (d *diagnosis) vault(ctx context.Context) {
	o := d.options
	if o.vault.url == "" {
		d.lines.Add("vault", "", kafka.StatusWarn, "not checked: none was given").Hint = "name it with --vault or COLDSTREAM_VAULT"
		return
	}
	at, err := o.vault.location(d.env)
	if err != nil {
		d.fail("vault", o.vault.url, err)
		return
	}
	v, err := o.vault.open(ctx, d.env)
	if err != nil {
		d.noVault = errors.Is(err, errNoVault)
		d.fail("vault", at.String(), err)
		return
	}
	began := d.env.now()
	snapshots, err := newestSnapshot(ctx, v)
	if err != nil {
		d.fail("vault", at.String(), err)
		return
	}
	took := d.env.now().Sub(began)
	d.lines.Add("vault", at.String(), kafka.StatusOK, fmt.Sprintf("vault %s, %s, opened in %s", v.ID(), snapshots, formatDuration(took)))
	d.key(v)
	d.storage(at.String(), v.Examine(ctx), took)
	d.settings(at.String(), v.Settings(ctx))
	if folder, ok := at.Folder(); ok {
		d.space(folder)
	}
	d.vaultClock(ctx, at.String(), v)
}

// newestSnapshot says what restore points there are.
func newestSnapshot(ctx context.Context, v *vault.Vault) (string, error) {
	catalog, err := v.OpenCatalog(ctx)
	if err != nil {
		return "", err
	}
	all := catalog.Snapshots()
	if len(all) == 0 {
		return "no snapshot yet", nil
	}
	return plural(int64(len(all)), "snapshot") + ", the newest of " + timestamp(all[len(all)-1].Time), nil
}

// storage says which of a vault's wishes its storage fulfills.
func (d *diagnosis) storage(subject string, found vault.Examination, took time.Duration) {
	check := func(name string, err error, fine string, status kafka.Status, hint string) {
		if err == nil {
			d.lines.Add("storage", subject, kafka.StatusOK, name+": "+fine)
			return
		}
		line := d.lines.Add("storage", subject, status, name+": "+err.Error())
		if line.Hint = hint; hint == "" {
			line.Hint = "see the rights of the user of the storage"
		}
	}
	check("lists", found.List, "objects are listed", kafka.StatusFail, "")
	check("ranges", found.Ranges, "parts of objects are read", kafka.StatusFail, "")
	if errors.Is(found.Create, vault.ErrReplaces) {
		check("conditional create", found.Create, "", kafka.StatusFail, "let only one process at a time write into this vault, or take other storage")
	} else {
		check("conditional create", found.Create, "writing is allowed, and what is there is not replaced", kafka.StatusFail, "backups write objects, and restores their record: allow it")
	}
	if took > slowStorage {
		d.lines.Add("storage", subject, kafka.StatusWarn, "it is slow: the vault took "+formatDuration(took)+" to open").Hint = "run coldstream near the storage"
	}
}

// settings says whether a bucket is set as a vault wants it.
func (d *diagnosis) settings(subject string, found []vault.Setting) {
	for _, of := range found {
		status := []kafka.Status{kafka.StatusOK, kafka.StatusWarn, kafka.StatusFail}[of.Fit]
		d.lines.Add("bucket", subject, status, of.Name+": "+of.Text).Hint = of.Hint
	}
}

// vaultClock compares this host's clock with the times of snapshots.
func (d *diagnosis) vaultClock(ctx context.Context, subject string, v *vault.Vault) {
	catalog, err := v.OpenCatalog(ctx)
	if err != nil {
		return
	}
	now := d.env.now()
	for _, s := range catalog.Snapshots() {
		if ahead := s.Time.Sub(now); ahead > 5*time.Minute {
			d.lines.Add("clock", subject, kafka.StatusWarn, fmt.Sprintf("snapshot %s is %s ahead of this host's clock", s.ID, formatDuration(ahead.Round(time.Second)))).Hint =
				"compare the clocks of the hosts that make backups"
			return
		}
	}
	d.lines.Add("clock", subject, kafka.StatusOK, "no snapshot is ahead of this host's clock")
}

// space says how full the disk of a vault in a folder is.
func (d *diagnosis) space(folder string) {
	free, err := freeSpace(folder)
	switch {
	case errors.Is(err, errors.ErrUnsupported):
		d.lines.Add("space", folder, kafka.StatusOK, "not checked on this system")
	case err != nil:
		d.fail("space", folder, err)
	case free < littleSpace:
		d.lines.Add("space", folder, kafka.StatusWarn, humanize.Bytes(free)+" left").Hint = "make room: a backup that finds none ends, and loses nothing"
	default:
		d.lines.Add("space", folder, kafka.StatusOK, humanize.Bytes(free)+" left")
	}
}

// host looks at what this host gives the program.
func (d *diagnosis) host() {
	if limit, err := openFiles(); err == nil {
		if limit < fewFiles {
			d.lines.Add("open files", "this host", kafka.StatusWarn, fmt.Sprintf("at most %s", formatCount(int64(limit)))).Hint =
				fmt.Sprintf("raise it for clusters of many brokers: ulimit -n %d", 4*fewFiles)
		} else {
			d.lines.Add("open files", "this host", kafka.StatusOK, fmt.Sprintf("at most %s", formatCount(int64(min(limit, 1<<62)))))
		}
	}
	const needed = backup.DefaultMemory + besideBuffers
	memory, what, err := availableMemory()
	switch {
	case err != nil:
		d.lines.Add("memory", "this host", kafka.StatusOK, "not checked on this system")
	case memory < needed:
		d.lines.Add("memory", "this host", kafka.StatusWarn, fmt.Sprintf("%s %s; by default a backup takes up to %s", humanize.IBytes(memory), what, humanize.IBytes(needed))).Hint =
			"give it less with --memory, at least 16MiB"
	default:
		d.lines.Add("memory", "this host", kafka.StatusOK, fmt.Sprintf("%s %s; by default a backup takes up to %s", humanize.IBytes(memory), what, humanize.IBytes(needed)))
	}
}

// availableMemory is what may still be used: the least of what the host has and what a
// control group allows.
func availableMemory() (bytes uint64, what string, err error) {
	text, err := os.ReadFile("/proc/meminfo")
	if err != nil {
		return 0, "", err
	}
	for line := range strings.Lines(string(text)) {
		fields := strings.Fields(line)
		if len(fields) < 2 || fields[0] != "MemAvailable:" {
			continue
		}
		kib, err := strconv.ParseUint(fields[1], 10, 54)
		if err != nil {
			return 0, "", err
		}
		bytes, what = kib<<10, "are free"
	}
	if what == "" {
		return 0, "", errors.ErrUnsupported
	}
	for _, file := range []string{"memory.max", "memory/memory.limit_in_bytes"} {
		text, err := os.ReadFile(filepath.Join("/sys/fs/cgroup", file))
		if err != nil {
			continue
		}
		if limit, err := strconv.ParseUint(strings.TrimSpace(string(text)), 10, 64); err == nil && limit < bytes {
			return limit, "are allowed by the control group", nil
		}
	}
	return bytes, what, nil
}
