package planted

import "strings"

// without is the vault's code with a rule of the protocol left out (internal/sim/epochs names
// them), and the test of package vault that must fail then.
type without struct {
	rule, file, old, new string
	test                 string
}

var rulesLeftOut = []without{
	{"look", "epochs.go", "if now.isStill(found) {", "if now.isStill(found) || true {", "TestTurnedWhileOpening"},
	{"check", "writer.go", "case found.newest > c.catalog.epoch:", "case found.newest > c.catalog.epoch && false:", "TestWritersAndTurns"},
	{"order", "turn.go", "	if err := v.objects.CreatePlain(ctx, format.BegunKey(epoch+1), nil);",
		"	early := &baseMaker{vault: v, order: order}\n	early.order.rehearsal = false\n	if early.gather(ctx) != nil {\n		return nil, errTurned\n	}\n	if err := v.objects.CreatePlain(ctx, format.BegunKey(epoch+1), nil);",
		"TestWritersAndTurns"},
	{"cond", "base.go", "return m.vault.objects.Create(ctx, o)\n",
		"_ = m.vault.objects.Delete(ctx, format.BaseKey(m.order.epoch))\n\treturn m.vault.objects.Create(ctx, o)\n", "TestWritersAndTurns"},
	{"own", "turn.go", "	order.rehearsal = false\n",
		"	early, err := v.makeBase(ctx, order)\n	if err == nil {\n		err = v.collectGarbage(ctx, early)\n	}\n	if err != nil {\n		return nil, err\n	}\n	order.rehearsal = false\n",
		"TestTurnLosesItsAnswer"},
	{"confirm", "turn.go", "if found.newest >= n+2 {", "if found.newest >= n+2 && false {", "TestRetiredBaseMadeAgain"},
	{"begun", "turn.go", "err == nil && !isBegun && epoch+1 < g.n", "err == nil && (isBegun || true) && epoch+1 < g.n", "TestGarbageRules"},
	{"age (packs)", "turn.go", "err := format.ParsePackKey(key)\n\t\treturn err == nil && id.Epoch+2 <= g.n",
		"err := format.ParsePackKey(key)\n\t\treturn err == nil && id.Epoch <= g.n", "TestCommitDuringASweep"},
	{"age (tables)", "turn.go", "err := format.ParseTableKey(key)\n\t\treturn err == nil && id.Epoch+2 <= g.n",
		"err := format.ParseTableKey(key)\n\t\treturn err == nil && id.Epoch <= g.n", "TestCommitDuringASweep"},
	{"fresh (packs)", "writer_packs.go", "epoch-p.stored[0].ID.Epoch > 1 {", "epoch-p.stored[0].ID.Epoch > 2 {", "TestCommitAcrossTurns"},
	{"fresh (sections)", "released.go", "	c.catalog = catalog\n",
		"	for hash, id := range c.catalog.sections {\n		catalog.sections[hash] = id\n	}\n	c.catalog = catalog\n", "TestSectionGoesWhileItIsShared"},
	{"key (sections)", "writer.go", "refs[i].Table = format.TableID{Epoch: c.catalog.epoch, Hash", "refs[i].Table = format.TableID{Epoch: 0, Hash", "TestSectionGoesWhileItIsShared"},
	{"key (tables)", "base_shared.go", "format.TableID{Epoch: m.order.epoch, Hash", "format.TableID{Epoch: 0, Hash", "TestTurn"},
	{"redo", "turn.go", "if opts.removal() == nil {\n				return freed, nil", "if opts.removal() == nil || true {\n				return freed, nil", "TestLoserDecidesAgain"},
	{"tidy", "turn.go", "		case errors.Is(err, errTurned) || errors.Is(err, fs.ErrExist):",
		"		case errors.Is(err, fs.ErrExist):\n			return freed, v.collectGarbage(ctx, made)\n		case errors.Is(err, errTurned):", "TestTurnLosesItsAnswer"},
	{"join (rows)", "fold.go", "case !h.extend(e.extent):\n\t\t\treturn nil, false", "case !h.extend(e.extent):\n\t\t\th.add(e.extent)", "TestCommitRefuses"},
	{"join (views)", "fold.go", "(!proven || !h.reaches(view)) {", "(!proven || !h.reaches(view)) && h == nil {", "TestCommitRefuses"},
	{"covered", "released.go", "h != nil && h.scan == scan {", "h != nil && h.scan == scan && false {", "TestRemoval"},
	{"view", "released.go", "	if commit.Snapshot == nil {\n		return nil", "	if commit.Snapshot == nil || true {\n		return nil", "TestRemoval"},
	{"late", "removal.go", "	holds, err := v.holds(ctx)\n",
		"	if r.early == nil {\n		r.early, err = v.holds(ctx)\n	}\n	holds := r.early\n", "TestHoldsAndTurns"},
	{"hold", "hold.go", "	return v.ProveHeld(ctx, s, document)\n",
		"	if err := v.ProveHeld(ctx, s, document); err != nil {\n		return err\n	}\n	return v.PutRestoreRecord(ctx, id, recordHold, document)\n", "TestHoldsAndTurns"},
	{"held", "removal.go", "by.holds.snapshots[s.ID] || !r.forget(&s)", "by.holds.snapshots[s.ID] && false || !r.forget(&s)", "TestHolds"},
	{"held (pins)", "removal.go", "return err == nil && !said.Pinned", "return err == nil && !(said.Pinned && false)", "TestPin"},
	{"hold (pins)", "tags.go", "if err == nil && found.newest > c.epoch {", "if err == nil && found.newest > c.epoch && false {", "TestPinWhileTurning"},
	{"fresh (moved rows)", "compact.go", "return m != nil && m.epoch+2 >= base", "return m != nil && (m.epoch+2 >= base || true)", "TestCompactSleeps"},
}

// alsoLeftOut is what a rule's absence needs in a second place.
var alsoLeftOut = map[string]without{
	"order": {old: "	order.rehearsal = false\n	return v.makeBase(ctx, order)",
		new: "	if early.build(ctx) != nil {\n		return nil, errTurned\n	}\n	return &early.out, early.store(ctx)"},
	"late": {old: "	release bool\n", new: "	release bool\n	early *holdSet\n"},
	"hold": {old: "	if err := v.PutRestoreRecord(ctx, id, recordHold, document); err != nil {\n		return err\n	}\n", new: ""},
}

// ruleFaults are the rules left out, one at a time.
func ruleFaults() []fault {
	var out []fault
	for _, w := range rulesLeftOut {
		f := fault{
			"without-" + strings.NewReplacer(" ", "-", "(", "", ")", "").Replace(w.rule), "rule *" + w.rule + "* is left out",
			"vault/" + w.file, []edit{{w.old, w.new}}, "vault", w.test,
		}
		if second, ok := alsoLeftOut[w.rule]; ok {
			f.edits = append(f.edits, edit{second.old, second.new})
		}
		out = append(out, f)
	}
	return out
}
