package planted

var backupFaults = []fault{
	{
		"snapshot-without-data", "the snapshot is committed without the data that waits", "backup/collector.go",
		[]edit{{"\tif err := c.encodeWaiting(ctx); err != nil {\n\t\treturn err\n\t}\n\tc.warnDoubtful()\n", ""}},
		"backup", "TestNothingIsSavedTwice",
	},
	{
		"put-back-behind", "after a failed commit, newer data is put before older", "backup/collector.go",
		[]edit{{"\t\t\tg.add(tp, piece)", "\t\t\tg.add(tp, piece)\n\t\t\tn := len(g.pieces[tp]) - 1\n\t\t\tg.pieces[tp][0], g.pieces[tp][n] = g.pieces[tp][n], g.pieces[tp][0]"}},
		"backup", "TestPutBack",
	},
	{
		"put-back-forgets-gaps", "after a failed commit, its gaps are forgotten", "backup/collector.go",
		[]edit{{"g.gaps = append(g.gaps, c.waiting.gaps...)", "g.gaps = c.waiting.gaps"}},
		"backup", "TestPutBack",
	},
	{
		"under-way-forgotten", "packs that were under way when the run was interrupted are forgotten", "backup/shipment.go",
		[]edit{{"\tfor _, s := range c.sent {\n\t\tif s.err != nil {", "\tfor _, s := range c.sent {\n\t\tif false && s.err != nil {"}},
		"backup", "TestInterruptionWithPacksUnderWay",
	},
	{
		"gap-not-stored", "a gap is told, and not stored", "backup/collector.go",
		[]edit{{"\tc.ahead.gaps = append(c.ahead.gaps, g.gaps...)\n", ""}},
		"backup", "TestLogStartThatAdvancedBetweenRuns",
	},
	{
		"scan-not-stored", "where the reading of a stream began is not stored", "backup/collector.go",
		[]edit{{"\tc.ahead.scans = append(c.ahead.scans, g.scans...)\n", ""}},
		"backup", "TestIntervalCommits",
	},
	{
		"buffer-without-bound", "fetched data waits without a bound", "backup/collector.go",
		[]edit{{"c.waiting.bytes+len(f.Batches) > c.run.opts.BufferBytes", "len(f.Batches) < 0"}},
		"backup", "TestBuffersAreBoundedInBytes",
	},
	{
		"groups-after-ends", "committed offsets of groups are read after the ends of the logs", "backup/plan.go",
		[]edit{{"if err := p.readGroups(ctx, source, opts.Observer); err != nil {", "if err := p.readEnds(ctx, source); err != nil {"}, {"\treturn p, p.readEnds(ctx, source)\n}", "\treturn p, p.readGroups(ctx, source, opts.Observer)\n}"}},
		"backup", "TestGroupThatMovesDuringABackup",
	},
	{
		"offset-0-is-new", "a head at offset 0 is taken for a stream that is new", "backup/plan.go",
		[]edit{{"if !p.begins && p.head.NextOffset < p.logStartOffset {", "if p.head.NextOffset != 0 && p.head.NextOffset < p.logStartOffset {"}},
		"backup", "TestGapFromOffset0",
	},
	{
		"oldest-epoch-is-last", "the oldest leader epoch of the head is taken for the last one", "backup/plan.go",
		[]edit{{"part.lastEpoch = head.Epochs[n-1].Epoch", "part.lastEpoch = head.Epochs[0].Epoch"}},
		"backup", "TestLeaderEpochsOfViews",
	},
	{
		"shorter-log-is-behind", "a log that is shorter than what was saved is passed over", "backup/plan.go",
		[]edit{{"p.stopOffset = p.nextOffset + 1", "p.stopOffset = p.nextOffset"}},
		"backup", "TestTruncatedLog",
	},
	{
		"denied-groups-are-none", "groups that may not be read look like no groups", "backup/groups.go",
		[]edit{{"p.metadata.Missing[vault.SectionGroups] = err.Error()\n\t\tp.deny(", "p.deny("}},
		"backup", "TestRefusals",
	},
	{
		"missing-ends-are-none", "a partition whose ends are not known is left out without a word", "backup/plan.go",
		[]edit{{"\t\t\t\tp.failed = append(p.failed, e)\n\t\t\t}\n\t\t\treturn true", "\t\t\t\t_ = append(p.failed, e)\n\t\t\t}\n\t\t\treturn true"}},
		"backup", "TestRefusals",
	},
	{
		"late-holes-pass", "what the cleaner took away before it was read late is not doubted", "backup/rescan.go",
		[]edit{{"w.missed = w.missed || w.isLate(at) }", "w.missed = w.missed && w.isLate(at) }"}},
		"backup", "TestDeletedKeysStayDeleted",
	},
	{
		"doubt-forgotten", "a pass in doubt is taken for one of a year ago", "backup/rescan.go",
		[]edit{
			{"case pass != nil && pass.Scan == p.head.Scan && !pass.AsOf.IsZero():\n\t\tw.since, w.retention = pass.AsOf,", "case pass != nil && pass.Scan == p.head.Scan:\n\t\tw.since, w.retention = now,"},
		},
		"backup", "TestDeletedKeysStayDeleted",
	},
	{
		"given-up-is-whole", "a partition that was given up counts as read to its end", "backup/rescan.go",
		[]edit{{"case p.failed: //", "case p.failed && p.begins && p.before != nil: //"}},
		"backup", "TestTombstones",
	},
	{
		"unfinished-scan-shown", "a snapshot shows a reading in full that was given up", "backup/rescan.go",
		[]edit{{"return p.before != nil && (p.failed ||", "return p.before == nil && (p.failed ||"}},
		"backup", "TestReadingInFullThatIsGivenUp",
	},
	{
		"unfinished-scan-goes-on", "a reading in full that was interrupted goes on however late", "backup/rescan.go",
		[]edit{{"late := w.missed || w.isLate(now)", "late := w.missed && w.isLate(now)"}, {"w.since = p.head.Started", "w.since, w.retention = p.head.Started, 1<<62"}},
		"backup", "TestTombstones",
	},
	{
		"holes-of-others-forgotten", "holes that an interrupted run has read are forgotten", "vault/head.go",
		[]edit{{"if e.holey {", "if e.holey && e.commitMs < 0 {"}},
		"backup", "TestTombstones",
	},
	{
		"holes-lost-in-a-turn", "a turn forgets that there are holes behind a pass", "vault/pass.go",
		[]edit{{"out.AsOfMs = 0\n", "out.AsOfMs += 0\n"}},
		"vault", "TestHoles",
	},
	{
		"pass-lost-with-scan", "a new scan forgets what the one before came to", "vault/fold.go",
		[]edit{{"begun.pass = h.pass", "_ = begun"}},
		"backup", "TestTombstones",
	},
	{
		"doubt-loses", "of two passes to one offset the one in doubt is forgotten", "vault/pass.go",
		[]edit{{"return p.asOfMs == 0\n", "return p.asOfMs != 0\n"}},
		"vault", "TestPassesInEveryOrder",
	},
}
