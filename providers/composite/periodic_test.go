package composite_test

import (
	"fmt"
	"maps"
	"strings"
	"testing"
	"time"

	"github.com/orbit-persistence/orbit/providers/composite"
	"github.com/orbit-persistence/orbit/providers/driver"
)

func periodic(c *composite.Config) { c.Mode, c.SyncInterval = composite.Periodic, 10*time.Second }

// TestPeriodic: the backup is level after each interval, Status tells by how much it is
// behind, and a failover loses that, counts it, and nothing else.
func TestPeriodic(t *testing.T) {
	w := newWorld(t)
	p := w.open(periodic)
	for i := range 20 {
		p.mustPut(fmt.Sprint("k", i), "1")
	}
	w.clock.Advance(10 * time.Second)
	p.tick()
	if a, b := w.rows(0), w.rows(1); !maps.Equal(a, b) || len(a) != 20 {
		t.Fatalf("%d rows and %d, %+v", len(a), len(b), p.status())
	}
	synchronised := p.status().Synchronised
	if s := p.status(); s.Behind != 0 || !s.Since.IsZero() || synchronised.IsZero() {
		t.Errorf("level: %+v", s)
	}
	w.clock.Advance(time.Second)
	p.mustPut("k0", "2")
	if err := p.Delete(t.Context(), []byte("k1"), driver.DeleteOptions{}); err != nil {
		t.Fatal(err)
	}
	p.mustPut("new", "2")
	if s := p.status(); s.Behind != 3 || w.clock.Now().Sub(s.Since) != 0 {
		t.Errorf("three writes later: %+v", s)
	}
	if r := p.Store.(driver.Reporter).Report(); r.Degraded != "" {
		t.Errorf("degraded: %s", r.Degraded)
	}
	p.wires[0].set(dead)
	p.fails(func() error { _, err := p.get("k2"); return err })
	p.serves("backup", true)
	p.has("k0", "1")
	p.has("k1", "1")
	p.has("new", "-")
	p.mustPut("k3", "3")
	if s := p.status(); s.Lost != 3 {
		t.Errorf("%d lost; three were not synchronised", s.Lost)
	}
	if r := p.Store.(driver.Reporter).Report(); !strings.Contains(r.Degraded, "backup serves") || !strings.Contains(r.Degraded, "lost up to 3") {
		t.Errorf("degraded: %s", r.Degraded)
	}
	p.wires[0].set(sound)
	p.tick()
	p.serves("primary", true)
	p.has("k0", "1")
	p.has("new", "-")
	p.has("k3", "3")
	p.mustPut("k4", "4")
	w.clock.Advance(10 * time.Second)
	p.tick()
	if a, b := w.rows(0), w.rows(1); !maps.Equal(a, b) {
		t.Fatal("not level")
	}
	// A backup that is out is shown, and delays nothing.
	p.wires[1].set(dead)
	for range 30 {
		p.mustPut("k5", "5")
		p.tick()
	}
	if r := p.Store.(driver.Reporter).Report(); !strings.Contains(r.Degraded, "behind by 1 rows") || !strings.Contains(r.Degraded, "nobody is there") {
		t.Errorf("degraded: %s", r.Degraded)
	}
	p.wires[1].set(sound)
	w.clock.Advance(10 * time.Second)
	p.tick()
	if a, b := w.rows(0), w.rows(1); !maps.Equal(a, b) {
		t.Fatal("not level")
	}
	p.mustPut("last", "6")
	if err := p.Close(); err != nil {
		t.Fatal(err)
	}
	if a, b := w.rows(0), w.rows(1); !maps.Equal(a, b) || a["last"] == "" {
		t.Fatal("closed, and the backup is not level")
	}
}

// TestPeriodicIsOneMoment: what a synchronisation copies is one moment of the primary:
// a commit is on the backup as a whole.
func TestPeriodicIsOneMoment(t *testing.T) {
	w := newWorld(t)
	p := w.open(periodic)
	stop, ended := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(ended)
		for n := 0; ; n++ {
			select {
			case <-stop:
				return
			default:
			}
			m := &driver.Commit{}
			for i := range 10 {
				m.Writes = append(m.Writes, driver.Write{Key: []byte(fmt.Sprint("k", i)), Value: fmt.Append(nil, n)})
			}
			if err := p.Store.(driver.Committer).Commit(t.Context(), m); err != nil {
				t.Error(err)
				return
			}
		}
	}()
	for range 50 {
		w.clock.Advance(10 * time.Second)
		p.tick()
		rows := w.rows(1)
		for i := range 10 {
			if rows[fmt.Sprint("k", i)] != rows["k0"] {
				t.Errorf("the backup has a part of a commit")
			}
		}
	}
	close(stop)
	<-ended
}
