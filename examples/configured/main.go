// Command configured opens the providers of a configuration, and of the variables that
// go before it; joins the cluster, takes a lease, and shows who holds what. Try
//
//	go run ./examples/configured examples/configured/orbit.toml
//	go run ./cmd/orbit-cli leases --config examples/configured/orbit.toml
package main

import (
	"context"
	"errors"
	"fmt"
	"log"
	"os"
	"time"

	"github.com/orbit-persistence/orbit/providers"
	"github.com/orbit-persistence/orbit/providers/all"
	"github.com/orbit-persistence/orbit/providers/config"
	"github.com/orbit-persistence/orbit/providers/lease"
	"github.com/orbit-persistence/orbit/providers/node"
)

func main() {
	if len(os.Args) != 2 {
		log.Fatal("configured FILE: opens the providers of a configuration")
	}
	if err := run(context.Background(), os.Args[1]); err != nil {
		log.Fatal(err)
	}
}

func run(ctx context.Context, file string) (err error) {
	c, err := config.Read(file, os.Environ())
	if err != nil {
		return err // every mistake, with its line or variable
	}
	registry, err := all.Open(ctx, c)
	if err != nil {
		return err // which provider, and why; none stays open
	}
	defer func() { err = errors.Join(err, registry.Close()) }()
	addressable, err := registry.Default(providers.Addressable)
	if err != nil {
		return err
	}
	cluster, err := registry.Default(providers.Cluster)
	if err != nil {
		return err
	}

	home := node.ID{Namespace: "default", Key: "node-1"}
	nodes, leases := node.New(cluster, node.Options{}), lease.New(addressable, lease.Options{})
	if err := nodes.Store(ctx, node.Info{ID: home, URL: "http://localhost", Port: 7000, Status: node.Active}); err != nil {
		return err
	}
	player := lease.Reference{Type: "Player", Key: lease.StringKey("ada")}
	if _, err := leases.Acquire(ctx, player, home, 5*time.Minute); err != nil {
		return err
	}
	for l, err := range leases.ListNode(ctx, home) {
		if err != nil {
			return err
		}
		fmt.Println(l.Reference, "is held by", l.Node)
	}
	fmt.Println(addressable.Name(), "is", addressable.Health(ctx).State)
	return nil
}
