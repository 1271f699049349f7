package check

import (
	"cmp"
	"slices"
)

// dependency is why one node comes before another.
type dependency uint8

const (
	writeWrite dependency = 1 << iota
	writeRead
	readWrite
	realTime

	anyDependency = writeWrite | writeRead | readWrite | realTime
)

func (d dependency) String() string {
	switch d {
	case writeWrite:
		return "ww"
	case writeRead:
		return "wr"
	case readWrite:
		return "rw"
	}
	return "rt"
}

type edge struct {
	to  int
	why dependency
	key string
}

// graph says which nodes come before which.
type graph [][]edge

func (g graph) add(from, to int, why dependency, key string) {
	if from != to {
		g[from] = append(g[from], edge{to, why, key})
	}
}

// interval is when the operation of a node took place.
type interval struct {
	node      int
	call, end int64
}

// order adds that an operation which returned comes before those called later.
// n operations take 2n edges: each leads to the node of its return, these form a
// chain, and each operation is reached from the last return before its call.
func (g graph) order(spans []interval) graph {
	spans = slices.Clone(spans)
	slices.SortFunc(spans, func(a, b interval) int { return cmp.Compare(a.end, b.end) })
	first := len(g)
	g = append(g, make(graph, len(spans))...)
	for n, s := range spans {
		if s.end != Never {
			g.add(s.node, first+n, realTime, "")
		}
		if n > 0 {
			g.add(first+n-1, first+n, realTime, "")
		}
		before, _ := slices.BinarySearchFunc(spans, s.call, func(s interval, call int64) int { return cmp.Compare(s.end, call) })
		if before > 0 {
			g.add(first+before-1, s.node, realTime, "")
		}
	}
	return g
}

// components returns the strongly connected components of more than one node
// over the dependencies allowed (Tarjan 1972).
func (g graph) components(allowed dependency) [][]int {
	type frame struct{ node, next int }
	index := make([]int, len(g)) // 0 is not visited
	low := make([]int, len(g))
	on := make([]bool, len(g))
	var stack []int
	var found [][]int
	count := 0
	for root := range g {
		if index[root] != 0 {
			continue
		}
		calls := []frame{{root, 0}}
		for len(calls) > 0 {
			f := &calls[len(calls)-1]
			v := f.node
			if f.next == 0 {
				count++
				index[v], low[v] = count, count
				stack = append(stack, v)
				on[v] = true
			}
			descended := false
			for f.next < len(g[v]) {
				e := g[v][f.next]
				f.next++
				if e.why&allowed == 0 {
					continue
				}
				if index[e.to] == 0 {
					calls = append(calls, frame{e.to, 0})
					descended = true
					break
				}
				if on[e.to] {
					low[v] = min(low[v], index[e.to])
				}
			}
			if descended {
				continue
			}
			if f.next == len(g[v]) {
				calls = calls[:len(calls)-1]
				if len(calls) > 0 {
					u := calls[len(calls)-1].node
					low[u] = min(low[u], low[v])
				}
				if low[v] == index[v] {
					at := len(stack) - 1
					for stack[at] != v {
						at--
					}
					if len(stack)-at > 1 {
						found = append(found, slices.Clone(stack[at:]))
					}
					for _, u := range stack[at:] {
						on[u] = false
					}
					stack = stack[:at]
				}
			}
		}
	}
	return found
}

// step is an edge of a path, with where it begins.
type step struct {
	from int
	edge
}

// path returns a shortest path between two nodes over the dependencies allowed,
// without leaving the nodes for which inside holds; nil if there is none.
func (g graph) path(from, to int, allowed dependency, inside map[int]bool) []step {
	came := map[int]step{}
	queue := []int{from}
	for len(queue) > 0 {
		v := queue[0]
		queue = queue[1:]
		for _, e := range g[v] {
			if e.why&allowed == 0 || !inside[e.to] {
				continue
			}
			if _, seen := came[e.to]; seen {
				continue
			}
			came[e.to] = step{v, e}
			if e.to == to {
				var p []step
				for at := to; ; at = came[at].from {
					p = append(p, came[at])
					if came[at].from == from {
						slices.Reverse(p)
						return p
					}
				}
			}
			queue = append(queue, e.to)
		}
	}
	return nil
}

// cycle returns a shortest cycle of a component that begins with one of the
// dependencies first and goes on over those allowed; nil if there is none.
func (g graph) cycle(component []int, first, allowed dependency) []step {
	inside := set(component)
	var best []step
	for _, v := range component {
		for _, e := range g[v] {
			if e.why&first == 0 || !inside[e.to] {
				continue
			}
			if p := g.path(e.to, v, allowed, inside); p != nil && (best == nil || len(p)+1 < len(best)) {
				best = append([]step{{v, e}}, p...)
			}
		}
		if len(best) == 2 {
			break
		}
	}
	return best
}

func set(nodes []int) map[int]bool {
	s := make(map[int]bool, len(nodes))
	for _, n := range nodes {
		s[n] = true
	}
	return s
}

// sort returns the nodes with each behind all that come before it, or nil if
// there is a cycle. Of several that may be next it takes the one with the least
// rank, by a heap.
func (g graph) sort(rank func(node int) int64) []int {
	indegree := make([]int, len(g))
	for _, edges := range g {
		for _, e := range edges {
			indegree[e.to]++
		}
	}
	var h ranked
	for v, n := range indegree {
		if n == 0 {
			h.push(v, rank(v))
		}
	}
	sorted := make([]int, 0, len(g))
	for len(h) > 0 {
		v := h.pop()
		sorted = append(sorted, v)
		for _, e := range g[v] {
			if indegree[e.to]--; indegree[e.to] == 0 {
				h.push(e.to, rank(e.to))
			}
		}
	}
	if len(sorted) < len(g) {
		return nil
	}
	return sorted
}

// ranked is a heap of nodes, the least rank on top.
type ranked []struct {
	node int
	rank int64
}

func (h *ranked) push(node int, rank int64) {
	*h = append(*h, struct {
		node int
		rank int64
	}{node, rank})
	for i := len(*h) - 1; i > 0; {
		up := (i - 1) / 2
		if (*h)[up].rank <= (*h)[i].rank {
			break
		}
		(*h)[up], (*h)[i] = (*h)[i], (*h)[up]
		i = up
	}
}

func (h *ranked) pop() int {
	q := *h
	top := q[0].node
	last := len(q) - 1
	q[0] = q[last]
	q = q[:last]
	for i := 0; ; {
		least := 2*i + 1
		if least >= last {
			break
		}
		if least+1 < last && q[least+1].rank < q[least].rank {
			least++
		}
		if q[i].rank <= q[least].rank {
			break
		}
		q[i], q[least] = q[least], q[i]
		i = least
	}
	*h = q
	return top
}
