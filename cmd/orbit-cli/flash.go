package main

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"time"

	"github.com/orbit-persistence/orbit/engine"
	"github.com/orbit-persistence/orbit/engine/flash"
	"github.com/orbit-persistence/orbit/engine/vfs"
	"github.com/orbit-persistence/orbit/providers/config"
	"github.com/orbit-persistence/orbit/providers/local"
)

// flashCommand looks after the paths of a flash store.
type flashCommand struct {
	Status  flashStatus  `cmd:"" help:"Tell how each path of a closed store is; changes nothing."`
	Scrub   flashScrub   `cmd:"" help:"Read every value in every path, and mend what is damaged in one of them."`
	Rebuild flashRebuild `cmd:"" help:"Bring level the paths that are behind, or that were replaced by empty directories."`
}

// flashPaths is how a store is named.
type flashPaths struct {
	Paths []string `arg:"" help:"The paths of the store, all of them, in their order."`
	Force bool     `help:"Go on without a path that is missing or empty and may be the newest: what it alone has is lost."`
	Rate  int64    `help:"The most that is read or copied, in MiB a second; 0 for no bound." default:"0"`
	outputFlags
}

func (p flashPaths) open(ctx context.Context) (*flash.Engine, error) {
	rate := p.Rate << 20
	if rate <= 0 {
		rate = -1
	}
	return flash.Open(ctx, p.Paths[0], flash.Options{Paths: p.Paths, Force: p.Force, ResyncRate: rate, CacheBytes: -1, PageCache: true})
}

type flashStatus struct {
	Paths []string `arg:"" help:"The paths of the store, all of them, in their order."`
	JSON  bool     `name:"json" help:"Print the paths as JSON to standard output; beside them {\"errors\": [...]}, if one does not count."`
}

// flashPath is how a path is.
type flashPath struct {
	Path   string `json:"path"`
	InSync bool   `json:"in_sync"`
	// Commit is that of the path's checkpoint.
	Commit  uint64 `json:"commit,omitempty"`
	Entries uint64 `json:"entries,omitempty"`
	// Copied is in bytes.
	Copied int64  `json:"copied,omitempty"`
	Cause  string `json:"cause,omitempty"`
}

// Run prints a line for each path. A path that does not count is an error.
func (c *flashStatus) Run(ctx context.Context) error {
	list, err := flash.Status(ctx, vfs.OS(), c.Paths)
	degraded := 0
	paths := []flashPath{}
	for _, p := range list {
		if !p.InSync {
			degraded++
			paths = append(paths, flashPath{Path: p.Dir, Cause: fmt.Sprint(p.Cause)})
			continue
		}
		paths = append(paths, flashPath{Path: p.Dir, InSync: true, Commit: p.Commit, Entries: p.Entries})
	}
	if err == nil && degraded > 0 {
		err = fmt.Errorf("degraded: %d of %d paths do not count", degraded, len(list))
	}
	return told(c.JSON, map[string]any{"paths": paths}, err, func() {
		for _, p := range paths {
			if p.InSync {
				fmt.Printf("%s  in sync; checkpoint of commit %d, %d entries\n", p.Path, p.Commit, p.Entries)
			} else {
				fmt.Printf("%s  out of sync: %s\n", p.Path, p.Cause)
			}
		}
	})
}

// told prints what was found out, also where that is an error, as JSON or by text.
func told(asJSON bool, found map[string]any, err error, text func()) error {
	if !asJSON {
		text()
		return err
	}
	if err != nil {
		maps.Copy(found, failure(err))
	}
	return errors.Join(err, writeJSON(os.Stdout, found))
}

type flashScrub struct{ flashPaths }

// Run scrubs, and tells what it has found.
func (c *flashScrub) Run(ctx context.Context) error {
	ctx, stop := interruptible(ctx)
	defer stop()
	r, err := c.scrub(ctx)
	return told(c.JSON, map[string]any{
		"segments": r.Segments, "values": r.Values, "bytes": r.Bytes, "pieces_mended": r.Repaired, "values_damaged": r.Damaged,
	}, err, func() {
		fmt.Printf("%d segments, %d values, %d bytes read; %d pieces mended, %d values damaged in every path\n",
			r.Segments, r.Values, r.Bytes, r.Repaired, r.Damaged)
	})
}

func (c *flashScrub) scrub(ctx context.Context) (r flash.ScrubReport, err error) {
	e, err := c.open(ctx)
	if err != nil {
		return r, err
	}
	defer func() { err = errors.Join(err, e.Close()) }()
	say := c.line()
	defer say("")
	return e.Scrub(ctx, func(r flash.ScrubReport) {
		say(fmt.Sprintf("%d of %d MiB read, %d pieces mended, %d values damaged", r.Bytes>>20, r.Total>>20, r.Repaired, r.Damaged))
	})
}

type flashRebuild struct{ flashPaths }

// Run waits until every path counts.
func (c *flashRebuild) Run(ctx context.Context) error {
	ctx, stop := interruptible(ctx)
	defer stop()
	paths, err := c.rebuild(ctx)
	return told(c.JSON, map[string]any{"paths": paths}, err, func() {
		if err != nil {
			return
		}
		for _, p := range paths {
			fmt.Printf("%s  in sync; %d bytes copied\n", p.Path, p.Copied)
		}
	})
}

func (c *flashRebuild) rebuild(ctx context.Context) (paths []flashPath, err error) {
	e, err := c.open(ctx)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, e.Close()) }()
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	say := c.line()
	defer say("")
	for {
		away := 0
		for _, p := range e.Paths() {
			if p.InSync {
				continue
			}
			away++
			say(fmt.Sprintf("%s  %d of %d MiB copied; %v", p.Dir, p.Copied>>20, p.Total>>20, p.Cause))
			if errors.Is(p.Cause, engine.ErrInvalid) || errors.Is(p.Cause, engine.ErrLocked) || errors.Is(p.Cause, engine.ErrUnsupported) {
				return nil, fmt.Errorf("rebuild %s: %w", p.Dir, p.Cause)
			}
		}
		if away == 0 {
			break
		}
		select {
		case <-ctx.Done():
			return nil, fmt.Errorf("%w; run the same command again to go on", context.Cause(ctx))
		case <-tick.C:
		}
	}
	for _, p := range e.Paths() {
		paths = append(paths, flashPath{Path: p.Dir, InSync: true, Copied: p.Copied})
	}
	if c.Force {
		err = raiseRevisions(ctx, e)
	}
	return paths, err
}

// raiseRevisions lets the revisions of a provider's store begin above all that were ever
// given, since the store may have gone back: whoever knows a revision of what is lost
// must not meet it again. A store that no provider has made is left alone.
func raiseRevisions(ctx context.Context, e *flash.Engine) error {
	it, err := e.NewIterator(engine.IterOptions{KeysOnly: true})
	if err != nil {
		return err
	}
	empty := !it.First()
	if err := errors.Join(it.Err(), it.Close()); err != nil || empty {
		return err
	}
	s, err := local.New(ctx, e, local.Options{Backend: string(config.KindFlash)})
	if errors.Is(err, engine.ErrInvalid) {
		return nil
	}
	if err != nil {
		return err
	}
	return s.(interface {
		RaiseRevisions(ctx context.Context, least uint64) error
	}).RaiseRevisions(ctx, uint64(time.Now().UnixNano()))
}
