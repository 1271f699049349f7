package check

import (
	"fmt"
	"slices"
	"strings"
)

// Outcome is what a client knows of the end of its transaction.
type Outcome uint8

// The outcomes. What an unknown one appended counts if somebody read it.
const (
	Committed Outcome = iota
	Aborted
	Unknown
)

// Transaction is a transaction on lists: it reads whole lists and appends to
// them. Each value is appended to a key at most once in a history.
type Transaction struct {
	Client int
	// Call and Return bound the commit, in monotonic nanoseconds; they matter
	// where real time is asked for. An unknown outcome returns Never.
	Call, Return int64
	Outcome      Outcome
	Steps        []Step
}

// Step is one step of a transaction.
type Step struct {
	Key string
	// Append tells an append of Value from a read that showed List.
	Append bool
	Value  int64
	List   []int64
}

// Anomaly is what no serializable store shows. It is an error.
type Anomaly struct {
	// Name is that of Adya ("G0", "G1a", "G1b", "G1c", "G-single", "G2"), with
	// "-realtime" behind it where the cycle holds in real time alone; or
	// "incompatible order", "internal", "duplicate" or "garbage" for reads that
	// no order of appends explains.
	Name string
	// Text says which transactions show it, and how.
	Text string
	// Transactions are their indices.
	Transactions []int
}

// Error is the name and the text.
func (a *Anomaly) Error() string { return a.Name + ": " + a.Text }

// Cycles looks for anomalies in a history of transactions on lists. Of each group
// of transactions that depend on each other in a circle it returns one, of the
// gravest name that fits, with the shortest cycle of that name. None proves that
// the committed ones can be put in one order, which with realTime is that of real
// time too, as far as the lists that were read tell.
//
// The method is Elle's (Kingsbury and Alvaro, "Elle: Inferring Isolation
// Anomalies from Experimental Observations", VLDB 2020, sections 4 and 5): a
// list shows all versions before it, so that reads tell the order of appends, and
// with it who wrote over, read from, or read before whom; an anomaly is a cycle
// of these. It is named by its edges (Adya, Liskov, O'Neil, "Generalized
// Isolation Level Definitions", ICDE 2000).
func Cycles(history []Transaction, realTime bool) []*Anomaly {
	c := &cycles{txns: history, appended: map[element]int{}, versions: map[string][]int64{}}
	c.index()
	c.reads()
	c.depend(realTime)
	c.search(realTime)
	return c.found
}

// element is a value of a list.
type element struct {
	key   string
	value int64
}

type cycles struct {
	txns     []Transaction
	appended map[element]int    // by which transaction
	versions map[string][]int64 // of each key, the longest list that was read
	graph    graph
	found    []*Anomaly
}

func (c *cycles) report(name string, txns []int, format string, args ...any) {
	text := fmt.Sprintf(format, args...)
	for _, t := range txns {
		text += fmt.Sprintf("\n  T%d: %s", t, c.txns[t])
	}
	c.found = append(c.found, &Anomaly{Name: name, Text: text, Transactions: txns})
}

// String shows the transaction on one line.
func (t Transaction) String() string {
	var b strings.Builder
	for i, s := range t.Steps {
		if i > 0 {
			b.WriteString(", ")
		}
		if s.Append {
			fmt.Fprintf(&b, "append %s %d", quote(s.Key), s.Value)
		} else {
			fmt.Fprintf(&b, "read %s %v", quote(s.Key), s.List)
		}
	}
	switch t.Outcome {
	case Aborted:
		b.WriteString(" (aborted)")
	case Unknown:
		b.WriteString(" (unknown)")
	}
	return b.String()
}

// index notes who appended what.
func (c *cycles) index() {
	for i, t := range c.txns {
		for _, s := range t.Steps {
			if !s.Append {
				continue
			}
			e := element{s.Key, s.Value}
			if before, twice := c.appended[e]; twice {
				c.report("duplicate", []int{before, i}, "%d was appended to %s twice; the history cannot be judged", s.Value, quote(s.Key))
			}
			c.appended[e] = i
		}
	}
}

// shown calls visit for each read of the state outside its transaction: what the
// transaction appended itself is cut off, after it was found to be there.
func (c *cycles) shown(visit func(txn int, key string, list []int64)) {
	for i, t := range c.txns {
		if t.Outcome != Committed {
			continue
		}
		for n, s := range t.Steps {
			if s.Append {
				continue
			}
			own := 0
			for _, before := range t.Steps[:n] {
				if before.Append && before.Key == s.Key {
					own++
				}
			}
			visit(i, s.Key, s.List[:max(0, len(s.List)-own)])
		}
	}
}

// reads finds the order of the versions of each key, and what is wrong with
// reads by themselves.
func (c *cycles) reads() {
	longest := map[string]int{} // by which transaction
	for i, t := range c.txns {
		if t.Outcome == Committed {
			c.internal(i, t)
		}
	}
	c.shown(func(i int, key string, list []int64) {
		c.singly(i, key, list)
		before := c.versions[key]
		n := min(len(before), len(list))
		if !slices.Equal(before[:n], list[:n]) {
			c.report("incompatible order", []int{longest[key], i}, "of %s one read showed %v, another %v", quote(key), before, list)
			return
		}
		if len(list) > len(before) {
			c.versions[key] = list
			longest[key] = i
		}
	})
}

// internal checks that a transaction sees its own appends, and the same list
// twice.
func (c *cycles) internal(i int, t Transaction) {
	expected := map[string][]int64{} // known from the first read on
	known := map[string]bool{}
	own := map[string][]int64{}
	for _, s := range t.Steps {
		switch {
		case s.Append:
			own[s.Key] = append(own[s.Key], s.Value)
			expected[s.Key] = append(slices.Clip(expected[s.Key]), s.Value)
		case known[s.Key] && !slices.Equal(expected[s.Key], s.List),
			len(s.List) < len(own[s.Key]) || !slices.Equal(s.List[len(s.List)-len(own[s.Key]):], own[s.Key]):
			c.report("internal", []int{i}, "it read %s as %v, which its own earlier steps contradict", quote(s.Key), s.List)
		default:
			known[s.Key] = true
			expected[s.Key] = s.List
		}
	}
}

// singly checks one read by itself.
func (c *cycles) singly(i int, key string, list []int64) {
	seen := map[int64]bool{}
	for n, v := range list {
		w, ok := c.appended[element{key, v}]
		switch {
		case !ok:
			c.report("garbage", []int{i}, "it read %d in %s, which nobody appended", v, quote(key))
		case seen[v]:
			c.report("duplicate", []int{i, w}, "it read %d in %s twice", v, quote(key))
		case c.txns[w].Outcome == Aborted:
			c.report("G1a", []int{i, w}, "aborted read: T%d read %d in %s, appended by T%d, which was aborted", i, v, quote(key), w)
		case n == len(list)-1 && w != i && c.last(w, key) != v:
			c.report("G1b", []int{i, w}, "intermediate read: T%d read %s up to %d, but T%d appended more", i, quote(key), v, w)
		}
		seen[v] = true
	}
}

// last returns the value that a transaction appended to key last.
func (c *cycles) last(txn int, key string) int64 {
	var last int64
	for _, s := range c.txns[txn].Steps {
		if s.Append && s.Key == key {
			last = s.Value
		}
	}
	return last
}

// depend builds the graph. A transaction of unknown outcome whose appends nobody
// read has no edges but from reads that did not show them.
func (c *cycles) depend(realTime bool) {
	c.graph = make(graph, len(c.txns))
	place := map[element]int{}
	unread := map[string][]int{} // committed appends that no list shows: after all that do
	for key, list := range c.versions {
		before := -1
		for n, v := range list {
			place[element{key, v}] = n
			w, ok := c.appended[element{key, v}]
			if !ok {
				continue
			}
			if before >= 0 {
				c.graph.add(before, w, writeWrite, key)
			}
			before = w
		}
	}
	for i, t := range c.txns {
		if t.Outcome != Committed {
			continue
		}
		for _, s := range t.Steps {
			if _, shown := place[element{s.Key, s.Value}]; s.Append && !shown {
				unread[s.Key] = append(unread[s.Key], i)
				if list := c.versions[s.Key]; len(list) > 0 {
					if w, ok := c.appended[element{s.Key, list[len(list)-1]}]; ok {
						c.graph.add(w, i, writeWrite, s.Key)
					}
				}
			}
		}
	}
	c.shown(func(i int, key string, list []int64) {
		if len(list) > 0 {
			if w, ok := c.appended[element{key, list[len(list)-1]}]; ok {
				c.graph.add(w, i, writeRead, key)
			}
		}
		if versions := c.versions[key]; len(list) < len(versions) {
			if w, ok := c.appended[element{key, versions[len(list)]}]; ok {
				c.graph.add(i, w, readWrite, key)
			}
			return
		}
		for _, w := range unread[key] {
			c.graph.add(i, w, readWrite, key)
		}
	})
	if realTime {
		var spans []interval
		for i, t := range c.txns {
			if t.Outcome == Committed {
				spans = append(spans, interval{i, t.Call, t.Return})
			}
		}
		c.graph = c.graph.order(spans)
	}
}

// search names the cycles, the gravest first, and each group once.
func (c *cycles) search(inRealTime bool) {
	named := map[int]bool{} // transactions that stand in a reported cycle
	look := func(name string, within, first, rest dependency) {
		for _, component := range c.graph.components(within) {
			if slices.ContainsFunc(component, func(v int) bool { return named[v] }) {
				continue
			}
			if cycle := c.graph.cycle(component, first, rest); cycle != nil {
				for _, v := range component {
					named[v] = v < len(c.txns)
				}
				c.tell(name, cycle)
			}
		}
	}
	classes := func(suffix string, also dependency) {
		look("G0"+suffix, writeWrite|also, writeWrite, writeWrite|also)
		look("G1c"+suffix, writeWrite|writeRead|also, writeRead, writeWrite|writeRead|also)
		look("G-single"+suffix, anyDependency&^realTime|also, readWrite, writeWrite|writeRead|also)
		look("G2"+suffix, anyDependency&^realTime|also, readWrite, anyDependency&^realTime|also)
	}
	classes("", 0)
	if inRealTime {
		classes("-realtime", realTime)
	}
}

// tell reports a cycle. Nodes of the chain of returns are left out of it.
func (c *cycles) tell(name string, cycle []step) {
	var txns []int
	var b strings.Builder
	for n, s := range cycle {
		if s.from >= len(c.txns) {
			continue
		}
		if len(txns) > 0 {
			b.WriteString(", ")
		}
		txns = append(txns, s.from)
		to := s.to
		for k := n; to >= len(c.txns); k++ {
			to = cycle[(k+1)%len(cycle)].to
		}
		if s.why == realTime {
			fmt.Fprintf(&b, "T%d returned before T%d was called (rt)", s.from, to)
			continue
		}
		verb := map[dependency]string{writeWrite: "was written before", writeRead: "was read by", readWrite: "did not see"}[s.why]
		fmt.Fprintf(&b, "T%d %s T%d in %s (%s)", s.from, verb, to, quote(s.key), s.why)
	}
	c.report(name, txns, "%s", b.String())
}
