package backup_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"

	"github.com/orbit-persistence/orbit/providers/backup"
)

// asChild makes the test binary back up, or restore, and kill itself at a step of what it
// does with the place: what, a backend, a directory, the step.
const asChild = "ORBIT_TEST_BACKUP"

func runChild() {
	if os.Getenv(asChild) == "" {
		return
	}
	if err := child(os.Args[1], os.Args[2], os.Args[3], os.Args[4]); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	os.Exit(0)
}

// child writes some batches, in between archives and makes a base; or restores.
func child(what, backend, dir, step string) (err error) {
	at, err := strconv.ParseInt(step, 10, 64)
	if err != nil {
		return err
	}
	ctx := context.Background()
	place := &dying{Place: backup.Dir(filepath.Join(dir, "place")), at: at}
	if what == "restore" {
		_, err := backup.Restore(ctx, place, targetOf(backend, filepath.Join(dir, "restored")), backup.Point{})
		return err
	}
	p, err := open(ctx, backend, filepath.Join(dir, "store"))
	if err != nil {
		return err
	}
	b, err := backup.New(p, place, backup.Options{Scratch: filepath.Join(dir, "scratch"), KeepLast: 2, Open: opener(backend)})
	if err != nil {
		return err
	}
	h := history{8}
	n, err := h.judge(ctx, p)
	if err != nil {
		return err
	}
	for round := range 3 {
		for range 30 {
			n++
			if err := h.commit(ctx, p, n); err != nil {
				return err
			}
		}
		if err := flush(p); err != nil {
			return err
		}
		if round == 1 {
			if _, err := b.Base(ctx); err != nil {
				return err
			}
			if _, err := b.Prune(ctx); err != nil {
				return err
			}
		} else if _, err := b.Archive(ctx); err != nil {
			return err
		}
		if round > 0 || !b.NeedsBase() {
			fmt.Println(n) // backed up
		}
	}
	return errors.Join(b.Close(), p.Close())
}

// dying kills its process at one of its steps, also in the middle of an object.
type dying struct {
	backup.Place
	at    int64
	steps atomic.Int64
}

func (d *dying) step() {
	if d.steps.Add(1) == d.at {
		_ = syscall.Kill(os.Getpid(), syscall.SIGKILL)
		select {}
	}
}

func (d *dying) Create(ctx context.Context, name string) (backup.Object, error) {
	d.step()
	o, err := d.Place.Create(ctx, name)
	return &dyingObject{o, d}, err
}

func (d *dying) Open(ctx context.Context, name string) (io.ReadCloser, error) {
	d.step()
	return d.Place.Open(ctx, name)
}

func (d *dying) Remove(ctx context.Context, name string) error {
	d.step()
	defer d.step()
	return d.Place.Remove(ctx, name)
}

type dyingObject struct {
	backup.Object
	of *dying
}

func (o *dyingObject) Write(p []byte) (int, error) {
	half := len(p) / 2
	n, err := o.Object.Write(p[:half])
	if err != nil {
		return n, err
	}
	o.of.step()
	m, err := o.Object.Write(p[half:])
	return n + m, err
}

func (o *dyingObject) Commit() error {
	o.of.step()
	defer o.of.step()
	return o.Object.Commit()
}

// TestKilled: processes that write and back up are killed with SIGKILL at steps of what
// they do with the place, and others go on; then restores are killed, and another one
// restores. What is restored is a prefix of the commits, no shorter than what the last of
// them said was backed up.
func TestKilled(t *testing.T) {
	for _, backend := range loggedBackends {
		t.Run(backend, func(t *testing.T) {
			killed, restores := 0, 0
			for seed := int64(0); seed < 2; seed++ {
				dir := t.TempDir()
				least := uint64(0)
				run := func(what string, step int64) (died bool) {
					cmd := exec.Command(os.Args[0], what, backend, dir, fmt.Sprint(step))
					cmd.Env = append(os.Environ(), asChild+"=1")
					var out, errs bytes.Buffer
					cmd.Stdout, cmd.Stderr = &out, &errs
					err := cmd.Run()
					for _, line := range strings.Fields(out.String()) {
						n, err := strconv.ParseUint(line, 10, 64)
						if err != nil {
							t.Fatal(err)
						}
						least = max(least, n)
					}
					status := cmd.ProcessState.Sys().(syscall.WaitStatus)
					if err != nil && !status.Signaled() {
						t.Fatalf("%s at step %d: %v: %s", what, step, err, errs.String())
					}
					return err != nil
				}
				for round := int64(0); round < 6; round++ {
					if run("backup", 2+(seed*7+round*11)%37) {
						killed++
					}
					// Whatever says that it is a base is one.
					if _, err := backup.Verify(t.Context(), backup.Dir(filepath.Join(dir, "place")), nil); err != nil {
						t.Fatal(err)
					}
				}
				run("backup", 1<<40)
				for round := int64(0); round < 3; round++ {
					if !run("restore", 1+seed+3*round) {
						break
					}
					restores++
					if _, err := os.Stat(filepath.Join(dir, "restored")); !errors.Is(err, os.ErrNotExist) {
						t.Fatalf("a killed restore has left a store: %v", err)
					}
				}
				if _, err := os.Stat(filepath.Join(dir, "restored")); err != nil && run("restore", 1<<40) {
					t.Fatal("the last restore was killed")
				}
				p := mustOpen(t, backend, filepath.Join(dir, "restored"))
				got, err := history{8}.judge(t.Context(), p)
				if err != nil || got < least || least == 0 {
					t.Errorf("seed %d: %d batches, and %d were backed up: %v", seed, got, least, err)
				}
				if _, err := backup.Verify(t.Context(), backup.Dir(filepath.Join(dir, "place")), nil); err != nil {
					t.Error(err)
				}
			}
			if killed < 6 || restores < 2 {
				t.Errorf("%d backups and %d restores were killed", killed, restores)
			}
			t.Logf("%d backups and %d restores were killed", killed, restores)
		})
	}
}
