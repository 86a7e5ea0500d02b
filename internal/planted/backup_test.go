package planted

var backupFaults = []fault{
	{
		"snapshot-without-data", "the snapshot is committed without the data that waits", "backup/collector.go",
		[]edit{{"\tif err := c.encodeWaiting(ctx); err != nil {\n\t\treturn err\n\t}\n\tfor {\n", "\tfor {\n"}},
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
		"data-lost-on-failed-commit", "after a failed commit, its data is forgotten", "backup/collector.go",
		[]edit{{"\tif err != nil {\n\t\treturn err\n\t}\n\tc.ahead = pending{}\n", "\tc.ahead = pending{}\n\tif err != nil {\n\t\treturn err\n\t}\n"}},
		"backup", "TestRunThatIsInterruptedWhileItCommits",
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
		[]edit{{"if err := p.readGroups(ctx, source); err != nil {", "if err := p.readEnds(ctx, source); err != nil {"}, {"return p, p.readEnds(ctx, source)", "return p, p.readGroups(ctx, source)"}},
		"backup", "TestGroupThatMovesDuringABackup",
	},
	{
		"offset-0-is-new", "a head at offset 0 is taken for a stream that is new", "backup/plan.go",
		[]edit{{"if p.begins || p.headOffset >= p.logStartOffset {", "if p.headOffset == 0 || p.headOffset >= p.logStartOffset {"}},
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
		[]edit{{"p.metadata.Missing[vault.SectionGroups] = err.Error()", "_ = err.Error()"}},
		"backup", "TestRefusals",
	},
	{
		"missing-ends-are-none", "a partition whose ends are not known is left out without a word", "backup/plan.go",
		[]edit{{"\t\t\t\tp.failed = append(p.failed, e)\n\t\t\t}\n\t\t\treturn true", "\t\t\t\t_ = append(p.failed, e)\n\t\t\t}\n\t\t\treturn true"}},
		"backup", "TestRefusals",
	},
}
