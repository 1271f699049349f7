package mutants

// argued says of sites why the harness need not notice that they are switched
// off: "flush FUNCTION FILE", without the line. An argument that no site has, or
// whose site is found, fails the run: it is void.
var argued = map[string]string{
	"flush github.com/orbit-persistence/orbit/engine/wal.(*Log).openSegment segment.go": "It keeps the kernel from writing old pages of a slot after direct writes to the same blocks. The simulated disk has no writeback of its own accord.",
	"flush github.com/orbit-persistence/orbit/engine/wal.measure probe.go":              "It times flushes before the log has anything: what it writes is nobody's.",
}
