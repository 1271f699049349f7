package prefetch_test

import (
	"testing"
	"unsafe"

	"github.com/orbit-persistence/orbit/engine/internal/prefetch"
)

// TestAnything: a prefetch changes nothing and faults nowhere.
func TestAnything(t *testing.T) {
	b := make([]byte, 256)
	b[77] = 7
	prefetch.Line(unsafe.Pointer(&b[77]))
	prefetch.Lines(unsafe.Pointer(&b[0]), 1000) // far beyond it
	prefetch.Lines(unsafe.Pointer(&b[0]), 0)
	prefetch.Line(nil)
	if b[77] != 7 {
		t.Error("memory has changed")
	}
}
