package servers

import (
	"bufio"
	"context"
	"fmt"
	"net"
	"strings"
	"testing"
	"time"
)

// Redis is a Redis server.
type Redis struct {
	*Process
	Address string // host and port; over TLS where it was asked for
}

// RedisOptions set up a server. The zero value is without password and TLS, and flushes
// its append-only file every second.
type RedisOptions struct {
	// Cert, Key and CA are files for TLS, "" is none.
	Cert, Key, CA string
	// Args are added.
	Args []string
}

// StartRedis starts a server with an append-only file.
func StartRedis(t testing.TB, o RedisOptions) *Redis {
	t.Helper()
	return startRedis(t, Address(t), o)
}

func startRedis(t testing.TB, address string, o RedisOptions) *Redis {
	t.Helper()
	_, port, err := net.SplitHostPort(address)
	if err != nil {
		t.Fatal(err)
	}
	args := []string{"--bind", "127.0.0.1", "--save", "", "--appendonly", "yes", "--loglevel", "warning", "--databases", "4"}
	if o.Cert != "" {
		args = append(args, "--port", "0", "--tls-port", port, "--tls-cert-file", o.Cert, "--tls-key-file", o.Key, "--tls-ca-cert-file", o.CA, "--tls-auth-clients", "no")
	} else {
		args = append(args, "--port", port)
	}
	ready := listening(address)
	if o.Cert == "" {
		ready = answering(address)
	}
	return &Redis{Process: Start(t, Command{Path: Program(t, "redis"), Args: append(args, o.Args...), Ready: ready}), Address: address}
}

// answering asks whether Redis answers a PING, be it with a refusal, and has read its file.
func answering(address string) func(context.Context) error {
	return func(ctx context.Context) error {
		reply, err := redisCommand(ctx, address, "PING")
		if err == nil && strings.Contains(reply, "LOADING") {
			err = fmt.Errorf("it says %s", reply)
		}
		return err
	}
}

// redisCommand sends a command, and returns what is answered, until the server has nothing
// more to say of it.
func redisCommand(ctx context.Context, address string, words ...string) (string, error) {
	var d net.Dialer
	c, err := d.DialContext(ctx, "tcp", address)
	if err != nil {
		return "", err
	}
	defer c.Close()
	if err := c.SetDeadline(time.Now().Add(10 * time.Second)); err != nil {
		return "", err
	}
	if _, err := fmt.Fprintf(c, "%s\r\n", strings.Join(words, " ")); err != nil {
		return "", err
	}
	in := bufio.NewReader(c)
	line, err := in.ReadString('\n')
	if err != nil {
		return "", err
	}
	line = strings.TrimSpace(line)
	var n int
	if _, err := fmt.Sscanf(line, "$%d", &n); err != nil {
		return line, nil
	}
	body := make([]byte, n)
	for read := 0; read < n; {
		k, err := in.Read(body[read:])
		if err != nil {
			return "", err
		}
		read += k
	}
	return string(body), nil
}

// RedisCluster is a cluster of three masters, each with a replica.
type RedisCluster struct {
	Nodes []*Redis // the first three were made masters
}

// StartRedisCluster starts a cluster of six, and waits until every replica follows its
// master. A master that is silent for a second is replaced.
func StartRedisCluster(t testing.TB) *RedisCluster {
	t.Helper()
	c := &RedisCluster{}
	ids := make([]string, 6)
	for range 6 {
		c.Nodes = append(c.Nodes, startRedis(t, Address(t), RedisOptions{Args: []string{
			"--cluster-enabled", "yes", "--cluster-node-timeout", "1000", "--repl-diskless-sync-delay", "0",
			"--cluster-port", portOf(t, Address(t)), "--cluster-replica-validity-factor", "0",
		}}))
	}
	ctx, cancel := context.WithTimeout(t.Context(), readyWithin)
	defer cancel()
	do := func(i int, words ...string) string {
		t.Helper()
		reply, err := redisCommand(ctx, c.Nodes[i].Address, words...)
		if err != nil || strings.HasPrefix(reply, "-") {
			t.Fatalf("%s at node %d: %s, %v", strings.Join(words, " "), i, reply, err)
		}
		return reply
	}
	until := func(i int, text string, words ...string) {
		t.Helper()
		for !strings.Contains(do(i, words...), text) {
			if ctx.Err() != nil {
				t.Fatalf("node %d does not come to %q", i, text)
			}
			time.Sleep(20 * time.Millisecond)
		}
	}
	for i := range c.Nodes {
		ids[i] = do(i, "CLUSTER", "MYID")
		do(i, "CLUSTER", "SET-CONFIG-EPOCH", fmt.Sprint(i+1))
	}
	for i, n := range c.Nodes[1:] {
		host, port, err := net.SplitHostPort(n.Address)
		if err != nil {
			t.Fatal(err)
		}
		do(0, "CLUSTER", "MEET", host, port, c.busPort(t, i+1))
	}
	bounds := []int{0, 5461, 10923, 16384}
	for i := range 3 {
		do(i, "CLUSTER", "ADDSLOTSRANGE", fmt.Sprint(bounds[i]), fmt.Sprint(bounds[i+1]-1))
	}
	for i := range c.Nodes {
		until(i, "cluster_known_nodes:6", "CLUSTER", "INFO")
	}
	for i := 3; i < 6; i++ {
		until(i, ids[i-3], "CLUSTER", "NODES")
		do(i, "CLUSTER", "REPLICATE", ids[i-3])
	}
	for i := range c.Nodes {
		until(i, "cluster_state:ok", "CLUSTER", "INFO")
	}
	for i := 3; i < 6; i++ {
		until(i, "master_link_status:up", "INFO", "replication")
	}
	for i := range 3 {
		until(i, "connected_slaves:1", "INFO", "replication")
	}
	return c
}

func portOf(t testing.TB, address string) string {
	t.Helper()
	_, port, err := net.SplitHostPort(address)
	if err != nil {
		t.Fatal(err)
	}
	return port
}

// busPort returns the port on which a node speaks to others.
func (c *RedisCluster) busPort(t testing.TB, i int) string {
	t.Helper()
	args := c.Nodes[i].command.Args
	for j, arg := range args {
		if arg == "--cluster-port" {
			return args[j+1]
		}
	}
	t.Fatal("a node without a bus")
	return ""
}
