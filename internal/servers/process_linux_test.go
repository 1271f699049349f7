package servers

import "testing"

// TestReservedPort: who has a port has it alone.
func TestReservedPort(t *testing.T) {
	const port = lastPort + 1 // nobody draws it
	for i, want := range []bool{true, false} {
		if got, err := reservePort(port); got != want || err != nil {
			t.Errorf("reservation %d of a port: %v, %v; want %v", i+1, got, err, want)
		}
	}
}
