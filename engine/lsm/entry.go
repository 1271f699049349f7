package lsm

// entryKind is what a version of a key is.
type entryKind uint8

const (
	kindPut entryKind = 1 + iota
	kindDelete
	// kindApart is a put whose value lies in a value file: the value of the entry says
	// where. See valueRef.
	kindApart
)

// maxVersion is the highest version. Versions number the changes of the store: each
// batch has one, and one more for each delete-range of it that follows something else.
const maxVersion = 1<<56 - 1

// entry is a version of a key. Its bytes belong to whoever made it.
type entry struct {
	key, value []byte
	version    uint64
	kind       entryKind
}
