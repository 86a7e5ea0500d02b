//go:build long

package main

import (
	"fmt"
	"net/url"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/minio/minio-go/v7"
	"github.com/minio/minio-go/v7/pkg/credentials"
	"github.com/minio/minio-go/v7/pkg/lifecycle"

	"coldstream/blob/storetest"
)

// TestRansomDrill is the whole of it: a thief has the key and the credentials of the host that makes
// backups. What they can do is denied, or seen and undone; docs/security.md has the table.
func TestRansomDrill(t *testing.T) {
	realCluster(t)
	b := inS3(t, storetest.MinIO(t))
	d := b.newDrill(t, "ransom")
	d.suffers(t, attacksOfAnybody()) // the same as the owner of the bucket: more than the thief can do
	d.thief = b.thief(t, d)
	d.suffers(t, attacksOfTheThief())
}

// thief is a client with the credentials of a writer.
func (b bucket) thief(t *testing.T, d *ransomDrill) *minio.Client {
	t.Helper()
	text, err := os.ReadFile("../../deploy/policies/s3-writer-locked.json")
	if err != nil {
		t.Fatal(err)
	}
	session := b.Session(t, strings.NewReplacer("BUCKET", d.bucket.Bucket, "PREFIX", d.prefix).Replace(string(text)))
	server, err := url.Parse(b.Endpoint)
	if err != nil {
		t.Fatal(err)
	}
	client, err := minio.New(server.Host, &minio.Options{Region: storetest.Region, Creds: credentials.NewStaticV4(
		session["AWS_ACCESS_KEY_ID"], session["AWS_SECRET_ACCESS_KEY"], session["AWS_SESSION_TOKEN"])})
	if err != nil {
		t.Fatal(err)
	}
	return client
}

func (d *ransomDrill) denied(what string, err error) {
	d.Helper()
	if err == nil {
		d.Errorf("%s is allowed, want that it is denied", what)
	}
}

// showsIn fails the test unless all the texts stand on stdout.
func (o outcome) showsIn(t *testing.T, texts ...string) {
	t.Helper()
	for _, text := range texts {
		if !strings.Contains(o.stdout, text) {
			t.Errorf("stdout does not say %q:\n%s", text, o.stdout)
		}
	}
}

func attacksOfTheThief() []attack {
	return []attack{
		{"delete", func(t *testing.T, d *ransomDrill) {
			for _, name := range d.objects("") {
				d.denied("delete "+name, d.thief.RemoveObject(t.Context(), d.bucket.Bucket, name, minio.RemoveObjectOptions{}))
			}
		}},
		{"delete version", func(t *testing.T, d *ransomDrill) {
			for _, o := range d.bucket.versions(t, d.prefix+"/") {
				for _, bypass := range []bool{false, true} {
					d.denied("delete version of "+o.Key, d.thief.RemoveObject(t.Context(), d.bucket.Bucket, o.Key, minio.RemoveObjectOptions{VersionID: o.VersionID, GovernanceBypass: bypass}))
				}
			}
		}},
		{"overwrite", func(t *testing.T, d *ransomDrill) {
			pack := d.objects("packs/")[0]
			body := []byte(d.body(pack))
			body[len(body)-1] ^= 1
			d.mustPut(pack, string(body))
			d.run("verify", "--deep").must(t, exitDamage)
			d.comesBack("")
		}},
		{"truncate", func(t *testing.T, d *ransomDrill) {
			for _, pack := range d.objects("packs/") {
				d.mustPut(pack, d.body(pack)[:100])
			}
			d.run("verify").must(t, exitDamage)
			d.comesBack("")
		}},
		{"swap", func(t *testing.T, d *ransomDrill) {
			packs := d.objects("packs/")
			first, last := d.body(packs[0]), d.body(packs[len(packs)-1])
			d.mustPut(packs[0], last)
			d.mustPut(packs[len(packs)-1], first)
			d.run("verify").must(t, exitDamage)
			d.comesBack("")
		}},
		{"replay an old head", replayed},
		{"lifecycle rule", func(t *testing.T, d *ransomDrill) {
			rule := lifecycle.NewConfiguration()
			rule.Rules = []lifecycle.Rule{{ID: "gone", Status: "Enabled", Expiration: lifecycle.Expiration{Days: 1}}}
			d.denied("set a lifecycle rule", d.thief.SetBucketLifecycle(t.Context(), d.bucket.Bucket, rule))
			if err := d.bucket.Admin.SetBucketLifecycle(t.Context(), d.bucket.Bucket, rule); err != nil {
				t.Fatal(err)
			}
			d.run("doctor", "-b", d.bootstrap).must(t, exitFailed).showsIn(t, "deletes the vault's objects")
			if err := d.bucket.Admin.SetBucketLifecycle(t.Context(), d.bucket.Bucket, lifecycle.NewConfiguration()); err != nil {
				t.Fatal(err)
			}
			d.run("doctor", "-b", d.bootstrap).must(t, exitDone).showsIn(t, "every object is locked", "versioning: on")
		}},
		{"shortened lock", shortened},
		{"junk flood", flooded},
	}
}

// shortened tries to make locks end soon. MinIO lets who may set locks of governance shorten them, if they
// ask for it, whatever other rights they lack: they still delete nothing. Locks of compliance hold
// against everybody.
func shortened(t *testing.T, d *ransomDrill) {
	soon, governance, compliance := time.Now().Add(time.Hour), minio.Governance, minio.Compliance
	shorten := func(of *minio.Client, o minio.ObjectInfo, mode *minio.RetentionMode, bypass bool) error {
		return of.PutObjectRetention(t.Context(), d.bucket.Bucket, o.Key, minio.PutObjectRetentionOptions{
			VersionID: o.VersionID, Mode: mode, RetainUntilDate: &soon, GovernanceBypass: bypass,
		})
	}
	for _, o := range d.bucket.versions(t, d.prefix+"/") {
		d.denied("shorten the lock of "+o.Key, shorten(d.thief, o, &governance, false))
	}
	strict := d.prefix + "/strict"
	command(t, nil, "init", "--lock", "1d", "--lock-mode", "compliance", "--vault", d.bucket.URL(strict)).must(t, exitDone)
	for _, o := range d.bucket.versions(t, strict+"/") {
		d.sound[o.VersionID] = true // nobody takes it back
		for _, of := range []*minio.Client{d.thief, d.bucket.Admin} {
			for _, mode := range []*minio.RetentionMode{&governance, &compliance} {
				d.denied("shorten the lock of "+o.Key, shorten(of, o, mode, true))
			}
			d.denied("delete "+o.Key, of.RemoveObject(t.Context(), d.bucket.Bucket, o.Key, minio.RemoveObjectOptions{VersionID: o.VersionID, GovernanceBypass: true}))
		}
	}
}

// replayed begins an epoch whose base is an old one. That is a new key, and no later version of one that
// was there: so the time of the theft says what to read.
func replayed(t *testing.T, d *ransomDrill) {
	before := afterNow()
	old := d.body(d.prefix + "/epochs/0000000000/base")
	d.mustPut(d.prefix+"/epochs/0000000001/begun", "")
	d.mustPut(d.prefix+"/epochs/0000000001/base", old)
	d.run("verify").must(t, exitDamage)
	d.run("backup", "-b", d.bootstrap, "-t", d.source).must(t, exitDamage)
	d.comesBack("&before=" + before)
}

// afterNow is a time that is over: what is stored from now on is newer.
func afterNow() string {
	at := time.Now().Truncate(time.Second).Add(time.Second)
	<-time.After(time.Until(at.Add(time.Second)))
	return at.UTC().Format(time.RFC3339)
}

// flooded puts a thousand objects where a vault has its own, with names as it makes them.
func flooded(t *testing.T, d *ransomDrill) {
	before := afterNow()
	like := map[string]string{}
	for _, prefix := range []string{"packs/", "commits/", "tables/", "keys/"} {
		like[prefix] = d.objects(prefix)[0]
	}
	for n := 1; n <= 250; n++ { // 0 is the vault's own
		for _, name := range like {
			d.mustPut(name[:len(name)-4]+fmt.Sprintf("%04x", n), "junk")
		}
	}
	o := d.run("verify", "--deep")
	if !slices.Contains([]int{exitDone, exitDamage}, o.code) {
		t.Errorf("verify ended with %d:\n%s", o.code, o.stderr)
	}
	o = d.restoring("-t", d.source, "--map", d.source+"="+d.source+"-flooded", "--offsets", "exact")
	if !slices.Contains([]int{exitDone, exitDamage}, o.code) { // junk commits count as damage, which may hide something
		t.Fatalf("restore ended with %d:\n%s", o.code, o.stderr)
	}
	sameContent(t, d.read(d.source+"-flooded"), d.read(d.source))
	d.comesBack("&before=" + before)
}
