package main

import (
	"flag"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"testing"
	"time"

	fsstore "coldstream/blob/fs"
	"coldstream/kafka/kafkatest"
	"coldstream/vault"
)

var tortureFlag = flag.Int("torture", 25, "rounds of TestTorture")

// roundsOfOneVault bounds what a vault and its topic grow to.
const roundsOfOneVault = 25

// TestTorture kills backups with SIGKILL at random moments, often two at once, while
// records are written and the vault is turned by processes that are killed as well. After
// all of it nothing acknowledged is lost, doubled or out of order. The seed repeats what
// is decided; when a process is where, it cannot repeat.
func TestTorture(t *testing.T) {
	realCluster(t)
	binary, random := buildProgram(t), newRandom(t)
	var sum tally
	for rounds := *tortureFlag; rounds > 0; rounds -= roundsOfOneVault {
		t.Run("vault", func(t *testing.T) {
			tr := &torture{world: newWorld(t), binary: binary, random: random, topic: "tortured", acknowledged: map[string][]logRange{}}
			tr.run(min(rounds, roundsOfOneVault))
			sum.add(&tr.tally)
		})
	}
	if t.Failed() {
		return
	}
	t.Logf("%d rounds: %d backups, %d of them killed; %d turns, %d of them killed; %d epochs begun; of %d records 0 lost, 0 doubled, 0 out of order",
		*tortureFlag, sum.backups, sum.killed, sum.turns, sum.turnsKilled, sum.epochs, sum.records)
	if *tortureFlag >= roundsOfOneVault && (sum.killed == 0 || sum.killed == sum.backups || sum.epochs == 0) {
		t.Error("that was no torture: of backups some must be killed, some come through, and the vault must turn")
	}
}

// tally counts what was done.
type tally struct{ backups, killed, turns, turnsKilled, epochs, records int }

func (s *tally) add(o *tally) {
	s.backups, s.killed = s.backups+o.backups, s.killed+o.killed
	s.turns, s.turnsKilled = s.turns+o.turns, s.turnsKilled+o.turnsKilled
	s.epochs, s.records = s.epochs+o.epochs, s.records+o.records
}

// torture is what one vault goes through.
type torture struct {
	*world
	tally
	binary, topic string
	random        *rand.Rand
	acknowledged  map[string][]logRange // by snapshot: what its backup had to save at least
}

func (tr *torture) run(rounds int) {
	tr.create(tr.topic, 3)
	stop := tr.keepWriting(tr.topic, 3, 100)
	for round := range rounds {
		tr.round()
		if o := tr.world.run("verify"); o.code != exitDone {
			tr.Fatalf("round %d: verify ended with %d\n%s%s", round, o.code, o.stdout, o.stderr)
		}
		if tr.Failed() {
			tr.Fatalf("round %d", round)
		}
	}
	acknowledgedRecords := stop()
	tr.backup(tr.topic)
	tr.verify()
	want := tr.read(tr.topic)
	if tr.records = len(want); int64(len(want)) < acknowledgedRecords {
		tr.Fatalf("the topic holds %d records, %d were acknowledged", len(want), acknowledgedRecords)
	}
	tr.restoreAs(tr.topic, "tortured-copy", "--offsets", "exact")
	got := tr.read("tortured-copy")
	same(tr.T, "lost, doubled, out of order", compare(got, want), differences{})
	sameContent(tr.T, got, want)
	tr.checkAcknowledged(want)
	begun, err := filepath.Glob(filepath.Join(tr.vault, "epochs", "*", "begun"))
	if err != nil || len(begun) == 0 {
		tr.Fatalf("epochs begun: %v, %v", begun, err)
	}
	tr.epochs = len(begun) - 1
}

// round runs one to two backups, and in most rounds a turn, at once. Each may be killed.
func (tr *torture) round() {
	type running struct {
		*process
		moment <-chan struct{}
	}
	before := tr.logRanges(tr.topic)
	var all []running
	backups := 1 + tr.random.IntN(2)
	turns := min(1, tr.random.IntN(3))
	for i := range backups + turns {
		if i < backups {
			moment := tr.moment(120*time.Millisecond, "packs", "commits", "tables", ".")
			all = append(all, running{tr.startProcess(tr.binary, "backup", "-t", tr.topic, "--interval", "1ms"), moment()})
		} else {
			moment := tr.moment(60*time.Millisecond, "epochs", "tables")
			all = append(all, running{tr.startTurn(), moment()})
		}
	}
	for _, p := range all {
		select {
		case <-p.moment:
			_ = p.Process.Kill() // it may just have ended
		case <-p.ended:
		}
	}
	for i, p := range all {
		<-p.ended
		killed := 0
		if p.code == -1 {
			killed = 1
		} else if p.code != exitDone {
			tr.Errorf("process %d of the round ended with %d\n%s%s", i, p.code, p.stdout.String(), p.stderr.String())
			continue
		}
		if i >= backups {
			tr.turns, tr.turnsKilled = tr.turns+1, tr.turnsKilled+killed
			continue
		}
		tr.backups, tr.killed = tr.backups+1, tr.killed+killed
		if killed == 0 {
			var r backupReport
			outcome{p.code, p.stdout.String(), p.stderr.String()}.into(tr.T, &r)
			tr.acknowledged[r.Snapshot] = before
		}
	}
}

// moment decides when a process is killed that lives for about so long: after some time,
// soon after some files have appeared in a folder of the vault, or not at all.
func (tr *torture) moment(life time.Duration, folders ...string) func() <-chan struct{} {
	how, later := tr.random.IntN(5), time.Duration(tr.random.Int64N(int64(life)))
	folder, more := folders[tr.random.IntN(len(folders))], 1+tr.random.IntN(2)
	soon := time.Duration(tr.random.IntN(2500)) * time.Microsecond
	return func() <-chan struct{} {
		reached := make(chan struct{})
		switch how {
		case 0: // it lives
		case 1, 2:
			tr.after(later, reached)
		default:
			tr.whenStored(folder, tr.files(folder)+more, func() { tr.after(soon, reached) })
		}
		return reached
	}
}

func (tr *torture) after(d time.Duration, reached chan struct{}) {
	time.AfterFunc(d, func() { close(reached) })
}

// whenStored looks into the vault until a folder has so many files; it gives up when no
// backup can still be at work.
func (tr *torture) whenStored(folder string, count int, then func()) {
	tick, giveUp := time.NewTicker(500*time.Microsecond), time.After(5*time.Second)
	go func() {
		defer tick.Stop()
		for {
			select {
			case <-tick.C:
				if tr.files(folder) >= count {
					then()
					return
				}
			case <-giveUp:
				return
			case <-tr.Context().Done():
				return
			}
		}
	}()
}

// checkAcknowledged: every snapshot that a backup reported is there, and one of them, any,
// holds what was in the topic when its backup began, and nothing that never was.
func (tr *torture) checkAcknowledged(want []kafkatest.Record) {
	tr.Helper()
	there := map[string]bool{}
	for _, s := range tr.snapshots() {
		there[s.ID] = true
	}
	var ids []string
	for id := range tr.acknowledged {
		if ids = append(ids, id); !there[id] {
			tr.Errorf("snapshot %s was acknowledged and is gone", id)
		}
	}
	if tr.Failed() || len(ids) == 0 {
		return
	}
	slices.Sort(ids)
	id := ids[tr.random.IntN(len(ids))]
	tr.restore("-t", tr.topic, "--snapshot", id, "--map", tr.topic+"=tortured-then", "--offsets", "exact")
	ends := tr.logRanges("tortured-then")
	for p, least := range tr.acknowledged[id] {
		if ends[p].Next < least.Next {
			tr.Errorf("snapshot %s has offsets to %d of partition %d, there were %d before", id, ends[p].Next, p, least.Next)
		}
	}
	isLater := func(r kafkatest.Record) bool { return r.Offset >= ends[r.Partition].Next }
	sameContent(tr.T, tr.read("tortured-then"), slices.DeleteFunc(slices.Clone(want), isLater))
}

// differences between a topic and its copy. Keys are unique.
type differences struct{ Lost, Doubled, OutOfOrder int }

func compare(got, want []kafkatest.Record) (d differences) {
	type name struct {
		partition int32
		key       string
	}
	place, seen := map[name]int{}, map[name]bool{}
	for i, r := range want {
		place[name{r.Partition, string(r.Key)}] = i + 1
	}
	last := 0
	for _, r := range got {
		n := name{r.Partition, string(r.Key)}
		switch at := place[n]; {
		case seen[n]:
			d.Doubled++
		case at < last:
			d.OutOfOrder++
		default:
			last = at
		}
		seen[n] = true
	}
	for n := range place {
		if !seen[n] {
			d.Lost++
		}
	}
	return d
}

func TestCompareFindsEachDifference(t *testing.T) {
	records := func(keys ...string) (out []kafkatest.Record) {
		for _, k := range keys {
			out = append(out, kafkatest.Record{Key: []byte(k)})
		}
		return out
	}
	want := records("a", "b", "c", "d")
	for wantDifferences, got := range map[differences][]kafkatest.Record{
		{}:                                   want,
		{Lost: 1}:                            records("a", "b", "d"),
		{Doubled: 1}:                         records("a", "b", "b", "c", "d"),
		{OutOfOrder: 1}:                      records("a", "c", "b", "d"),
		{Lost: 1, Doubled: 1, OutOfOrder: 1}: records("b", "a", "d", "d"),
	} {
		same(t, "differences", compare(got, want), wantDifferences)
	}
}

// turnVariable names the vault that this test binary, run again, is to turn. A backup
// turns by itself after a thousand commits only.
const turnVariable = "COLDSTREAM_TEST_TURN"

// startTurn turns the vault in a process of its own.
func (tr *torture) startTurn() *process {
	tr.Helper()
	self, err := os.Executable()
	if err != nil {
		tr.Fatal(err)
	}
	cmd := exec.Command(self, "-test.run=^TestTurnOfAnotherProcess$", "-test.count=1")
	cmd.Env = append(os.Environ(), turnVariable+"="+tr.vault)
	return tr.start(cmd)
}

// TestTurnOfAnotherProcess is that process; by itself it has nothing to turn.
func TestTurnOfAnotherProcess(t *testing.T) {
	folder := os.Getenv(turnVariable)
	if folder == "" {
		return
	}
	store, err := fsstore.Open(folder)
	if err != nil {
		t.Fatal(err)
	}
	v, err := vault.Open(t.Context(), store)
	if err != nil {
		t.Fatal(err)
	}
	if err := v.Turn(t.Context(), vault.TurnOptions{}); err != nil {
		t.Fatal(err)
	}
}
