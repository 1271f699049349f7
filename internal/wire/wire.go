// Package wire puts a wire between a provider under test and its server, and lets it
// fail in every way, by toxiproxy.
package wire

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/Shopify/toxiproxy/v2"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/rs/zerolog"
	"go.uber.org/goleak"
)

// Ignored is for goleak: toxiproxy leaves goroutines behind where a connection ends
// within a fault.
var Ignored = goleak.IgnoreAnyFunction("github.com/Shopify/toxiproxy/v2/toxics.(*ToxicStub).Run")

// Wire is a wire to a server, which ends with the test.
type Wire struct {
	// Address is where clients find it, a host and a port.
	Address string

	t     testing.TB
	mu    sync.Mutex // guards proxy
	proxy *toxiproxy.Proxy
}

// New returns a wire to the server at an address, which works.
func New(t testing.TB, server string) *Wire {
	t.Helper()
	api := toxiproxy.NewServer(toxiproxy.NewMetricsContainer(prometheus.NewRegistry()), zerolog.Nop())
	w := &Wire{t: t, proxy: toxiproxy.NewProxy(api, "wire", "127.0.0.1:0", server)}
	if err := w.proxy.Start(); err != nil {
		t.Fatal(err)
	}
	w.Address = w.proxy.Listen
	t.Cleanup(func() {
		w.mu.Lock()
		defer w.mu.Unlock()
		w.proxy.Stop()
	})
	return w
}

// Fault is a way in which a wire fails. It lasts until Mend.
type Fault struct {
	// Name says what happens.
	Name string
	// Silent faults keep calls waiting: give them a context that ends.
	Silent bool
	// Slow faults harm no call.
	Slow bool

	toxics []string // in the JSON of toxiproxy; none closes the wire
}

// The faults.
var (
	Refused     = Fault{Name: "connections end, and none is accepted"}
	RequestLost = Fault{Name: "nothing reaches the server", Silent: true, toxics: []string{`"type":"timeout","stream":"upstream","attributes":{"timeout":0}`}}
	ReplyLost   = Fault{Name: "nothing comes back", Silent: true, toxics: []string{`"type":"timeout","stream":"downstream","attributes":{"timeout":0}`}}
	ResetBefore = Fault{Name: "a request resets the connection", toxics: []string{`"type":"reset_peer","stream":"upstream","attributes":{"timeout":0}`}}
	ResetAfter  = Fault{Name: "a reply resets the connection", toxics: []string{`"type":"reset_peer","stream":"downstream","attributes":{"timeout":0}`}}
	CutRequest  = Fault{Name: "the connection ends within a request", toxics: []string{`"type":"limit_data","stream":"upstream","attributes":{"bytes":20}`}}
	CutReply    = Fault{Name: "the connection ends within a reply", toxics: []string{`"type":"limit_data","stream":"downstream","attributes":{"bytes":3}`}}
	Slow        = Fault{Name: "bytes come slowly and one by one", Slow: true, toxics: []string{
		`"type":"latency","stream":"downstream","attributes":{"latency":10}`,
		`"type":"slicer","stream":"upstream","attributes":{"average_size":8,"size_variation":4,"delay":50}`,
	}}
)

// Faults returns all of them.
func Faults() []Fault {
	return []Fault{Refused, RequestLost, ReplyLost, ResetBefore, ResetAfter, CutRequest, CutReply, Slow}
}

// Break lets the wire fail, connections that stand included.
func (w *Wire) Break(f Fault) {
	w.t.Helper()
	w.mu.Lock()
	defer w.mu.Unlock()
	if f.toxics == nil {
		w.proxy.Stop()
		return
	}
	for i, toxic := range f.toxics {
		if _, err := w.proxy.Toxics.AddToxicJson(strings.NewReader(fmt.Sprintf(`{"name":"t%d",%s}`, i, toxic))); err != nil {
			w.t.Error(err)
		}
	}
}

// Mend ends every connection, and lets the wire work again.
func (w *Wire) Mend() {
	w.t.Helper()
	w.mu.Lock()
	defer w.mu.Unlock()
	w.proxy.Stop()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	w.proxy.Toxics.ResetToxics(ctx)
	if err := w.proxy.Start(); err != nil {
		w.t.Error(err)
	}
}
