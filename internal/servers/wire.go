package servers

import (
	"context"
	"encoding/json"
	"errors"
	"net"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/Shopify/toxiproxy/v2"
	"github.com/rs/zerolog"
)

// Wire is a connection to a server that can be made to fail.
type Wire struct {
	// Address is where to talk to the server.
	Address string

	t      testing.TB
	server string
	proxy  *toxiproxy.Proxy
}

// NewWire returns a wire to a server, which ends with the test.
func NewWire(t testing.TB, server string) *Wire {
	t.Helper()
	// Mend listens there again, so it is none of the ports that whoever dials is given.
	w := &Wire{Address: Address(t), t: t, server: server}
	w.start()
	t.Cleanup(func() { w.proxy.Stop() })
	return w
}

// start makes a proxy that has no fault. A process that another test starts has a copy of
// the socket that listened here, until it runs its program: the port, which is ours, is
// taken for as long.
func (w *Wire) start() {
	w.t.Helper()
	control := toxiproxy.NewServer(toxiproxy.NewMetricsContainer(nil), zerolog.Nop())
	ctx, cancel := context.WithTimeout(context.WithoutCancel(w.t.Context()), time.Minute)
	defer cancel()
	for {
		w.proxy = toxiproxy.NewProxy(control, "wire", w.Address, w.server)
		err := w.proxy.Start()
		if err == nil {
			return
		}
		if !errors.Is(err, syscall.EADDRINUSE) {
			w.t.Fatal(err)
		}
		select {
		case <-ctx.Done():
			w.t.Fatal(err)
		case <-time.After(time.Millisecond):
		}
	}
}

// Cut ends all connections, and refuses new ones until Mend.
func (w *Wire) Cut() { w.proxy.Stop() }

// Mend ends all connections and takes away every fault. It makes the proxy anew, since
// Toxiproxy, asked to take a fault away, can wait for ever for a connection that has ended
// within it.
func (w *Wire) Mend() {
	w.t.Helper()
	w.proxy.Stop()
	w.start()
}

// Direction is the one in which a fault acts.
type Direction string

// The directions.
const (
	ToServer   Direction = "upstream"
	FromServer Direction = "downstream"
)

// Fail makes the wire fail, until Mend, as a toxic of Toxiproxy does: "reset_peer",
// "timeout", "latency", "limit_data", "slicer", "bandwidth", with its attributes.
func (w *Wire) Fail(d Direction, toxic string, attributes map[string]int) {
	w.t.Helper()
	text, err := json.Marshal(map[string]any{"name": string(d) + " " + toxic, "type": toxic, "stream": d, "attributes": attributes})
	if err != nil {
		w.t.Fatal(err)
	}
	if _, err := w.proxy.Toxics.AddToxicJson(strings.NewReader(string(text))); err != nil {
		w.t.Fatal(err)
	}
}

func cutPort(address string) (host, port string, err error) { return net.SplitHostPort(address) }
