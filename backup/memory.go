package backup

// DefaultMemory is what the buffers of a backup take together unless it is told otherwise,
// in bytes.
const DefaultMemory = 160 << 20

const (
	defaultBuffer = DefaultMemory / memoryParts
	// memoryParts are one buffer that fills and one that is encoded, one for what that becomes,
	// three for answers under way, two for each pack that fills or is under way to the storage,
	// and one by which one of these may be larger.
	memoryParts = 1 + 1 + 1 + fetchParts + packParts*(1+sentAtOnce) + 1
	fetchParts  = 3
	packParts   = 2
	// mostPart keeps packs below 1 GiB: more memory than that takes is not used.
	mostPart = 256 << 20
)

// Memory is one budget, divided among the buffers of a backup.
type Memory struct {
	FetchBytes  int // of answers under way, of all connections together
	BufferBytes int // [Options].BufferBytes
	PackBytes   int // [Options].PackBytes
}

// Divide divides a budget of so many bytes. What passes it is a single batch, or an answer
// of the least size from each of many brokers, that is larger than its share.
func Divide(total int64) Memory { return divide(total, memoryParts) }

// DivideSealed is Divide for an encrypted vault: each pack that is under way has a sealed copy.
func DivideSealed(total int64) Memory { return divide(total, memoryParts+packParts*sentAtOnce) }

func divide(total, parts int64) Memory {
	part := int(min(total/parts, mostPart))
	return Memory{FetchBytes: fetchParts * part, BufferBytes: part, PackBytes: packParts * part}
}
