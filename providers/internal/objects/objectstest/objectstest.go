package objectstest

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"testing"
	"time"

	"github.com/orbit-persistence/orbit/internal/fight"
	"github.com/orbit-persistence/orbit/internal/wire"
	"github.com/orbit-persistence/orbit/providers"
	"github.com/orbit-persistence/orbit/providers/driver"
	"github.com/orbit-persistence/orbit/providers/drivertest"
	"github.com/orbit-persistence/orbit/providers/intent"
	"go.uber.org/goleak"
)

// Opener opens the store under test: at a server's address, in a bucket that is there,
// with a prefix.
type Opener func(ctx context.Context, address, prefix string) (driver.Store, error)

// Service is a service under test.
type Service struct {
	// Server names it, with its version; Emulator says that it is not the service
	// itself.
	Server   string
	Emulator bool
	// Address is where it listens, and Open opens a store there.
	Address string
	Open    Opener
	// Restart ends the server in whatever way it survives, and starts it again; nil if it
	// survives none.
	Restart func()
	// MayDeny: a server that has just started denies what it allows later.
	MayDeny bool
}

// place makes a prefix of the name of a directory.
func place(dir string) string {
	sum := sha256.Sum256([]byte(dir))
	return "t/" + hex.EncodeToString(sum[:8])
}

// Conformance runs the suite over the store as it is, and with transactions above it.
func Conformance(t *testing.T, of Service) {
	for name, wrap := range map[string]func(driver.Store) driver.Store{
		"plain":        func(s driver.Store) driver.Store { return s },
		"transactions": func(s driver.Store) driver.Store { return intent.Wrap(s, intent.Options{}) },
	} {
		t.Run(name, func(t *testing.T) {
			drivertest.Run(t, drivertest.Target{Name: name, Server: of.Server, Emulator: of.Emulator, Operations: 100, Open: func(ctx context.Context, dir string) (driver.Store, error) {
				s, err := of.Open(ctx, of.Address, place(dir))
				if err != nil {
					return nil, err
				}
				return wrap(s), nil
			}})
		})
	}
}

// The environment of a process that Processes has started.
const (
	childAddress = "ORBIT_TEST_CHILD_ADDRESS"
	childPrefix  = "ORBIT_TEST_CHILD_PREFIX"
)

// Main is the TestMain of a package that calls Processes or LeaseFight: it may be one of
// their processes.
func Main(m *testing.M, open Opener) {
	fight.Main(fighter(open))
	if address := os.Getenv(childAddress); address != "" {
		if err := count(context.Background(), open, address, os.Getenv(childPrefix)); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	goleak.VerifyTestMain(runner{m}, wire.Ignored...)
}

const (
	processes = 3
	transfers = 12
)

var accounts = [2][]byte{[]byte("account/1"), []byte("account/2")}

// Processes moves money in several processes at once, each as transactions of its own
// provider: nothing is lost.
func Processes(t *testing.T, of Service) {
	prefix := place(t.TempDir())
	store, err := of.Open(t.Context(), of.Address, prefix)
	if err != nil {
		t.Fatal(err)
	}
	p := providers.OpenStore(store, providers.Config{Name: "parent"})
	defer p.Close()
	for i, amount := range []string{"1000", "0"} {
		if _, err := p.Put(t.Context(), accounts[i], []byte(amount), providers.PutOptions{}); err != nil {
			t.Fatal(err)
		}
	}
	program, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, processes)
	for range processes {
		cmd := exec.CommandContext(t.Context(), program)
		cmd.Env = append(os.Environ(), childAddress+"="+of.Address, childPrefix+"="+prefix)
		go func() {
			out, err := cmd.CombinedOutput()
			if err != nil {
				err = fmt.Errorf("%w: %s", err, out)
			}
			ended <- err
		}()
	}
	for range processes {
		if err := <-ended; err != nil {
			t.Error(err)
		}
	}
	for i, want := range []int{1000 - processes*transfers, processes * transfers} {
		if got, err := amount(t.Context(), p, accounts[i]); got != want || err != nil {
			t.Errorf("%s has %d, %v; want %d", accounts[i], got, err, want)
		}
	}
}

func amount(ctx context.Context, p interface {
	Get(ctx context.Context, key []byte) (providers.Entry, error)
}, key []byte) (int, error) {
	e, err := p.Get(ctx, key)
	if err != nil {
		return 0, err
	}
	return strconv.Atoi(string(e.Value))
}

// count is what each of the processes does.
func count(ctx context.Context, open Opener, address, prefix string) error {
	ctx, cancel := context.WithTimeout(ctx, 2*time.Minute)
	defer cancel()
	store, err := open(ctx, address, prefix)
	if err != nil {
		return err
	}
	p := providers.OpenStore(store, providers.Config{Name: "child", Retry: providers.Retry{Timeout: time.Minute}})
	for range transfers {
		err := p.Update(ctx, func(tx *providers.Tx) error {
			for i, by := range []int{-1, 1} {
				n, err := amount(ctx, tx, accounts[i])
				if err != nil {
					return err
				}
				if err := tx.Put(ctx, accounts[i], []byte(strconv.Itoa(n+by)), providers.PutOptions{}); err != nil {
					return err
				}
			}
			return nil
		})
		if err != nil {
			return errors.Join(err, p.Close())
		}
	}
	return p.Close()
}
