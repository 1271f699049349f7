package servers

import (
	"fmt"
	"math/rand/v2"
	"net"
	"testing"
)

// Ports of servers are drawn from here: below those that the kernel gives to whoever dials,
// 32768 and above as Linux has it, of which one may be taken before a server listens; and
// so that the bus of a Redis Cluster, 10000 above, is below them too.
const firstPort, lastPort = 10_000, 19_999

// Address returns an address of the loopback on which nobody listens, and which this
// process has not given away before, nor another that lives: who has it may stop to listen,
// and begin again.
func Address(t testing.TB) string {
	t.Helper()
	for range 1000 {
		port := firstPort + rand.IntN(lastPort-firstPort+1)
		if ours, err := reservePort(port); err != nil {
			t.Fatal(err)
		} else if !ours {
			continue
		}
		address := fmt.Sprintf("127.0.0.1:%d", port)
		free := false
		err := withoutStarts(func() error {
			l, err := net.Listen("tcp", address)
			if err != nil {
				return nil // somebody listens
			}
			free = true
			return l.Close()
		})
		if err != nil {
			t.Fatal(err)
		}
		if free {
			return address
		}
	}
	t.Fatalf("no free port from %d to %d in 1000 tries", firstPort, lastPort)
	return ""
}
