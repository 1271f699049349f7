package servers

import (
	"net"
	"os/exec"
	"sync"
	"sync/atomic"
	"testing"
)

// TestMendBesideStarts: a wire is mended while other processes are started, each of which
// holds, until it is one, what this process has open: the port that is to be listened at
// too.
func TestMendBesideStarts(t *testing.T) {
	w := NewWire(t, Address(t))
	stop := make(chan struct{})
	var started atomic.Int64
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
			started.Add(1)
		}
	})
	defer starts.Wait()
	defer close(stop)
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
	if started.Load() == 0 {
		t.Error("no process was started; the test has checked nothing")
	}
}
