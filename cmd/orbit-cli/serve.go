package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/orbit-persistence/orbit/engine"
	"github.com/orbit-persistence/orbit/providers"
	"github.com/orbit-persistence/orbit/providers/all"
	"github.com/orbit-persistence/orbit/providers/config"
	orbitprometheus "github.com/orbit-persistence/orbit/providers/prometheus"
	"github.com/orbit-persistence/orbit/providers/protocol"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"
)

// serveCommand holds the stores of the protocols open.
type serveCommand struct {
	DataDir string `placeholder:"DIR" help:"The server's directory; without it, data_dir of [server] in the configuration, or ORBIT_SERVER_DATA_DIR."`
	Config  string `placeholder:"FILE" help:"A configuration in TOML or JSON. Its providers are opened too."`
	Listen  string `default:"127.0.0.1:9600" placeholder:"ADDRESS" help:"Where health and metrics are served over HTTP; port 0 takes any that is free."`
}

// Help is what --help says below the summary.
func (serveCommand) Help() string {
	return `Opens the stores of the seven protocols below the server's directory, each in
DIR/PROTOCOL/rocksdb, makes what is not there, and holds them open until SIGINT or SIGTERM.
Over HTTP it serves

  /health   JSON; status 200 while nothing is unhealthy, 503 else
  /metrics  for Prometheus

  orbit-cli serve --data-dir /var/lib/orbit
  orbit-cli serve --config orbit.toml --listen 0.0.0.0:9600

When all is open it prints the address, and nothing else, to standard output. It needs a
program that was built with RocksDB, as make build does.

Exit codes:
  0  it was told to end, and everything is closed
  1  something could not be opened or closed
  2  the command was called wrongly
`
}

// Run serves until a signal.
func (c *serveCommand) Run(ctx context.Context) error {
	read, err := config.Read(c.Config, os.Environ())
	if err != nil {
		return oneLine(err)
	}
	dir := c.DataDir
	if dir == "" {
		dir = read.Server.DataDir
	}
	if c.Config == "" {
		read.Providers = nil // only a file asks for them
	}
	if err := apart(dir, read); err != nil {
		return err
	}
	ctx, stop := interruptible(ctx)
	defer stop()
	return c.serve(ctx, dir, read)
}

// apart returns an error if a provider lies where the store of a protocol does.
func apart(dir string, c *config.Config) error {
	for name, b := range c.Providers {
		for _, place := range directoriesOf(b) {
			for _, p := range protocol.All() {
				mine, err := filepath.Abs(filepath.Join(dir, string(p)))
				if err != nil {
					return err
				}
				theirs, err := filepath.Abs(place)
				if err != nil {
					return err
				}
				if theirs == mine || strings.HasPrefix(theirs, mine+string(filepath.Separator)) {
					return fmt.Errorf("provider %q: %w: it lies in %s, where the store of the protocol %s does; give it another data_dir", name, engine.ErrInvalid, place, p)
				}
			}
		}
	}
	return nil
}

// server is what serve has open.
type server struct {
	stores    *protocol.Stores
	providers []*providers.Provider
}

// serve opens everything, serves until ctx ends, and closes everything.
func (c *serveCommand) serve(ctx context.Context, dir string, read *config.Config) (err error) {
	listener, err := net.Listen("tcp", c.Listen)
	if err != nil {
		return fmt.Errorf("--listen %s: %w", c.Listen, err)
	}
	defer func() {
		if closeErr := listener.Close(); closeErr != nil && !errors.Is(closeErr, net.ErrClosed) {
			err = errors.Join(err, closeErr)
		}
	}()
	var s server
	if s.stores, err = protocol.Open(ctx, dir, protocol.Options{}); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.stores.Close()) }()
	registry, err := all.Open(ctx, read)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, registry.Close()) }()
	for _, name := range registry.Names() {
		p, err := registry.Get(name)
		if err != nil {
			return err
		}
		s.providers = append(s.providers, p)
	}
	handler, err := s.handler()
	if err != nil {
		return err
	}
	if _, err := fmt.Printf("http://%s\n", listener.Addr()); err != nil {
		return err
	}
	web := &http.Server{Handler: handler, ReadHeaderTimeout: 10 * time.Second}
	served := make(chan error, 1)
	go func() { served <- web.Serve(listener) }()
	select {
	case err := <-served:
		return fmt.Errorf("serve %s: %w", listener.Addr(), err)
	case <-ctx.Done():
	}
	ending, cancel := context.WithTimeout(context.WithoutCancel(ctx), 10*time.Second)
	defer cancel()
	err = web.Shutdown(ending)
	<-served // http.ErrServerClosed
	return err
}

// sources are those of the metrics.
func (s *server) sources() []orbitprometheus.Source {
	var all []orbitprometheus.Source
	for _, store := range s.stores.List() {
		all = append(all, store)
	}
	for _, p := range s.providers {
		all = append(all, p)
	}
	return all
}

func (s *server) handler() (http.Handler, error) {
	registry := prometheus.NewRegistry()
	for _, c := range []prometheus.Collector{orbitprometheus.New(s.sources), collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{})} {
		if err := registry.Register(c); err != nil {
			return nil, err
		}
	}
	mux := http.NewServeMux()
	mux.Handle("GET /metrics", promhttp.HandlerFor(registry, promhttp.HandlerOpts{}))
	mux.HandleFunc("GET /health", s.health)
	return mux, nil
}

// health answers with the health of every store and provider.
func (s *server) health(w http.ResponseWriter, r *http.Request) {
	worst := providers.Healthy
	var healths []providerHealth
	add := func(name, backend string, h providers.Health) {
		worst = max(worst, h.State)
		healths = append(healths, providerHealth{name, backend, h.State.String(), append([]string{}, h.Reasons...)})
	}
	for _, store := range s.stores.List() {
		add(store.Name(), "rocksdb", store.Health(r.Context()))
	}
	for _, p := range s.providers {
		add(p.Name(), p.Capabilities().Backend, p.Health(r.Context()))
	}
	w.Header().Set("Content-Type", "application/json")
	if worst == providers.Unhealthy {
		w.WriteHeader(http.StatusServiceUnavailable)
	}
	_ = json.NewEncoder(w).Encode(map[string]any{"state": worst.String(), "providers": healths}) // whoever asked has gone
}
