package servers_test

import (
	"net"
	"testing"

	"github.com/orbit-persistence/orbit/internal/servers"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// TestLife: a server serves, is killed, serves again at the same place, and ends.
func TestLife(t *testing.T) {
	s := servers.Versitygw(t)
	dial := func() error {
		c, err := net.Dial("tcp", s.Address)
		if err != nil {
			return err
		}
		return c.Close()
	}
	if err := dial(); err != nil {
		t.Fatal(err)
	}
	s.Kill()
	if dial() == nil {
		t.Fatal("a killed server accepts connections")
	}
	s.Restart()
	if err := dial(); err != nil {
		t.Fatal(err)
	}
	s.Stop()
	if dial() == nil {
		t.Fatal("a stopped server accepts connections")
	}
}
