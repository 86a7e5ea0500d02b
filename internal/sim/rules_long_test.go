//go:build long

package sim_test

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// without is the vault's code with a rule of the protocol left out, and the test of
// package vault that must fail then.
type without struct {
	rule, file, old, new string
	test                 string
}

var ruleless = []without{
	{"look", "epochs.go", "if now.isStill(found) {", "if now.isStill(found) || true {", "TestTurnedWhileOpening"},
	{"check", "writer.go", "case found.newest > c.catalog.epoch:", "case found.newest > c.catalog.epoch && false:", "TestWritersAndTurns"},
	{"order", "turn.go", "	if err := v.store.Create(ctx, format.BegunKey(epoch+1), nil);",
		"	early := &baseMaker{vault: v, order: order}\n	early.order.rehearsal = false\n	if early.gather(ctx) != nil {\n		return nil, errTurned\n	}\n	if err := v.store.Create(ctx, format.BegunKey(epoch+1), nil);",
		"TestWritersAndTurns"},
	{"cond", "base.go", "err = m.vault.store.Create(ctx, key, body)\n",
		"_ = m.vault.store.Delete(ctx, key)\n\terr = m.vault.store.Create(ctx, key, body)\n", "TestWritersAndTurns"},
	{"own", "turn.go", "	order.rehearsal = false\n",
		"	early, err := v.makeBase(ctx, order)\n	if err == nil {\n		err = v.collectGarbage(ctx, early)\n	}\n	if err != nil {\n		return nil, err\n	}\n	order.rehearsal = false\n",
		"TestTurnLosesItsAnswer"},
	{"confirm", "turn.go", "if found.newest >= n+2 {", "if found.newest >= n+2 && false {", "TestRetiredBaseMadeAgain"},
	{"begun", "turn.go", "err == nil && !isBegun && epoch+1 < g.n", "err == nil && (isBegun || true) && epoch+1 < g.n", "TestGarbageRules"},
	{"age (packs)", "turn.go", "err := format.ParsePackKey(key)\n\t\treturn err == nil && id.Epoch+2 <= g.n",
		"err := format.ParsePackKey(key)\n\t\treturn err == nil && id.Epoch <= g.n", "TestCommitDuringASweep"},
	{"age (tables)", "turn.go", "err := format.ParseTableKey(key)\n\t\treturn err == nil && id.Epoch+2 <= g.n",
		"err := format.ParseTableKey(key)\n\t\treturn err == nil && id.Epoch <= g.n", "TestCommitDuringASweep"},
	{"fresh (packs)", "writer.go", "c.catalog.epoch-c.stored[0].ID.Epoch > 1 {", "c.catalog.epoch-c.stored[0].ID.Epoch > 2 {", "TestCommitAcrossTurns"},
	{"fresh (sections)", "rewrite.go", "	c.catalog = catalog\n",
		"	for hash, id := range c.catalog.sections {\n		catalog.sections[hash] = id\n	}\n	c.catalog = catalog\n", "TestSectionGoesWhileItIsShared"},
	{"key (sections)", "writer.go", "id := format.TableID{Epoch: c.catalog.epoch, Hash", "id := format.TableID{Epoch: 0, Hash", "TestSectionGoesWhileItIsShared"},
	{"key (tables)", "base.go", "format.TableID{Epoch: m.order.epoch, Hash", "format.TableID{Epoch: 0, Hash", "TestTurn"},
	{"redo", "turn.go", "if opts.removal() == nil {\n				return nil", "if opts.removal() == nil || true {\n				return nil", "TestLoserDecidesAgain"},
	{"tidy", "turn.go", "		case errors.Is(err, errTurned) || errors.Is(err, fs.ErrExist):",
		"		case errors.Is(err, fs.ErrExist):\n			return v.collectGarbage(ctx, made)\n		case errors.Is(err, errTurned):", "TestTurnLosesItsAnswer"},
	{"join (rows)", "fold.go", "case !h.extend(e.extent):\n\t\t\treturn nil, false", "case !h.extend(e.extent):\n\t\t\th.add(e.extent)", "TestCommitRefuses"},
	{"join (views)", "fold.go", "(!proven || !h.reaches(view)) {", "(!proven || !h.reaches(view)) && h == nil {", "TestCommitRefuses"},
	{"covered", "rewrite.go", "h != nil && h.scan == scan {", "h != nil && h.scan == scan && false {", "TestRemoval"},
	{"view", "rewrite.go", "	if commit.Snapshot == nil {\n		return nil", "	if commit.Snapshot == nil || true {\n		return nil", "TestRemoval"},
	{"late", "removal.go", "	holds, err := m.vault.holds(ctx)\n",
		"	if m.order.rehearsal {\n		r.early, err = m.vault.holds(ctx)\n	}\n	holds := r.early\n", "TestHoldsAndTurns"},
	{"hold", "removal.go", "	case c.snapshotIDs[snapshot]:\n		return nil\n",
		"	case c.snapshotIDs[snapshot]:\n		return v.PutRestoreRecord(ctx, id, recordHold, document)\n", "TestHoldsAndTurns"},
	{"held", "removal.go", "return !holds[s.ID] && r.forget(&s)", "return (!holds[s.ID] || true) && r.forget(&s)", "TestHolds"},
}

// also is what a rule's absence needs in a second place.
var also = map[string]without{
	"order": {old: "	order.rehearsal = false\n	return v.makeBase(ctx, order)",
		new: "	if early.build(ctx) != nil {\n		return nil, errTurned\n	}\n	return &early.out, early.store(ctx)"},
	"age (packs)": {old: "if id.Epoch+2 <= n {", new: "if true {"},
	"late":        {old: "	release bool\n", new: "	release bool\n	early map[SnapshotID]bool\n"},
	"hold":        {old: "	if err := v.PutRestoreRecord(ctx, id, recordHold, document); err != nil {\n		return err\n	}\n", new: ""},
}

// TestEachRuleOfTheCodeIsNeeded leaves the rules out of the real code, one at a time. A
// rule that moved has to be found again here.
func TestEachRuleOfTheCodeIsNeeded(t *testing.T) {
	vaultDir, err := filepath.Abs("../../vault")
	if err != nil {
		t.Fatal(err)
	}
	for _, w := range ruleless {
		t.Run(w.rule, func(t *testing.T) {
			original := filepath.Join(vaultDir, w.file)
			code, err := os.ReadFile(original)
			if err != nil {
				t.Fatal(err)
			}
			text := string(code)
			changes := []without{w}
			if second, ok := also[w.rule]; ok {
				changes = append(changes, second)
			}
			for _, c := range changes {
				if strings.Count(text, c.old) != 1 {
					t.Fatalf("%s has %d times %q", w.file, strings.Count(text, c.old), c.old)
				}
				text = strings.Replace(text, c.old, c.new, 1)
			}
			out := w.run(t, original, text)
			if !strings.Contains(out, "--- FAIL: "+w.test) {
				t.Errorf("%s does not fail without rule %s:\n%s", w.test, w.rule, out)
			}
		})
	}
}

// run gives what the test says of the changed code.
func (w *without) run(t *testing.T, original, text string) string {
	dir := t.TempDir()
	changed, overlay := filepath.Join(dir, w.file), filepath.Join(dir, "overlay.json")
	files, err := json.Marshal(map[string]any{"Replace": map[string]string{original: changed}})
	if err != nil {
		t.Fatal(err)
	}
	for name, body := range map[string][]byte{changed: []byte(text), overlay: files} {
		if err := os.WriteFile(name, body, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	cmd := exec.CommandContext(t.Context(), "go", "test", "-short", "-count=1", "-timeout", "10m", "-overlay", overlay, "-run", fmt.Sprintf("^%s$", w.test), ".")
	cmd.Dir = filepath.Dir(original)
	out, err := cmd.CombinedOutput()
	if err == nil {
		return "it passes"
	}
	return string(out)
}
