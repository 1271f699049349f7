package servers

import (
	"fmt"
	"os"
	"os/exec"
	"testing"
)

// undrawn are ports that Address does not draw; a test that runs again takes others.
var undrawn = lastPort

// TestReservedPort: who has a port has it alone, of all processes, until it ends.
func TestReservedPort(t *testing.T) {
	reserve := func(port int) string {
		got, err := reservePort(port)
		if err != nil {
			t.Fatal(err)
		}
		return fmt.Sprint(got)
	}
	var ours, theirs int
	if n, _ := fmt.Sscan(os.Getenv("ORBIT_TEST_RESERVE"), &ours, &theirs); n == 2 {
		fmt.Println(reserve(ours), reserve(theirs))
		os.Exit(0)
	}
	ours, theirs, undrawn = undrawn+1, undrawn+2, undrawn+2
	if first, again := reserve(ours), reserve(ours); first != "true" || again != "false" {
		t.Errorf("reserved: %s, then %s; want true, then false", first, again)
	}
	other := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestReservedPort$")
	other.Env = append(os.Environ(), fmt.Sprintf("ORBIT_TEST_RESERVE=%d %d", ours, theirs))
	if out, err := other.CombinedOutput(); err != nil || string(out) != "false true\n" {
		t.Errorf("another process reserves ours and its own: %q, %v; want false, true", out, err)
	}
	if got := reserve(theirs); got != "true" {
		t.Errorf("a port of a process that has ended: %s", got)
	}
}
