package simdisk

import (
	"fmt"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
)

// Site is a place in a program that calls methods of the disk: the innermost
// function that is neither of packages vfs and simdisk nor Options.Transparent.
type Site struct {
	// Name is the function with its package's path, and the file and line of the
	// call: "example.org/p.(*Log).flush log.go:88". In a queue it is "unknown",
	// since the call comes from the queue's own goroutine.
	Name string
	// Op is the method; one, so that a line may have several Sites.
	Op Op
	// Count is how often it was called.
	Count int64
	// Calls are the places of these calls among all of the method, from 1: what
	// Fault.Nth says of a Fault for every file.
	Calls []int
}

type siteKey struct {
	name string
	op   Op
}

// Sites returns the sites of all calls so far in ascending order of Name and Op.
// It needs Options.Sites.
func (d *Disk) Sites() []Site {
	d.s.mu.Lock()
	defer d.s.mu.Unlock()
	sites := make([]Site, 0, len(d.s.sites))
	for _, s := range d.s.sites {
		site := *s
		site.Calls = slices.Clone(s.Calls)
		sites = append(sites, site)
	}
	slices.SortFunc(sites, func(a, b Site) int {
		if c := strings.Compare(a.Name, b.Name); c != 0 {
			return c
		}
		return int(a.Op) - int(b.Op)
	})
	return sites
}

// IgnoreFlush makes the flushes of that site lie from now on: Sync, SyncData,
// SyncDir and writes with DSync return nil, and nothing is durable. The event has
// "ignored" for an error.
func (d *Disk) IgnoreFlush(site string) {
	d.s.mu.Lock()
	defer d.s.mu.Unlock()
	if d.s.lies == nil {
		d.s.lies = make(map[string]bool)
	}
	d.s.lies[site] = true
}

// visit counts a call at its site, and reports whether flushes of that lie.
func (s *state) visit(op Op) bool {
	name := s.site()
	if s.sites != nil {
		key := siteKey{name, op}
		at := s.sites[key]
		if at == nil {
			at = &Site{Name: name, Op: op}
			s.sites[key] = at
		}
		at.Count++
		s.visits[op]++
		at.Calls = append(at.Calls, s.visits[op])
	}
	return s.lies[name]
}

// site returns the name of the site that calls.
func (s *state) site() string {
	var pcs [32]uintptr
	frames := runtime.CallersFrames(pcs[:runtime.Callers(3, pcs[:])])
	for {
		f, more := frames.Next()
		if f.Function != "" && !s.passesOver(f.Function) {
			return fmt.Sprintf("%s %s:%d", f.Function, filepath.Base(f.File), f.Line)
		}
		if !more {
			return "unknown"
		}
	}
}

func (s *state) passesOver(function string) bool {
	const vfs = "github.com/orbit-persistence/orbit/engine/vfs"
	if strings.HasPrefix(function, vfs+".") || strings.HasPrefix(function, vfs+"/simdisk.") || strings.HasPrefix(function, "runtime.") {
		return true
	}
	return slices.ContainsFunc(s.options.Transparent, func(prefix string) bool { return strings.HasPrefix(function, prefix) })
}
