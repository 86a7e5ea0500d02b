package planted

var restoreFaults = []fault{
	{
		"aborted-restored", "records of aborted transactions are restored", "restore/transactions.go",
		[]edit{{"case markers[i].Commit:", "case markers[i].Offset >= 0:"}},
		"restore", "TestTransactionsAgainstTheModel",
	},
	{
		"undecided-restored", "records of undecided transactions are restored", "restore/transactions.go",
		[]edit{{"\t\treturn undecided\n", "\t\treturn committed\n"}},
		"restore", "TestTransactionsAgainstTheModel",
	},
	{
		"hole-to-before", "an offset in a hole is translated to before the next record", "restore/offsetmap.go",
		[]edit{{"r.Target + max(0, offset-r.Source)", "r.Target + offset - r.Source"}},
		"restore", "TestOffsetMapAgainstTheModel",
	},
	{
		"end-to-last", "the end is translated to the last record", "restore/offsetmap.go",
		[]edit{{"return m.next\n", "return m.next - 1\n"}},
		"restore", "TestOffsetMapAgainstTheModel",
	},
	{
		"translate-off-by-one", "an offset behind a run of records is translated into it", "restore/offsetmap.go",
		[]edit{{"m.runs[i].Count > offset", "m.runs[i].Count >= offset"}},
		"restore", "TestOffsetMapAgainstTheModel",
	},
	{
		"groups-before-data", "groups are committed before their records are there", "restore/execute.go",
		[]edit{{"\tif err := x.write(ctx); err != nil {", "\tx.commitGroups(ctx)\n\tif err := x.write(ctx); err != nil {"}},
		"restore", "TestPartitionThatFails",
	},
	{
		"configs-not-put-back", "the topic keeps the configs of the restore", "restore/execute.go",
		[]edit{{"\tx.putBackConfigs(last)\n", ""}},
		"restore", "TestEmptyTargetKeepsItsOwnConfigs",
	},
	{
		"inherited-not-set", "what the source's brokers decided is named and not set", "restore/effective.go",
		[]edit{{"c.final[name], d.set = was.value, true", "d.set = true"}},
		"restore", "TestWhatBrokersOfTheSourceDecided",
	},
	{
		"live-topic-changed", "a live topic keeps the configs of a restore that failed", "restore/execute.go",
		[]edit{{"\t\t\tx.leaveAsItWas(ctx, t)\n\t\t\tcontinue\n", "\t\t\tcontinue\n"}},
		"restore", "TestFailedAppendHarmsNobody",
	},
	{
		"dry-run-uncounted", "a dry run counts records of aborted transactions", "restore/count.go",
		[]edit{{"t.FirstOffset) != committed {", "t.FirstOffset) < committed {"}},
		"restore", "TestTransactionsAgainstTheModel",
	},
	{
		"filler-stays", "empty records in front of the log's start stay", "restore/execute.go",
		[]edit{{"part.filler > 0 && progress.next >= start {", "part.filler > 0 && progress.next < start {"}},
		"restore", "TestRestoreOfADenseTopicIsExact",
	},
	{
		"not-held", "a restore does not hold its snapshot", "restore/execute.go",
		[]edit{{"\tif err := x.hold(ctx); err != nil {", "\tif err := ctx.Err(); err != nil {"}},
		"restore", "TestRecordsOfARestore",
	},
	{
		"place-not-proven", "where a broker put a batch is not compared", "restore/lane.go",
		[]edit{{"} else if err == nil && result.BaseOffset != p.next {", "} else if err == nil && result.BaseOffset < -1 {"}},
		"restore", "TestForeignProducerDuringARestore",
	},
	{
		"sequence-stays", "all batches of a partition have one sequence number", "restore/lane.go",
		[]edit{{"p.sequence = recordbatch.NextSequence(p.sequence, out.count)", "p.sequence = recordbatch.NextSequence(0, out.count)"}},
		"restore", "TestRestoreOfADenseTopicIsExact",
	},
	{
		"filler-one-short", "one record of filler is missing", "restore/meet.go",
		[]edit{{"part.exact, part.filler = true, view.LogStartOffset-part.at", "part.exact, part.filler = true, max(0, view.LogStartOffset-part.at-1)"}},
		"restore", "TestOffsetsDecision",
	},
	{
		"records-overwritten", "a topic that holds records is restored into", "restore/meet.go",
		[]edit{{"if log.LogStartOffset < log.HighWatermark && !p.req.Append {", "if log.LogStartOffset > log.HighWatermark {"}},
		"restore", "TestPlanRefuses",
	},
	{
		"changed-target", "a target that grew since the plan is written to", "restore/prepare.go",
		[]edit{{"case end.HighWatermark != part.at:", "case end.HighWatermark < part.at:"}},
		"restore", "TestTargetThatChangedSinceThePlan",
	},
	{
		"holes-are-exact", "offsets with holes of compaction count as exact", "restore/dense.go",
		[]edit{{"case !run.Dense():", "case run.Records < 0:"}},
		"restore", "TestOffsetsDecision",
	},
	{
		"piece-forgotten", "an offset of a piece that was written is translated by what is left", "restore/pieces.go",
		[]edit{{"\tif offset >= m.written {\n", "\tif offset >= 0 {\n"}},
		"restore", "TestOffsetMapInPieces",
	},
	{
		"failed-partition-translated", "a group is committed although a partition of it failed", "restore/groups.go",
		[]edit{{"\tif progress.err != nil {\n", "\tif progress == nil {\n"}},
		"restore", "TestPartitionThatFails",
	},
}

var kafkaFaults = []fault{
	{
		"any-authority", "a certificate is taken from whatever authority", "kafka/auth/tls.go",
		[]edit{{"if _, err := leaf.Verify(options); err != nil {", "if _, err := leaf.Verify(options); err != nil && false {"}},
		"kafka/auth", "TestNames",
	},
	{
		"any-name", "a certificate is taken for whatever host", "kafka/auth/tls.go",
		[]edit{{"\tif t.anyName {\n", "\tif t.anyName || true {\n"}},
		"kafka/auth", "TestNames",
	},
	{
		"certificates-read-once", "certificates that changed are not read again", "kafka/auth/tls.go",
		[]edit{{"err == nil && now == then {", "err == nil && (now == then || true) {"}},
		"kafka/auth", "TestCertificatesAreReadAgain",
	},
	{
		"misspelled-protection", "a misspelled name under security., sasl. or ssl. is passed over", "kafka/auth/settings.go",
		[]edit{{"\t\tcase guards(name):", "\t\tcase guards(name) && false:"}},
		"kafka/auth", "TestUnknownNames",
	},
	{
		"secret-in-argv", "a secret on the command line is taken", "kafka/auth/overrides.go",
		[]edit{{"if holdsSecret(name, value) {", "if holdsSecret(name, value) && false {"}},
		"kafka/auth", "TestOverridesRefuseSecrets",
	},
	{
		"token-for-ever", "a token that has expired is used", "kafka/auth/oauth.go",
		[]edit{{"c.kept != \"\" && time.Now().Before(c.until)", "c.kept != \"\""}},
		"kafka/auth", "TestTokenIsRenewed",
	},
	{
		"stop-off-by-one", "a partition is done one offset before its stop", "kafka/fetch_answer.go",
		[]edit{{"if p.NextOffset >= p.StopOffset {", "if p.NextOffset >= p.StopOffset-1 {"}},
		"kafka", "TestFetchReadsTheLastOffset",
	},
	{
		"cut-batch-kept", "the batch that an answer cuts off is handed on", "kafka/fetch_answer.go",
		[]edit{{"run.bytes = buf[start:end:end]", "run.bytes = buf[start:]"}},
		"kafka", "TestFetchCutsOffWhatIsNotWanted",
	},
	{
		"overlap-accepted", "batches that overlap are handed on", "kafka/fetch_answer.go",
		[]edit{{"batch.BaseOffset() < run.nextOffset {", "batch.BaseOffset() < 0 {"}},
		"kafka", "TestFetchRefusesBatchesThatOverlap",
	},
	{
		"epoch-not-sent", "a fetch does not say which leader epoch it read last", "kafka/fetch_request.go",
		[]edit{{"= p.leaderEpoch, p.lastEpoch()", "= p.leaderEpoch, -1"}},
		"kafka", "TestFetchSendsBothEpochs",
	},
	{
		"gap-not-reported", "offsets that the log start has passed are not reported", "kafka/fetch_resolve.go",
		[]edit{{"return e.sink.Take(ctx, &coldstream.FetchGap{Gap: gap})", "_ = gap\n\treturn nil"}},
		"kafka", "TestFetchReportsWhatTheLogStartHasPassed",
	},
	{
		"truncation-past-fork", "after a truncation reading goes on behind the fork", "kafka/fetch_resolve.go",
		[]edit{{"next = min(next, epoch.FirstOffset)", "next = max(next, epoch.FirstOffset)"}},
		"kafka", "TestFetchGoesBackToCommonHistory",
	},
	{
		"bad-bytes-end-it", "nothing is read of what an earlier offset's answer holds behind bad bytes", "kafka/fetch_salvage.go",
		[]edit{{"at := int64(1), p.NextOffset-1; at >= p.log.LogStartOffset; {", "at := int64(1), int64(-1); at >= p.log.LogStartOffset; {"}},
		"kafka", "TestFetchGoesOnBehindDamage",
	},
	{
		"skipped-file-is-a-hole", "what the leader passes over to its next file is taken for a hole", "kafka/fetch_answer.go",
		[]edit{{"case proof != isHole:", "case proof != isHole && p.Compacted:"}},
		"kafka", "TestFetchGoesOnBehindDamage",
	},
	{
		"batch-in-a-record", "a batch in the bytes of a record is taken for one of the log", "kafka/fetch_salvage.go",
		[]edit{{"ok && p.isFollowed(buf[at+len(b):], l) {", "ok && (len(b) > 0 || p.isFollowed(buf[at+len(b):], l)) {"}},
		"kafka", "TestSearchIsNotDeceived",
	},
	{
		"rest-of-the-log-is-gap", "a gap of bad bytes goes to the log's end", "kafka/fetch_salvage.go",
		[]edit{{"case len(found.bytes) > 0:\n\t\treturn taken", "case len(found.bytes) > 0 && found.isHole:\n\t\treturn taken"}},
		"kafka", "TestFetchGoesOnBehindDamage",
	},
	{
		"missing-broker-has-no-groups", "the groups of a broker that does not answer are left out", "kafka/coordinators.go",
		[]edit{{"return fmt.Errorf(\"broker %d: %w\", b.ID, err)", "continue"}},
		"kafka", "TestGroupsNeedsEveryBroker",
	},
	{
		"map-of-another-topic", "groups are committed through the offset map of a topic that was made again", "restore/past.go",
		[]edit{{"case t.ID.String() != was:", "case false && was != \"\":"}},
		"restore", "TestGroupsThroughAMapThatIsTrueNoMore",
	},
	{
		"last-restore-by-clock", "the clock says which restore was the last one", "restore/past.go",
		[]edit{{"cmp.Compare(a.hold.Sequence, b.hold.Sequence), ", ""}},
		"restore", "TestLastRestoreWhateverTheClock",
	},
	{
		"moved-coordinator-missed", "a list of groups counts although a coordinator moved meanwhile", "kafka/coordinators.go",
		[]edit{{"(!ok || now != leader)", "!ok && now != leader"}},
		"kafka", "TestGroupsWaitForTheirCoordinators",
	},
	{
		"loading-coordinator-believed", "a broker that does not know yet that it coordinates groups is believed to have none", "kafka/coordinators.go",
		[]edit{{"case !asked || !kerr.IsRetriable(err):", "case !asked || err != nil:"}},
		"kafka", "TestGroupsWaitForTheirCoordinators",
	},
	{
		"groups-without-leader", "groups of a partition that nobody leads are left out without a word", "kafka/coordinators.go",
		[]edit{{"s.unproven[id] = errNoLeader\n", "\n"}},
		"kafka", "TestGroupsOfPartitionsWithoutALeader",
	},
	{
		"active-group-overwritten", "the offsets of a group with members are overwritten", "kafka/target_groups.go",
		[]edit{{"case \"\", \"Empty\", \"Dead\":", "case \"\", \"Empty\", \"Dead\", \"Stable\":"}},
		"kafka", "TestCommitGroupIntoAnActiveGroupIsRefused",
	},
}

var commandFaults = []fault{
	{
		"gaps-are-success", "a backup with gaps exits with 0", "cmd/coldstream/backup.go",
		[]edit{{"return &incomplete{exitIncomplete}", "return nil"}},
		"cmd/coldstream", "TestABackupWithGapsIsIncomplete",
	},
	{
		"damage-is-success", "a backup over a damaged catalog exits with 0", "cmd/coldstream/backup.go",
		[]edit{{"return &incomplete{exitDamage}", "return nil"}},
		"cmd/coldstream", "TestALostCatalogIsDamageAndNoEmptyVault",
	},
	{
		"damaged-vault-is-success", "verify of a damaged vault exits with 0", "cmd/coldstream/verify.go",
		[]edit{{"return &incomplete{code}", "return nil"}},
		"cmd/coldstream", "TestALostCatalogIsDamageAndNoEmptyVault",
	},
	{
		"code-3-is-4", "what is incomplete exits with 4", "cmd/coldstream/exit.go",
		[]edit{{"exitIncomplete  = 3", "exitIncomplete  = 4"}},
		"cmd/coldstream", "TestExitCodesAreThosePromised",
	},
	{
		"names-obeyed", "a terminal obeys what stands in names of others", "internal/terminal/terminal.go",
		[]edit{{"		case strconv.IsPrint(r):", "		case strconv.IsPrint(r) || r == 0x1b:"}},
		"cmd/coldstream", "TestHostileErrors",
	},
	{
		"demo-proves-nothing", "the demo calls topics the same that are not", "cmd/coldstream/demo_report.go",
		[]edit{{"	out.Same = before == out.After", "	out.Same = true"}},
		"cmd/coldstream", "TestDemoFailsWhereTheProofFails",
	},
}
