package main

import (
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"

	"coldstream"
	"coldstream/blob"
	"coldstream/blob/storetest"
	"coldstream/internal/stores"
	"coldstream/vault"
)

// bucket is a server of object storage, for whole commands. What only S3 has is in S3.
type bucket struct {
	*storetest.S3
	vault func(prefix string) string // its URL
	// server is where it is, and dir where its objects are files, if that is so.
	server, dir string
	// via makes of a vault's URL one by way of an endpoint: a proxy, or the server again.
	via func(t *testing.T, endpoint, url string) string
}

func inS3(t *testing.T, s *storetest.S3) bucket {
	s.Setenv(t)
	return bucket{s, s.URL, s.Endpoint, s.Dir, func(_ *testing.T, endpoint, url string) string {
		return strings.Replace(url, s.Endpoint, endpoint, 1)
	}}
}

// newWorldIn is a world whose vault is under a new prefix of the bucket.
func (b bucket) newWorldIn(t *testing.T) (w *world, prefix string) {
	t.Helper()
	w, prefix = newWorld(t), storetest.NewPrefix()
	w.vault = b.vault(prefix)
	w.run("init").must(t, exitDone)
	return w, prefix
}

// through starts a proxy, and is the vault's URL by way of it.
func (b bucket) through(t *testing.T, url string, fault func(n int, r *http.Request) storetest.Fault) (string, *storetest.Proxy) {
	t.Helper()
	p := storetest.NewProxy(t, b.server, fault)
	return b.via(t, p.Endpoint, url), p
}

// TestVaultInABucket takes whole commands to an object store: what a folder is tested with
// in depth is tested here once.
func TestVaultInABucket(t *testing.T) {
	realCluster(t)
	b := inS3(t, storetest.VersionedVersitygw(t))
	t.Run("fidelity", func(t *testing.T) { b.fidelity(t) })
	t.Run("encrypted", func(t *testing.T) { b.encrypted(t) })
	t.Run("damage at rest", func(t *testing.T) { b.damage(t) })
	t.Run("two writers", func(t *testing.T) { b.twoWriters(t) })
	t.Run("turns", func(t *testing.T) { b.turns(t) })
	t.Run("trouble", func(t *testing.T) { b.trouble(t) })
	t.Run("cost", func(t *testing.T) { b.cost(t) })
	t.Run("locked", func(t *testing.T) { b.locked(t) })
	t.Run("ransom", func(t *testing.T) { b.ransomed(t) })
	t.Run("reader", func(t *testing.T) { b.reader(t) })
	t.Run("exclusive", func(t *testing.T) { b.exclusive(t) })
	t.Run("no vault", func(t *testing.T) { b.noVault(t) })
	t.Run("kill", func(t *testing.T) { b.kill(t, buildProgram(t)) })
}

func (b bucket) fidelity(t *testing.T) {
	w, _ := b.newWorldIn(t)
	b.fidelityOf(t, w)
}

// encrypted is fidelity of an encrypted vault.
func (b bucket) encrypted(t *testing.T) {
	w := newWorld(t)
	w.vault = b.vault(storetest.NewPrefix())
	key := filepath.Join(t.TempDir(), "key")
	w.run("init", "--encrypt", "--key-file", key).must(t, exitDone)
	w.run("snapshots").must(t, exitKey)
	w.vars = []string{"COLDSTREAM_KEY_FILE=" + key}
	b.fidelityOf(t, w)
	w.run("forget", "--keep-last", "1").must(t, exitDone)
	w.run("prune").must(t, exitDone)
	w.verify()
}

func (b bucket) fidelityOf(t *testing.T, w *world) {
	random := newRandom(t)
	w.fillDense(random, "dense")
	w.commit("readers", kadm.Offset{Topic: "dense", Partition: 0, At: 17, LeaderEpoch: -1, Metadata: "here"})
	w.backup("dense")
	w.produce(someRecords(random, "dense", 1, 50)...)
	same(t, "records of the second backup", w.backup("dense").Records, int64(50))
	w.verify()
	w.restoreAs("dense", "dense-copy", "--offsets", "exact", "--groups")
	sameContent(t, w.read("dense-copy"), w.read("dense"))
	same(t, "group", w.committed("readers")["dense-copy-0"], "17 here")
	same(t, "snapshots", len(w.snapshots()), 2)
}

// packs are the files that the server keeps packs in.
func (b bucket) packs(t *testing.T, prefix string) []string {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(b.dir, filepath.FromSlash(prefix), "packs", "*", "*", "*"))
	if err != nil || len(files) == 0 {
		t.Fatalf("packs: %v, %v", files, err)
	}
	return files
}

func (b bucket) damage(t *testing.T) {
	w, prefix := b.newWorldIn(t)
	w.fill("altered", 2, 300)
	w.backup("altered")
	pack := b.packs(t, prefix)[0]
	body, err := os.ReadFile(pack)
	if err != nil {
		t.Fatal(err)
	}
	body[len(body)/2] ^= 1
	f, err := os.OpenFile(pack, os.O_WRONLY, 0) // the file stays the same one: it has attributes
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.WriteAt(body, 0); err != nil {
		t.Fatal(err)
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	w.run("verify").must(t, exitDone) // the quick one reads no packs
	w.run("verify", "--deep").must(t, exitDamage)
	w.run("restore", "-t", "altered", "--map", "altered=altered-broken", "-b", w.bootstrap, "--yes").must(t, exitDamage)
	w.backup("altered") // fetches it again
	w.restoreAs("altered", "altered-copy", "--offsets", "exact")
	sameContent(t, w.read("altered-copy"), w.read("altered"))

	for _, pack := range b.packs(t, prefix) {
		if err := os.Remove(pack); err != nil {
			t.Fatal(err)
		}
	}
	w.run("verify").must(t, exitDamage)
	w.backup("altered")
	w.verify()
	w.restoreAs("altered", "altered-again", "--offsets", "exact")
	sameContent(t, w.read("altered-again"), w.read("altered"))
}

func (b bucket) twoWriters(t *testing.T) {
	w, _ := b.newWorldIn(t)
	w.fill("shared-bucket", 4, 200)
	var both sync.WaitGroup
	outcomes := make([]outcome, 2)
	for i := range outcomes {
		both.Go(func() {
			outcomes[i] = commandContext(t.Context(), nil, "backup", "--vault", w.vault, "-b", w.bootstrap, "-t", "shared-bucket", "--interval", "1ms", "-o", "json")
		})
	}
	both.Wait()
	for i, o := range outcomes {
		var r backupReport
		o.must(t, exitDone).into(t, &r)
		target := "shared-bucket-" + string(rune('a'+i))
		w.restore("-t", "shared-bucket", "--snapshot", r.Snapshot, "--map", "shared-bucket="+target, "--offsets", "exact")
		sameContent(t, w.read(target), w.read("shared-bucket"))
	}
	w.verify()
	same(t, "records stored once more", w.backup("shared-bucket").Records, int64(0))
}

// store opens the vault's storage.
func (w *world) store() blob.Store {
	w.Helper()
	at, err := stores.Parse(w.vault, os.Getenv)
	if err != nil {
		w.Fatal(err)
	}
	store, err := at.Open(w.Context(), coldstream.NoObserver{})
	if err != nil {
		w.Fatal(err)
	}
	return store
}

// turn begins a new epoch of the catalog.
func (w *world) turn() {
	w.Helper()
	v, err := vault.Open(w.Context(), w.store())
	if err != nil {
		w.Fatal(err)
	}
	if err := v.Turn(w.Context(), vault.TurnOptions{}); err != nil {
		w.Fatal(err)
	}
}

func (b bucket) turns(t *testing.T) {
	w, prefix := b.newWorldIn(t)
	w.fill("turned", 2, 100)
	for range 3 {
		w.backup("turned")
		w.turn()
		w.produce(someRecords(newRandom(t), "turned", 0, 20)...)
	}
	w.backup("turned")
	w.verify()
	w.restoreAs("turned", "turned-copy", "--offsets", "exact")
	sameContent(t, w.read("turned-copy"), w.read("turned"))
	if b.dir == "" {
		return
	}
	bases, err := filepath.Glob(filepath.Join(b.dir, filepath.FromSlash(prefix), "epochs", "*", "base"))
	if err != nil || len(bases) != 2 {
		t.Errorf("bases that garbage collection left: %v, %v; want that of the epoch and of the one before", bases, err)
	}
}

// troubles of every kind in turn, each for one request in four.
func troubles(n int, _ *http.Request) storetest.Fault {
	switch n % 24 {
	case 3, 15:
		return storetest.Fault{Lose: true}
	case 7:
		return storetest.Fault{Status: http.StatusServiceUnavailable}
	case 11:
		return storetest.Fault{Cut: true}
	case 19:
		return storetest.Fault{Status: http.StatusTooManyRequests}
	case 23:
		return storetest.Fault{Delay: 200 * time.Millisecond}
	}
	return storetest.Fault{}
}

func (b bucket) trouble(t *testing.T) {
	w, _ := b.newWorldIn(t)
	w.fill("troubled", 3, 300)
	direct := w.vault
	var proxy *storetest.Proxy
	w.vault, proxy = b.through(t, direct, troubles)
	var saved int64
	for range 3 {
		w.produce(someRecords(newRandom(t), "troubled", 1, 40)...)
		o := w.run("backup", "-b", w.bootstrap, "-t", "troubled", "--interval", "1ms")
		var r backupReport
		o.must(t, exitDone).into(t, &r)
		saved += r.Records
	}
	want := w.read("troubled")
	same(t, "records saved, each once", saved, int64(len(want)))
	w.restoreAs("troubled", "troubled-copy", "--offsets", "exact")
	sameContent(t, w.read("troubled-copy"), want)
	if n := proxy.Count(); n < 24 {
		t.Errorf("only %d requests passed the proxy", n)
	}
	w.vault = b.via(t, b.server, direct)
	w.verify()
	same(t, "records stored once more", w.backup("troubled").Records, int64(0))
}

// cost counts what a backup without news asks of the storage.
func (b bucket) cost(t *testing.T) {
	w, _ := b.newWorldIn(t)
	w.fill("quiet", 3, 50)
	w.backup("quiet")
	var proxy *storetest.Proxy
	w.vault, proxy = b.through(t, w.vault, nil)
	for range 3 {
		w.backup("quiet")
		writes, lists := 0, 0
		for _, request := range proxy.Requests() {
			switch method, kind, _ := strings.Cut(request, " "); {
			case method == http.MethodPut, method == http.MethodPost, method == http.MethodDelete:
				writes++
			case kind == "list":
				lists++
			}
		}
		if writes > 3 || lists > 2 {
			t.Errorf("a backup without news made %d writing requests and %d lists, want at most 3 and 2", writes, lists)
		}
	}
}

// exclusive has a server that does not know If-None-Match.
func (b bucket) exclusive(t *testing.T) {
	w := newWorld(t)
	w.vault, _ = b.through(t, b.vault(storetest.NewPrefix()), func(_ int, r *http.Request) storetest.Fault {
		if r.Header.Get("If-None-Match") != "" {
			return storetest.Fault{Status: http.StatusNotImplemented}
		}
		return storetest.Fault{}
	})
	w.run("init").must(t, exitFailed).says(t, "init --exclusive")
	var made initDocument
	w.run("init", "--exclusive").must(t, exitDone).says(t, "one process at a time").into(t, &made)
	same(t, "exclusive", made.Exclusive, true)
	w.fill("alone", 2, 100)
	w.backup("alone")
	w.turn()
	w.produce(someRecords(newRandom(t), "alone", 0, 20)...)
	w.backup("alone")
	w.verify()
	w.restoreAs("alone", "alone-copy", "--offsets", "exact")
	sameContent(t, w.read("alone-copy"), w.read("alone"))
}

func (b bucket) noVault(t *testing.T) {
	command(t, nil, "snapshots", "--vault", b.URL("nothing/here")).must(t, exitNoVault).says(t, "coldstream init")
	missing := strings.Replace(b.URL("x"), "s3://"+b.Bucket, "s3://missing-bucket", 1)
	for _, args := range [][]string{{"snapshots"}, {"init"}, {"backup", "-b", "127.0.0.1:1"}} {
		command(t, nil, append(args, "--vault", missing)...).must(t, exitNoVault).says(t, "missing-bucket", "aws s3 mb")
	}
	occupied := b.URL("occupied")
	command(t, nil, "init", "--vault", occupied).must(t, exitDone)
	command(t, nil, "init", "--vault", occupied).must(t, exitFailed).says(t, "a vault already")
	command(t, nil, "init", "--vault", b.URL("")).must(t, exitFailed).says(t, "not empty")
	t.Setenv("AWS_SECRET_ACCESS_KEY", "wrong")
	command(t, nil, "backup", "-b", "127.0.0.1:1", "--vault", occupied).must(t, exitFailed).says(t, "AWS_SECRET_ACCESS_KEY")
}

// kill ends backups at the n-th request.
func (b bucket) kill(t *testing.T, binary string) {
	w, _ := b.newWorldIn(t)
	w.fill("killed", 3, 400)
	direct := w.vault
	killed := 0
	for n := 5; n < 30; n += 6 {
		reached, gone := make(chan struct{}), make(chan struct{})
		w.vault, _ = b.through(t, direct, func(i int, _ *http.Request) storetest.Fault {
			if i == n {
				close(reached)
				<-gone // the request may still arrive then
			}
			return storetest.Fault{}
		})
		w.produce(someRecords(newRandom(t), "killed", 0, 30)...)
		p := w.startProcess(binary, "backup", "-t", "killed", "--interval", "1ms")
		select {
		case <-reached:
			killed++
		case <-p.ended:
		}
		_ = p.Process.Kill() // it may have ended
		<-p.ended
		close(gone)
	}
	if killed < 3 {
		t.Errorf("only %d backups were killed", killed)
	}
	w.vault = b.via(t, b.server, direct)
	w.backup("killed")
	w.verify()
	w.restoreAs("killed", "killed-copy", "--offsets", "exact")
	sameContent(t, w.read("killed-copy"), w.read("killed"))
}
