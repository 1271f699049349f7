package servers

import (
	"net"
	"os/exec"
	"sync"
	"testing"
)

// TestMendBesideStarts: a wire is mended while other processes are started, each of which
// holds, until it is one, what this process has open: the port that is to be listened at
// too.
func TestMendBesideStarts(t *testing.T) {
	w := NewWire(t, Address(t))
	stop, started := make(chan struct{}), 0
	var starts sync.WaitGroup
	starts.Go(func() {
		for {
			select {
			case <-stop:
				return
			default:
			}
			if err := exec.Command("true").Run(); err != nil {
				t.Error(err)
				return
			}
			started++
		}
	})
	for range 500 {
		w.Mend()
		conn, err := net.Dial("tcp", w.Address)
		if err != nil {
			t.Errorf("after it was mended: %v", err)
			break
		}
		if err := conn.Close(); err != nil {
			t.Error(err)
		}
	}
	close(stop)
	starts.Wait()
	if started == 0 {
		t.Error("no process was started; the test has checked nothing")
	}
}
