package servers

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
)

// Etcd is a cluster of etcd.
type Etcd struct{ Members []*EtcdMember }

// EtcdMember is one member of a cluster.
type EtcdMember struct {
	*Process
	Address string // host and port for clients
	URL     string
}

// EtcdOptions set up a cluster. The zero value is without TLS.
type EtcdOptions struct {
	// Cert and Key are files with what the servers show to clients, "" is no TLS.
	Cert, Key string
	// ClientCA is a file with the authority whose certificates clients must show.
	ClientCA string
}

// EtcdCluster starts a cluster of n members, and waits until each serves.
func EtcdCluster(t testing.TB, n int, o EtcdOptions) *Etcd {
	t.Helper()
	path := Program(t, "etcd")
	scheme := "http://"
	if o.Cert != "" {
		scheme = "https://"
	}
	c := &Etcd{}
	var clients, peers, metrics, initial []string
	for i := range n {
		clients, peers, metrics = append(clients, Address(t)), append(peers, Address(t)), append(metrics, Address(t))
		initial = append(initial, fmt.Sprintf("m%d=http://%s", i, peers[i]))
	}
	// A member of a new cluster serves once the others are there, too.
	var formed atomic.Bool
	serves := func(i int) func(context.Context) error {
		return func(ctx context.Context) error {
			r, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+metrics[i]+"/readyz", nil)
			if err != nil {
				return err
			}
			client := http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
			response, err := client.Do(r)
			if err != nil {
				return err
			}
			response.Body.Close()
			if formed.Load() && response.StatusCode != http.StatusOK {
				return fmt.Errorf("member %d is not ready: %s", i, response.Status)
			}
			return nil
		}
	}
	for i := range n {
		args := []string{
			"--name", fmt.Sprint("m", i), "--data-dir", "data", "--log-level", "warn",
			"--listen-client-urls", scheme + clients[i], "--advertise-client-urls", scheme + clients[i],
			"--listen-peer-urls", "http://" + peers[i], "--initial-advertise-peer-urls", "http://" + peers[i],
			"--listen-metrics-urls", "http://" + metrics[i],
			"--initial-cluster", strings.Join(initial, ","), "--initial-cluster-token", t.Name(),
		}
		if o.Cert != "" {
			args = append(args, "--cert-file", o.Cert, "--key-file", o.Key)
		}
		if o.ClientCA != "" {
			args = append(args, "--client-cert-auth", "--trusted-ca-file", o.ClientCA)
		}
		m := &EtcdMember{Address: clients[i], URL: scheme + clients[i]}
		ready := serves(i)
		if n > 1 && i < n-1 {
			ready = func(ctx context.Context) error {
				if formed.Load() {
					return serves(i)(ctx)
				}
				return nil
			}
		}
		m.Process = Start(t, Command{Path: path, Args: args, Ready: ready})
		c.Members = append(c.Members, m)
	}
	formed.Store(true)
	for _, m := range c.Members {
		m.WaitReady()
	}
	return c
}

// Endpoints are the URLs of all members.
func (c *Etcd) Endpoints() []string {
	var urls []string
	for _, m := range c.Members {
		urls = append(urls, m.URL)
	}
	return urls
}
