// Package wire breaks the wire between a provider under test and its server in every way,
// in the middle of each kind of call.
package wire

import (
	"github.com/orbit-persistence/orbit/internal/servers"
	"go.uber.org/goleak"
)

// Ignored is for goleak: toxiproxy leaves goroutines behind where a connection ends
// within a fault.
var Ignored = []goleak.Option{
	goleak.IgnoreAnyFunction("github.com/Shopify/toxiproxy/v2/toxics.(*ToxicStub).Run"),
	goleak.IgnoreAnyFunction("github.com/Shopify/toxiproxy/v2.(*ToxicLink).read"),
	goleak.IgnoreAnyFunction("github.com/Shopify/toxiproxy/v2.(*ToxicLink).write"),
}

// Fault is a way in which a wire fails. It lasts until Mend.
type Fault struct {
	// Name says what happens.
	Name string
	// Silent faults keep calls waiting: give them a context that ends.
	Silent bool
	// Slow faults harm no call.
	Slow bool

	// toxics are what Toxiproxy does; none ends all connections, and refuses others.
	toxics []toxic
}

type toxic struct {
	direction  servers.Direction
	name       string
	attributes map[string]int
}

// The faults.
var (
	Refused     = Fault{Name: "connections end, and none is accepted"}
	RequestLost = Fault{Name: "nothing reaches the server", Silent: true, toxics: []toxic{{servers.ToServer, "timeout", map[string]int{"timeout": 0}}}}
	ReplyLost   = Fault{Name: "nothing comes back", Silent: true, toxics: []toxic{{servers.FromServer, "timeout", map[string]int{"timeout": 0}}}}
	ResetBefore = Fault{Name: "a request resets the connection", toxics: []toxic{{servers.ToServer, "reset_peer", map[string]int{"timeout": 0}}}}
	ResetAfter  = Fault{Name: "a reply resets the connection", toxics: []toxic{{servers.FromServer, "reset_peer", map[string]int{"timeout": 0}}}}
	CutRequest  = Fault{Name: "the connection ends within a request", toxics: []toxic{{servers.ToServer, "limit_data", map[string]int{"bytes": 20}}}}
	CutReply    = Fault{Name: "the connection ends within a reply", toxics: []toxic{{servers.FromServer, "limit_data", map[string]int{"bytes": 3}}}}
	Slow        = Fault{Name: "bytes come slowly and one by one", Slow: true, toxics: []toxic{
		{servers.FromServer, "latency", map[string]int{"latency": 10}},
		{servers.ToServer, "slicer", map[string]int{"average_size": 8, "size_variation": 4, "delay": 50}},
	}}
)

// Faults returns all of them.
func Faults() []Fault {
	return []Fault{Refused, RequestLost, ReplyLost, ResetBefore, ResetAfter, CutRequest, CutReply, Slow}
}

// Break lets a wire fail, connections that stand included.
func Break(w *servers.Wire, f Fault) {
	if f.toxics == nil {
		w.Cut()
	}
	for _, toxic := range f.toxics {
		w.Fail(toxic.direction, toxic.name, toxic.attributes)
	}
}
