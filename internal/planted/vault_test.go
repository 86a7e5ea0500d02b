package planted

// Writing: packs, commit, look, acknowledgement; and what a turn takes away.
var vaultFaults = []fault{
	{
		"look-skipped", "a commit is acknowledged without the look for a newer epoch", "vault/writer.go",
		[]edit{{"case found.newest > c.catalog.epoch:", "case found.newest < c.catalog.epoch:"}},
		"vault", "TestCommitAcrossTurns",
	},
	{
		"commit-before-data", "the commit is stored before its pack", "vault/writer.go",
		[]edit{
			{"\tif err := c.storeContent(", "\tlate := c.pack.next\n\tif late != nil {\n\t\tc.pack.next, c.pack.stored = nil, []format.Pack{late.Pack}\n\t}\n\tif err := c.storeContent("},
			{"\treturn c.storeCommit(ctx)\n", "\tif err := c.storeCommit(ctx); err != nil || late == nil {\n\t\treturn err\n\t}\n\treturn c.create(ctx, late.sealed)\n"},
		},
		"vault", "TestFailedCommit",
	},
	{
		"gap-not-stored-again", "a commit that is stored again in a newer epoch leaves its gaps out", "vault/writer.go",
		[]edit{{"\tc.facts = newFactsBuilder(less, c.pack.blocks, c.lists)", "\tif c.commit != nil {\n\t\tagain := *less\n\t\tagain.Gaps, less = nil, &again\n\t}\n\tc.facts = newFactsBuilder(less, c.pack.blocks, c.lists)"}},
		"vault", "TestTurnsInHistories",
	},
	{
		"old-pack-named", "a commit that is stored again names a pack that turns may have deleted", "vault/writer_packs.go",
		[]edit{{"epoch-p.stored[0].ID.Epoch > 1", "epoch-p.stored[0].ID.Epoch > 9"}},
		"vault", "TestSleepingWriter",
	},
	{
		"failed-pack-named", "a pack that could not be stored beforehand is named by its commit", "vault/writer_packs.go",
		[]edit{{"\tif err != nil {\n\t\treturn err\n\t}\n\tif created {", "\tif created {"}, {"\tp.body, p.stored = next.body, []format.Pack{next.Pack}\n\treturn nil\n", "\tp.body, p.stored = next.body, []format.Pack{next.Pack}\n\treturn err\n"}},
		"vault", "TestPackWhoseStoreFailed",
	},
	{
		"commit-name-twice", "a commit that failed is tried again under its name", "vault/writer.go",
		[]edit{{"\tc.commits++\n", ""}},
		"vault", "TestFailedCommit",
	},
	{
		"damaged-section-shared", "a snapshot shares a damaged section with older ones", "vault/writer.go",
		[]edit{{"if damage == nil || damage.Kind", "if true || damage == nil || damage.Kind"}},
		"vault", "TestSharedSectionsAreProven",
	},
	{
		"parents-not-named", "a commit does not name those that it was built on", "vault/fold.go",
		[]edit{{"if s.read && !s.named {", "if s.read && s.named {"}},
		"vault", "TestLostCommit",
	},
	{
		"digest-not-compared", "a parent with another content than the one that is named is accepted", "vault/fold.go",
		[]edit{{"if parent.read && parent.digest != ref.Hash {", "if parent.read && len(ref.Hash) == 0 {"}},
		"vault", "TestReplacedCommit",
	},
	{
		"taken-always", "a commit that a turn did not take counts as taken", "vault/chapter.go",
		[]edit{{"return slices.Contains(chapter.Commits, ref), nil", "return slices.Contains(chapter.Commits, ref) || true, nil"}},
		"vault", "TestCommitAcrossTurns",
	},
	{
		"taken-forgotten", "a commit that a base took is not found in its chapter", "vault/chapter.go",
		[]edit{{"ref.ID.Epoch > of.LastEpoch {", "ref.ID.Epoch >= of.LastEpoch {"}},
		"vault", "TestTakenIsKnownForEver",
	},
	{
		"packs-not-listed", "a chapter leaves out the packs of its commits, which are garbage then", "vault/base_shared.go",
		[]edit{{"packs: m.catalog.packs, snapshots: m.catalog.snapshots,", "packs: map[format.PackID]int64{}, snapshots: m.catalog.snapshots,"}},
		"vault", "TestTurn",
	},
	{
		"rows-lost-in-merge", "rows of a table are lost when it is merged with newer ones", "vault/table.go",
		[]edit{{"m.rows = append(m.rows, earlier.rows...)", "m.rows = append(m.rows, earlier.rows[:0]...)"}},
		"vault", "TestTurnSharesTables",
	},
	{
		"chapter-overwritten", "a chapter that is not merged takes the place of the one before", "vault/base_shared.go",
		[]edit{{"before := slices.Clip(chapters[:len(chapters)-1])", "before := chapters[:len(chapters)-1]"}},
		"vault", "TestLargePartsAreLeftAlone",
	},
	{
		"released-off-by-one", "of what ends at the floor something is kept", "vault/released.go",
		[]edit{{"if p.NextOffset <= floor {", "if p.NextOffset < floor {"}},
		"vault", "TestReleasedIsLeftOut",
	},
	{
		"released-comes-back", "what was released while a commit was under way comes back", "vault/released.go",
		[]edit{{"\t\treturn h.floor\n", "\t\treturn -1\n"}},
		"vault", "TestReleasedIsLeftOut",
	},
	{
		"released-view", "a snapshot is taken of what was released", "vault/released.go",
		[]edit{{"view.LogStartOffset < h.floor {\n", "view.LogStartOffset < -1 {\n"}},
		"vault", "TestRemoval",
	},
	{
		"other-content-taken", "an object that is there already counts as ours, whatever is in it", "vault/internal/object/create.go",
		[]edit{{"if !slices.Equal(there, body) && !s.isSameContent(", "if !slices.Equal(there, body) && len(there) == 0 && !s.isSameContent("}},
		"vault", "TestCommitOverOthers",
	},
	{
		"base-not-conditional", "who loses the race for a base goes on as its maker", "vault/base.go",
		[]edit{{"return &m.out, m.store(ctx)", "if err := m.store(ctx); err != nil && !errors.Is(err, fs.ErrExist) {\n\t\treturn nil, err\n\t}\n\treturn &m.out, nil"}},
		"vault", "TestTurnLosesItsAnswer",
	},
	{
		"garbage-too-young", "commits of the epoch before are deleted", "vault/turn.go",
		[]edit{{"id.Epoch+1 < g.n", "id.Epoch < g.n"}},
		"vault", "TestGarbageRules",
	},
	{
		"garbage-by-a-sleeper", "who made a base that was retired since deletes", "vault/turn.go",
		[]edit{{"if found.newest >= n+2 {", "if found.newest > n+2 {"}},
		"vault", "TestGarbageOfARetiredBase",
	},
	{
		"hold-not-read", "a snapshot that a restore holds is forgotten", "vault/removal.go",
		[]edit{{"by.holds.snapshots[s.ID] || !r.forget(&s)", "by.holds.snapshots[s.ID] && false || !r.forget(&s)"}},
		"vault", "TestHolds",
	},
	{
		"hold-after-open", "a restore opens the vault before it writes its hold", "vault/hold.go",
		[]edit{{"\tif err := v.PutRestoreRecord(ctx, id, recordHold, document); err != nil {\n\t\treturn err\n\t}\n\treturn v.ProveHeld(ctx, s, document)\n", "\tif err := v.ProveHeld(ctx, s, document); err != nil {\n\t\treturn err\n\t}\n\treturn v.PutRestoreRecord(ctx, id, recordHold, document)\n"}},
		"vault", "TestHoldsAndTurns",
	},
	{
		"held-views-not-read", "rows go that a restore of all that the vault holds has named", "vault/removal.go",
		[]edit{{"\tholds.lower(lowest)\n", ""}},
		"vault", "TestHeldViews",
	},
	{
		"held-views-not-proven", "a restore goes on although what its hold names was released before", "vault/hold.go",
		[]edit{{"c.checkReleased(view, nil); err != nil {", "c.checkReleased(view, nil); err != nil && false {"}},
		"vault", "TestHeldViewsAndTurns",
	},
	{
		"cut-behind-a-later-batch", "a restore of a time goes on behind a batch that is stamped later", "vault/moment.go",
		[]edit{{"if b.MaxTimestampMs() > ms {", "if b.MaxTimestampMs() > ms && i < 0 {"}},
		"vault", "TestShowAtAgainstAModel",
	},
	{
		"time-by-clocks", "a time is answered with a snapshot that was taken behind a later one", "vault/choose_at.go",
		[]edit{{"\t\tif s.Time.After(choice.At) {\n\t\t\tbreak\n", "\t\tif s.Time.After(choice.At) {\n\t\t\tcontinue\n"}},
		"vault", "TestChooseAt",
	},
	{
		"row-released-in-part", "a row that reaches over the floor is dropped", "vault/removal.go",
		[]edit{{"row.NextOffset > floor", "row.FirstOffset > floor"}},
		"vault", "TestRemoval",
	},
}

// Reading: opening, folding, choosing rows, checking bytes.
var catalogFaults = []fault{
	{
		"open-without-look", "an opened catalog is relied on without the look for a newer epoch", "vault/epochs.go",
		[]edit{{"if now.isStill(found) {", "if now.newest >= found.newest {"}},
		"vault", "TestTurnedWhileOpening",
	},
	{
		"previous-base-not-proven", "a base does not prove the one before", "vault/epochs.go",
		[]edit{{"case base != nil && digest != base.PreviousHash:", "case base != nil && len(digest) == 0:"}},
		"vault", "TestBaseBeforeThatIsAnother",
	},
	{
		"table-not-proven", "a table's content is not compared with its name", "vault/internal/object/load.go",
		[]edit{{"case s.NameOf(payload) != id.Hash ||", "case len(id.Hash) == 0 ||"}},
		"vault", "TestTableThatIsAnother",
	},
	{
		"view-past-head", "a snapshot that shows more than there is is taken in", "vault/fold.go",
		[]edit{{"if !h.covers(view) && (!proven || !h.reaches(view)) {", "if h == nil {"}},
		"vault", "TestCommitRefuses",
	},
	{
		"commit-of-another-base", "a commit that was made for another base is taken in", "vault/fold.go",
		[]edit{{"if commit.ID != id || commit.BaseHash != c.baseHash {", "if commit.ID != id {"}},
		"vault", "TestCommitOfAnotherBase",
	},
	{
		"epoch-begins-late", "of two readings the later begin of a leader epoch is kept", "vault/internal/lineage/epochs.go",
		[]edit{{"min(e.FirstOffset, start.FirstOffset), max(e.After, start.After)", "max(e.FirstOffset, start.FirstOffset), max(e.After, start.After)"}},
		"vault/internal/lineage", "TestCover",
	},
	{
		"head-stays-on-truncation", "a head does not go back where the log lost its end", "vault/head.go",
		[]edit{{"h.nextOffset = min(h.nextOffset, start.FirstOffset)", "h.nextOffset = max(h.nextOffset, start.FirstOffset)"}},
		"vault", "TestHeadExtends",
	},
	{
		"hole-of-one-joins", "a row joins over a hole of one offset", "vault/head.go",
		[]edit{{"if e.firstOffset > h.nextOffset && (", "if e.firstOffset > h.nextOffset+1 && ("}},
		"vault", "TestHeadExtends",
	},
	{
		"newest-by-clock", "the newest snapshot is that of the latest time", "vault/fold.go",
		[]edit{{"cmp.Compare(a.depth, b.depth), a.commit", "a.Time.Compare(b.Time), a.commit"}},
		"vault", "TestOrderIsNoClocks",
	},
	{
		"shorter-run", "of rows that overlap the one that ends first is read", "vault/internal/lineage/cover.go",
		[]edit{{"s.segments[0].NextOffset > s.best.NextOffset", "s.segments[0].NextOffset < s.best.NextOffset"}},
		"vault/internal/lineage", "TestCover",
	},
	{
		"fork-mixed-in", "a leader epoch is read beyond the begin of the next one", "vault/internal/lineage/epochs.go",
		[]edit{{"return l[i+1].FirstOffset, true", "return math.MaxInt64, true"}},
		"vault/internal/lineage", "TestCover",
	},
	{
		"fork-inside-a-batch", "a batch that reaches into a newer leader epoch is read", "vault/read.go",
		[]edit{{" || run.Forked && batch.NextOffset() > run.NextOffset {", " {"}},
		"vault", "TestForkInsideABatch",
	},
	{
		"crc-not-checked", "a batch is stored and read without a look at its checksum", "vault/internal/pack/block.go",
		[]edit{{"\t\terr = batch.Check()", "\t\t_ = batch.Check()"}},
		"vault", "TestCommitRefuses",
	},
	{
		"description-not-read", "a frame's own description is not compared with the catalog", "vault/internal/pack/reader.go",
		[]edit{{"if !f.descriptor.Describes(stream, r) {", "if r.Length < 0 {"}},
		"vault", "TestHostileRows",
	},
	{
		"failure-is-absence", "a store that fails is taken for an object that is missing", "vault/internal/object/damage.go",
		[]edit{{"\tcase errors.Is(err, fs.ErrNotExist):\n", "\tcase errors.Is(err, fs.ErrNotExist) || err != nil:\n"}},
		"vault", "TestAbsenceHasOneName",
	},
	{
		"size-not-compared", "verify does not compare the sizes of packs", "vault/lost.go",
		[]edit{{"case size == want:", "case size == want || there:"}},
		"vault", "TestDamageTruncated",
	},
	{
		"body-used-twice", "a pack's memory is changed although a store that failed may still be reading it", "vault/internal/pack/contents.go",
		[]edit{{"\tbody.used = true\n", ""}, {"\t\t\tpart.body.used = true\n", "\t\t\t_ = part\n"}},
		"vault/internal/pack", "TestRoomIsUsedAgain",
	},
	{
		"part-after-failure", "what a part left behind that could not be encoded stays in the pack", "vault/internal/pack/body.go",
		[]edit{{"\t\tbody.bytes = body.bytes[:p.at]\n", ""}},
		"vault/internal/pack", "TestBodyAfterAFailure",
	},
	{
		"head-remembered", "heads that were looked up before do not change any more", "vault/head.go",
		[]edit{{"\t\t*known = *h\n\t\treturn\n", ""}},
		"vault", "TestHistories",
	},
	{
		"fewer-not-told", "a snapshot that shows less since it was healed is restored without a word", "vault/history.go",
		[]edit{{"if !h.opts.SnapshotTime.IsZero() {", "if h.opts.SnapshotTime.IsZero() {"}},
		"vault", "TestHealingWhatWasCompacted",
	},
	{
		"joined-over-holes", "verify takes rows for one although offsets lack between them", "vault/internal/lineage/rows.go",
		[]edit{{"if last.NextOffset != r.FirstOffset ||", "if last.NextOffset > r.FirstOffset ||"}},
		"vault/internal/lineage", "TestJoin",
	},
	{
		"hold-does-not-look", "a hold believes a catalog although it turned", "vault/hold.go",
		[]edit{{"if now.isStill(&at.found) {\n\t\t\treturn nil", "if now != nil {\n\t\t\treturn nil"}},
		"vault", "TestHoldsAndTurns",
	},
	{
		"views-of-others", "views are read although their chapter is of other snapshots", "vault/shelf.go",
		[]edit{{"same = same && views.ID(i) == c.ids[i]", "same = same || views.ID(i) == c.ids[i]"}},
		"vault", "TestViewsOfOtherSnapshots",
	},
	{
		"waiting-not-read", "verify does not read tables of a base that is still to be made", "vault/verify_waiting.go",
		[]edit{{"err != nil || used {", "err != nil || !used {"}},
		"vault", "TestDamageInTheWay",
	},
	{
		"released-of-older-scan", "what was released of a scan that is over is called damage", "vault/history.go",
		[]edit{{"case head.scan > view.Scan && len(lost) > 0", "case head.scan < view.Scan && len(lost) > 0"}},
		"vault", "TestReleasedOfAnOlderScan",
	},
	{
		"around-not-read", "a pack whose header is altered is not healed", "vault/lost.go",
		[]edit{{"\t\tif damage != nil {\n\t\t\tf.damaged[m] = damage\n", "\t\tif damage != nil && damage.Kind == KindMissing {\n\t\t\tf.damaged[m] = damage\n"}},
		"vault", "TestHealingAroundFrames",
	},
	{
		"gap-of-any-size", "what lies between two frames is read over however much it is", "vault/internal/pack/together.go",
		[]edit{{" && pack.Starts[next]-end <= gapReadOver;", ";"}},
		"vault", "TestFramesAreReadTogether",
	},
	{
		"together-stays-reserved", "memory for frames that came together stays reserved, so that ever less is read ahead", "vault/internal/pack/together.go",
		[]edit{{"\tc.together -= g.reserved\n", ""}},
		"vault", "TestFramesAreReadTogether",
	},
}
