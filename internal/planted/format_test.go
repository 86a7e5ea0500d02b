package planted

var formatFaults = []fault{
	{
		"frame-hash-not-checked", "a frame is not compared with its hash", "vault/internal/format/frame.go",
		[]edit{{"frameOf(stored, f.DecodedLength).Hash != f.Hash {", "len(f.Hash) == 0 {"}},
		"vault/internal/format", "TestFrameRejections",
	},
	{
		"object-hash-not-checked", "an object is not compared with its hash", "vault/internal/format/envelope.go",
		[]edit{{"sum != Digest(object) {", "len(sum) == 0 {"}},
		"vault/internal/format", "TestEveryBitOfAnObjectCounts",
	},
	{
		"key-not-compared", "an object under the key of another is accepted", "vault/internal/format/envelope.go",
		[]edit{{"case key != want.Key:", "case len(key) > 1<<20:"}},
		"vault/internal/format", "TestEnvelopeRejections",
	},
	{
		"vault-not-compared", "an object of another vault is accepted", "vault/internal/format/envelope.go",
		[]edit{{"case vaultID != want.VaultID:", "case len(vaultID) == 0:"}},
		"vault/internal/format", "TestEnvelopeRejections",
	},
	{
		"trailing-byte", "a byte behind a structure is accepted", "vault/internal/format/wire.go",
		[]edit{{"if r.err == nil && len(r.b) > 0 {", "if r.err == nil && len(r.b) > 1 {"}},
		"vault/internal/format", "TestOneByteMore",
	},
	{
		"count-without-bound", "a count is believed before it allocates", "vault/internal/format/wire.go",
		[]edit{{"if v > uint64(len(r.b)/size) {", "if v > 1<<62 {"}},
		"vault/internal/format", "TestPackIndexRejections",
	},
	{
		"two-encodings", "a number in more bytes than it needs is accepted", "vault/internal/format/wire.go",
		[]edit{{"if n <= 0 || n > 1 && r.b[n-1] == 0 {", "if n <= 0 {"}},
		"vault/internal/format", "TestPackIndexRejections",
	},
	{
		"newer-version-read", "a structure of a newer version is read", "vault/internal/format/wire.go",
		[]edit{{"case v > newest:", "case v < newest && v > newest:"}},
		"vault/internal/format", "TestOtherVersions",
	},
	{
		"zstd-size-believed", "a compressed size is believed before it allocates", "vault/internal/format/zstd.go",
		[]edit{{"if length > blocks*maxBlock {", "if length < 0 {"}},
		"vault/internal/format", "TestZstdFrames",
	},
}

var storeFaults = []fault{
	{
		"file-not-synced", "an object's bytes are not synced", "blob/fs/temp.go",
		[]edit{{"err = s.flush(f)", "err = nil"}},
		"blob/fs", "TestSyncOrder",
	},
	{
		"folder-not-synced", "an object's name is not synced", "blob/fs/fs.go",
		[]edit{{"return s.syncFolder(dir)", "return nil"}},
		"blob/fs", "TestSyncOrder",
	},
	{
		"new-folder-not-synced", "a new folder is not synced into the one above", "blob/fs/folder.go",
		[]edit{{"if err := s.syncFolder(parent); err != nil {", "if err := error(nil); err != nil {"}},
		"blob/fs", "TestSyncOrder",
	},
	{
		"taken-not-synced", "an object that is there already is not made durable", "blob/fs/fs.go",
		[]edit{{"\tif err := s.syncFolder(path.Dir(key)); err != nil {\n\t\treturn err\n\t}\n\treturn fs.ErrExist", "\treturn fs.ErrExist"}},
		"blob/fs", "TestTakenAndSyncFails",
	},
	{
		"link-is-rename", "an object is renamed to its name, which replaces", "blob/fs/fs.go",
		[]edit{{"err := s.root.Link(temp, key)", "err := s.root.Rename(temp, key)"}},
		"blob/fs", "TestProcessesRace",
	},
	{
		"swept-too-early", "temporary files of others are swept while they are written", "blob/fs/temp.go",
		[]edit{{"now.Sub(info.ModTime()) > tempLifetime", "now.Sub(info.ModTime()) >= 0"}},
		"blob/fs", "TestSweep",
	},
}

var batchFaults = []fault{
	{
		"partial-batch-taken", "a batch that is cut off counts as whole", "recordbatch/batch.go",
		[]edit{{"if size > int64(len(buf)) {", "size = min(size, int64(len(buf)))\n\tif size < 0 {"}},
		"recordbatch", "TestNextCutsAnswers",
	},
	{
		"checksum-not-compared", "a batch with another checksum is accepted", "recordbatch/batch.go",
		[]edit{{"if b.checksum() != binary.BigEndian.Uint32(b[17:]) {", "if len(b) == 0 {"}},
		"recordbatch", "TestCheckSeesEveryBit",
	},
	{
		"offset-0-refused", "a batch at offset 0 is refused", "recordbatch/batch.go",
		[]edit{{"if base < 0 || delta < 0", "if base <= 0 || delta < 0"}},
		"recordbatch", "TestCheckCounts",
	},
	{
		"checksum-kept", "a patched batch keeps its old checksum", "recordbatch/produce.go",
		[]edit{{"\tout.seal()", "\t_ = out"}},
		"recordbatch", "TestAppendPatched",
	},
	{
		"transactional-bit-kept", "a patched batch is still of a transaction", "recordbatch/produce.go",
		[]edit{{"(bitTransactional | bitLogAppendTime | bitDeleteHorizon)", "(bitLogAppendTime | bitDeleteHorizon)"}},
		"recordbatch", "TestAppendPatched",
	},
	{
		"marker-restored", "a control batch is restored as data", "recordbatch/produce.go",
		[]edit{{"case b.IsControl(), b.RecordCount() == 0:", "case b.RecordCount() == 0:"}},
		"recordbatch", "TestNeed",
	},
	{
		"batch-over-the-end", "a batch that reaches over the view's end is restored whole", "recordbatch/produce.go",
		[]edit{{"b.NextOffset() > nextOffset:", "b.BaseOffset() >= nextOffset:"}},
		"recordbatch", "TestNeed",
	},
	{
		"sequence-overflows", "sequence numbers do not wrap to 0", "recordbatch/produce.go",
		[]edit{{"(int64(sequence) + int64(count)) & math.MaxInt32)", "int64(sequence) + int64(count))"}},
		"recordbatch", "TestNextSequence",
	},
	{
		"empty-is-null", "an empty value becomes a null one", "recordbatch/decode.go",
		[]edit{{"\tif n < 0 {\n\t\treturn nil, b, true", "\tif n <= 0 {\n\t\treturn nil, b, true"}},
		"recordbatch", "TestJavaVectors",
	},
}
