package main

import (
	"context"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/minio/minio-go/v7"

	"coldstream/blob/storetest"
)

// ransomDrill is a vault with a lock, encrypted, as a thief finds it, and how its owner gets it back.
type ransomDrill struct {
	*world
	bucket lockedBucket
	prefix string
	// Of the operator, and of the host that makes backups: only the second is stolen.
	operatorKey, hostKey string
	thief                *minio.Client
	sound                map[string]bool // the versions that there were
	source               string          // the topic
}

func (b bucket) newDrill(t *testing.T, name string) *ransomDrill {
	t.Helper()
	d := &ransomDrill{world: newWorld(t), bucket: b.LockingBucket(t, name), prefix: storetest.NewPrefix(), source: name}
	d.operatorKey, d.hostKey = filepath.Join(t.TempDir(), "operator.key"), filepath.Join(t.TempDir(), "host.key")
	d.vault, d.thief = d.bucket.URL(d.prefix), d.bucket.Admin
	d.run("init", "--encrypt", "--lock", "30d", "--key-file", d.operatorKey).must(t, exitDone)
	command(t, nil, "key", "add", "--vault", d.vault, "--key-file", d.operatorKey, "--catalog-only", "--out", d.hostKey).must(t, exitDone)
	d.fill(d.source, 1, 300)
	d.asHost()
	d.backup(d.source)
	d.produce(someRecords(newRandom(t), d.source, 0, 50)...)
	d.backup(d.source)
	d.asOperator()
	d.verify()
	d.sound = map[string]bool{}
	for _, o := range d.bucket.versions(t, d.prefix+"/") {
		d.sound[o.VersionID] = true
	}
	return d
}

func (d *ransomDrill) asHost()     { d.vars = []string{"COLDSTREAM_KEY_FILE=" + d.hostKey} }
func (d *ransomDrill) asOperator() { d.vars = []string{"COLDSTREAM_KEY_FILE=" + d.operatorKey} }

// objects are the names of the vault's objects that begin with a prefix.
func (d *ransomDrill) objects(prefix string) (names []string) {
	d.Helper()
	for o := range d.bucket.Admin.ListObjectsIter(d.Context(), d.bucket.Bucket, minio.ListObjectsOptions{Prefix: d.prefix + "/" + prefix, Recursive: true}) {
		if o.Err != nil {
			d.Fatal(o.Err)
		}
		names = append(names, o.Key)
	}
	if len(names) == 0 {
		d.Fatalf("nothing under %s", prefix)
	}
	return names
}

// put puts an object with other content, as the thief.
func (d *ransomDrill) put(name, body string) error {
	_, err := d.thief.PutObject(d.Context(), d.bucket.Bucket, name, strings.NewReader(body), int64(len(body)), minio.PutObjectOptions{})
	return err
}

func (d *ransomDrill) mustPut(name, body string) {
	d.Helper()
	if err := d.put(name, body); err != nil {
		d.Fatalf("overwrite %s: %v", name, err)
	}
}

// body is what an object has now.
func (d *ransomDrill) body(name string) string {
	d.Helper()
	o, err := d.bucket.Admin.GetObject(d.Context(), d.bucket.Bucket, name, minio.GetObjectOptions{})
	if err != nil {
		d.Fatal(err)
	}
	defer o.Close()
	body, err := io.ReadAll(o)
	if err != nil {
		d.Fatal(err)
	}
	return string(body)
}

// comesBack copies what was there out of the first versions into a new vault, and proves it.
func (d *ransomDrill) comesBack(options string) {
	d.Helper()
	folder := filepath.Join(d.TempDir(), "saved")
	command(d.T, nil, "init", "--vault", folder).must(d.T, exitDone)
	var r copyDocument
	command(d.T, nil, "copy", "-o", "json", "--key-file", d.operatorKey, "--from", d.vault+"&versions=first"+options, "--to", folder).must(d.T, exitDone).into(d.T, &r)
	if len(r.Snapshots) != 2 || r.Records != 350 {
		d.Errorf("copied %d snapshots with %d records, want 2 with 350", len(r.Snapshots), r.Records)
	}
	command(d.T, nil, "verify", "--deep", "--vault", folder).must(d.T, exitDone)
}

// rewind takes back what the thief did, as nobody but the drill can: with the right to end locks.
func (d *ransomDrill) rewind() {
	d.Helper()
	ctx := context.WithoutCancel(d.Context())
	for _, o := range d.bucket.versions(d.T, d.prefix+"/") {
		if d.sound[o.VersionID] {
			continue
		}
		if err := d.bucket.Admin.RemoveObject(ctx, d.bucket.Bucket, o.Key, minio.RemoveObjectOptions{VersionID: o.VersionID, GovernanceBypass: true}); err != nil {
			d.Fatal(err)
		}
	}
	d.verify()
}

// attack is one of the drill's, with what becomes of it.
type attack struct {
	name string
	do   func(t *testing.T, d *ransomDrill)
}

func (d *ransomDrill) suffers(t *testing.T, attacks []attack) {
	t.Helper()
	for _, a := range attacks {
		t.Run(a.name, func(t *testing.T) {
			of := *d
			w := *d.world
			w.T = t
			of.world = &w
			a.do(t, &of)
			of.rewind()
		})
	}
}

// attacksOfAnybody are those that even the owner of the bucket can make, with what undoes them.
func attacksOfAnybody() []attack {
	return []attack{
		{"delete versions", func(t *testing.T, d *ransomDrill) {
			same(t, "objects that could be deleted for ever", d.bucket.deleted(t, d.prefix), 0)
		}},
		{"overwrite all", func(t *testing.T, d *ransomDrill) {
			for _, name := range d.objects("") {
				d.mustPut(name, "pay")
			}
			d.run("snapshots").must(t, exitDamage)
			d.comesBack("")
		}},
		{"delete markers", func(t *testing.T, d *ransomDrill) {
			for _, name := range d.objects("") {
				if err := d.bucket.Admin.RemoveObject(t.Context(), d.bucket.Bucket, name, minio.RemoveObjectOptions{}); err != nil {
					t.Fatal(err)
				}
			}
			d.run("snapshots").must(t, exitNoVault)
			d.comesBack("")
		}},
		{"key swap", func(t *testing.T, d *ransomDrill) {
			other := filepath.Join(t.TempDir(), "other")
			command(t, nil, "init", "--encrypt", "--vault", other, "--key-file", filepath.Join(t.TempDir(), "thief.key")).must(t, exitDone)
			swapped, err := os.ReadFile(filepath.Join(other, "vault.json"))
			if err != nil {
				t.Fatal(err)
			}
			d.mustPut(d.prefix+"/vault.json", string(swapped))
			for _, key := range []string{d.operatorKey, d.hostKey} {
				command(t, nil, "backup", "--vault", d.vault, "--key-file", key, "-b", d.bootstrap, "-t", d.source).must(t, exitKey)
			}
			d.comesBack("")
		}},
	}
}

// ransomed is the part of the drill that takes little time, with the rights of the bucket's owner.
func (b bucket) ransomed(t *testing.T) {
	d := b.newDrill(t, "ransomed")
	d.suffers(t, attacksOfAnybody())
	d.run("doctor", "-b", d.bootstrap).must(t, exitDone)
	d.vault += "&versions=first"
	d.verifyCatalog()
	d.run("backup", "-b", d.bootstrap, "-t", d.source).must(t, exitFailed).says(t, "first versions are only read", "copy what is there into a new vault")
	before := time.Now().Add(-time.Hour).UTC().Format(time.RFC3339)
	d.vault += "&before=" + before
	d.run("snapshots").must(t, exitNoVault)
}
