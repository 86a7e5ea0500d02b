//go:build long

package vault

// allOfItEncrypted says whether all tests are run on encrypted vaults, or those that tell most.
const allOfItEncrypted = true
