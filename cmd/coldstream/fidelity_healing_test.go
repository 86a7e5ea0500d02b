package main

import (
	"os"
	"path/filepath"
	"slices"
	"testing"
)

// packFiles are the vault's packs, the oldest first.
func (w *world) packFiles() []string {
	w.Helper()
	files, err := filepath.Glob(filepath.Join(w.vault, "packs", "*", "*", "*"))
	if err != nil {
		w.Fatal(err)
	}
	slices.SortFunc(files, func(a, b string) int {
		infoA, errA := os.Stat(a)
		infoB, errB := os.Stat(b)
		if errA != nil || errB != nil {
			w.Fatal(errA, errB)
		}
		return infoA.ModTime().Compare(infoB.ModTime())
	})
	return files
}

type healReport struct {
	Healed []struct {
		Topic       string `json:"topic"`
		Partition   int32  `json:"partition"`
		FirstOffset int64  `json:"first_offset"`
		NextOffset  int64  `json:"next_offset"`
	} `json:"healed"`
	Damage []string `json:"damage"`
}

func (r *healReport) offsets() (n int64) {
	for _, h := range r.Healed {
		n += h.NextOffset - h.FirstOffset
	}
	return n
}

// A pack that is lost in any way, of several batches, codecs and partitions: after one
// more backup the vault is whole, and each snapshot comes back as it was.
func TestALostPackComesBackFromTheCluster(t *testing.T) {
	const perPartition = 150
	for how, damage := range map[string]func(*world, string){
		"deleted": func(w *world, file string) {
			if err := os.Remove(file); err != nil {
				w.Fatal(err)
			}
		},
		"truncated": func(w *world, file string) {
			if err := os.Truncate(file, 1000); err != nil {
				w.Fatal(err)
			}
		},
		"altered": func(w *world, file string) {
			name, err := filepath.Rel(w.vault, file)
			if err != nil {
				w.Fatal(err)
			}
			flip(w.T, w.vault, name)
		},
	} {
		t.Run(how, func(t *testing.T) {
			w := newWorld(t)
			w.fill("orders", 3, perPartition)
			first := w.backup("orders")
			was := w.read("orders")
			w.produce(someRecords(newRandom(t), "orders", 1, 40)...)
			second := w.backup("orders")
			damage(w, w.packFiles()[0])

			var problems verifyDocument
			w.run("verify", "--deep").must(t, exitDamage).says(t, "coldstream backup").into(t, &problems)
			if len(problems.Problems) == 0 {
				t.Fatal("verify names nothing")
			}
			w.run("restore", "-b", w.bootstrap, "-t", "orders", "--map", "orders=broken", "--yes").must(t, exitDamage).says(t, "coldstream backup")
			w.run("verify").must(t, exitDamage) // it is marked by now

			var foreseen, healed healReport
			w.run("backup", "-b", w.bootstrap, "-t", "orders", "--dry-run").must(t, exitDone).into(t, &foreseen)
			w.produce(someRecords(newRandom(t), "orders", 2, 10)...)
			command(t, nil, "backup", "-b", w.bootstrap, "-t", "orders", "--vault", w.vault, "-o", "json").must(t, exitDone).into(t, &healed)
			same(t, "healed as foreseen", healed, foreseen)
			same(t, "offsets healed", healed.offsets(), int64(3*perPartition))
			w.verify()

			w.restore("-t", "orders", "--map", "orders=orders-now")
			sameContent(t, w.read("orders-now"), w.read("orders"))
			w.restore("-t", "orders", "--snapshot", first.Snapshot, "--map", "orders=orders-first")
			sameContent(t, w.read("orders-first"), was)
			w.restore("-t", "orders", "--snapshot", second.Snapshot, "--map", "orders=orders-second")
			same(t, "ends of the second", w.logRanges("orders-second"), []logRange{{0, perPartition}, {0, perPartition + 40}, {0, perPartition}})
			none := healReport{}
			w.run("backup", "-b", w.bootstrap, "-t", "orders").must(t, exitDone).into(t, &none)
			same(t, "healed by the next", none.offsets(), int64(0))
		})
	}
}

// What the cleaner has removed before a lost pack was fetched again is missing from older
// snapshots: a restore of one says so, and one of a newer does not.
func TestRestoreSaysWhatCompactionTookFromASnapshot(t *testing.T) {
	w, random := newWorld(t), newRandom(t)
	w.createCleaned("state")
	w.overwrite(random, "state")
	older := w.backup("state")
	if err := os.Remove(w.packFiles()[0]); err != nil {
		t.Fatal(err)
	}
	w.overwrite(random, "state")
	w.roll("state", 2)
	var healed healReport
	w.run("backup", "-b", w.bootstrap, "-t", "state").must(t, exitDone).into(t, &healed)
	if healed.offsets() == 0 {
		t.Fatal("nothing was healed")
	}
	w.restore("-t", "state", "--map", "state=state-healed") // of the run that healed
	newer := w.backup("state")
	var r restoreReport
	o := w.restoring("-t", "state", "--snapshot", older.Snapshot, "--map", "state=state-older").must(t, exitDamage)
	o.says(t, "records that were stored", "packs/")
	o.into(t, &r)
	if len(r.Damage) == 0 {
		t.Errorf("the document names no damage: %s", o.stdout)
	}
	w.restore("-t", "state", "--snapshot", newer.Snapshot, "--map", "state=state-newer")
}
