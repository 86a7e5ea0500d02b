package embedded

// AppendRecord is what Content feeds into its hash.
var AppendRecord = appendRecord
