package main

import (
	"context"
	"errors"
	"fmt"
	"text/tabwriter"
	"time"

	"github.com/orbit-persistence/orbit/bench"
	"github.com/orbit-persistence/orbit/providers"
	"github.com/orbit-persistence/orbit/providers/lease"
	"github.com/orbit-persistence/orbit/providers/node"
)

// leasesCommand prints the leases of addressables.
type leasesCommand struct {
	storeFlags
	Node    string `placeholder:"NAMESPACE/KEY" help:"Only those that this node holds; no others are read."`
	Limit   int    `placeholder:"N" help:"No more than N."`
	Expired bool   `help:"Those that have expired, too."`
}

// Help is what --help says below the summary.
func (leasesCommand) Help() string {
	return `Of a configuration, the provider for addressables is looked into, unless --provider
names another.

  orbit-cli leases --config orbit.toml
  orbit-cli leases --config orbit.toml --node default/node-1 --json
` + storeHelp
}

// Run lists the leases.
func (c *leasesCommand) Run(ctx context.Context) error {
	var of node.ID
	if c.Node != "" {
		var err error
		if of, err = node.ParseID(c.Node); err != nil {
			return bench.Usagef("--node: %w", err)
		}
	}
	if c.Limit < 0 {
		return bench.Usagef("--limit %d is below 0", c.Limit)
	}
	return c.with(ctx, providers.Addressable, false, func(s *session, p *providers.Provider) error {
		now, err := timeOf(s, p)
		if err != nil {
			return err
		}
		leases := lease.New(p, lease.Options{IncludeExpired: c.Expired})
		list := leases.List(s.ctx)
		if c.Node != "" {
			list = leases.ListNode(s.ctx, of)
		}
		t := s.table("ADDRESSABLE", "NODE", "EXPIRES", "TOKEN")
		n := 0
		for l, err := range list {
			if err != nil {
				return err
			}
			if s.json {
				err = s.printJSON(l)
			} else {
				t.row(l.Reference.String(), l.Node.String(), expiry(l.ExpiresAt, now), fmt.Sprint(l.Token))
			}
			if n++; err != nil || n == c.Limit {
				return errors.Join(err, t.flush())
			}
		}
		return t.flush()
	})
}

// nodesCommand prints the members of the cluster.
type nodesCommand struct {
	storeFlags
	Active  bool `help:"Only those that take work."`
	Expired bool `help:"Those whose lease has expired, too."`
}

// Help is what --help says below the summary.
func (nodesCommand) Help() string {
	return `Of a configuration, the provider for the cluster is looked into, unless --provider
names another.

  orbit-cli nodes --config orbit.toml
  orbit-cli nodes --config orbit.toml --expired --json
` + storeHelp
}

// Run lists the nodes.
func (c *nodesCommand) Run(ctx context.Context) error {
	if c.Active && c.Expired {
		return bench.Usagef("--active and --expired: a node that has expired takes no work")
	}
	return c.with(ctx, providers.Cluster, false, func(s *session, p *providers.Provider) error {
		now, err := timeOf(s, p)
		if err != nil {
			return err
		}
		nodes := node.New(p, node.Options{IncludeExpired: c.Expired})
		list := nodes.List(s.ctx)
		if c.Active {
			list = nodes.ListActive(s.ctx)
		}
		t := s.table("NODE", "STATUS", "ADDRESS", "EXPIRES", "TYPES")
		for n, err := range list {
			if err != nil {
				return err
			}
			if s.json {
				if err := s.printJSON(n); err != nil {
					return err
				}
				continue
			}
			expires := "never"
			if n.Lease != nil {
				expires = expiry(n.Lease.ExpiresAt, now)
			}
			address := n.URL
			if n.Port != 0 {
				address = fmt.Sprintf("%s port %d", n.URL, n.Port)
			}
			t.row(n.ID.String(), string(n.Status), address, expires, fmt.Sprint(n.Capabilities.AddressableTypes))
		}
		return t.flush()
	})
}

// timeOf returns the time by which leases end: the backend's, else this machine's.
func timeOf(s *session, p *providers.Provider) (time.Time, error) {
	now, err := p.Now(s.ctx)
	if errors.Is(err, providers.ErrUnsupported) {
		return time.Now(), nil
	}
	return now, err
}

// expiry says when something ends.
func expiry(at, now time.Time) string {
	switch {
	case at.IsZero():
		return "never"
	case at.After(now):
		return "in " + at.Sub(now).Round(time.Second).String()
	}
	return "expired " + now.Sub(at).Round(time.Second).String() + " ago"
}

// table prints rows under a head that comes with the first; with JSON it has none.
type table struct {
	w    *tabwriter.Writer
	head []string
}

func (s *session) table(head ...string) *table {
	return &table{w: tabwriter.NewWriter(s.out, 0, 8, 2, ' ', 0), head: head}
}

func (t *table) row(cells ...string) {
	if t.head != nil {
		head := t.head
		t.head = nil
		t.row(head...)
	}
	for i, cell := range cells {
		if i > 0 {
			fmt.Fprint(t.w, "\t")
		}
		fmt.Fprint(t.w, cell)
	}
	fmt.Fprintln(t.w)
}

func (t *table) flush() error { return t.w.Flush() }
