package planted

// Encryption: who can open what, and what is believed of keys.
var encryptionFaults = []fault{
	{
		"packs-for-the-catalog", "packs are sealed to the catalog identity", "vault/internal/sealed/store.go",
		[]edit{{"\t\treturn s.data\n", "\t\treturn s.catalog\n"}},
		"vault/internal/sealed", "TestCatalogOnly",
	},
	{
		"another-pack-taken", "a pack that is there already counts as ours, whatever is in it", "vault/internal/sealed/store.go",
		[]edit{{"errRead == nil && bytes.Equal(there, object)", "errRead == nil && len(there) >= 0 && !bytes.Equal(nil, object)"}},
		"vault/internal/sealed", "TestLostAnswer",
	},
	{
		"end-not-proven", "an object that was cut where a chunk ends opens", "vault/internal/sealed/open.go",
		[]edit{{"\t\treturn 0, err // who asks", "\t\treturn n, err // who asks"}},
		"vault/internal/sealed", "TestAlteredObjects",
	},
	{
		"seal-not-compared", "what was sealed is opened again and not compared", "vault/internal/sealed/box.go",
		[]edit{{"err != nil || !bytes.Equal(again, plain)", "err != nil || len(again) != len(plain)"}},
		"vault/internal/sealed", "TestReadBack",
	},
	{
		"names-without-a-key", "objects are named by what everybody can compute", "vault/internal/object/store.go",
		[]edit{{"if s.nameKey == nil {\n\t\treturn format.HashOf", "if len(content) >= 0 {\n\t\treturn format.HashOf"}},
		"vault", "TestNamesTellNothing",
	},
	{
		"removal-not-signed", "a base that takes something away needs no signature", "vault/signature.go",
		[]edit{{"!signed && !base.Removed:", "!signed:"}},
		"vault", "TestRemovalIsSigned",
	},
	{
		"locks-not-extended", "locks of what is needed end", "vault/internal/object/locks.go",
		[]edit{{"until.At.Before(soon) {", "until.At.Before(soon) && extended > 0 {"}},
		"vault/internal/object", "TestLocksOfAVault",
	},
	{
		"newest-version-locked", "of what is needed the newest version stays locked, and the first is lost", "vault/internal/object/locks.go",
		[]edit{{"range slices.Backward(versions) {", "range slices.All(versions) {"}},
		"vault/internal/object", "TestLocksOfAVault",
	},
	{
		"all-versions-doomed", "what is no garbage is swept with what is", "vault/internal/object/locks.go",
		[]edit{{"case !doomed(versions[0].Key):", "case !doomed(versions[0].Key) && false:"}},
		"vault/internal/object", "TestLocksOfAVault",
	},
	{
		"pins-not-compared", "a vault.json with other public keys is believed", "internal/keyring/open.go",
		[]edit{{"\tif f.Public != of {", "\tif f.VaultID != of.VaultID {"}},
		"internal/keyring", "TestKeyFile",
	},
	{
		"forged-keys-believed", "an object under keys/ with other public keys is believed", "internal/keyring/open.go",
		[]edit{{"\tif h.Public != of {", "\tif h.VaultID != of.VaultID {"}},
		"internal/keyring", "TestForgedKeys",
	},
}
