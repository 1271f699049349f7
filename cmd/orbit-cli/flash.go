package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
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
}

// Run prints a line for each path. A path that does not count is an error.
func (c *flashStatus) Run(ctx context.Context) error {
	list, err := flash.Status(ctx, vfs.OS(), c.Paths)
	degraded := 0
	for _, p := range list {
		degraded += printPath(p)
	}
	if err == nil && degraded > 0 {
		err = fmt.Errorf("degraded: %d of %d paths do not count", degraded, len(list))
	}
	return err
}

// printPath prints a path, and returns 1 if it does not count.
func printPath(p flash.PathStatus) int {
	if p.InSync {
		fmt.Printf("%s  in sync; checkpoint of commit %d, %d entries\n", p.Dir, p.Commit, p.Entries)
		return 0
	}
	fmt.Printf("%s  out of sync: %v\n", p.Dir, p.Cause)
	return 1
}

type flashScrub struct{ flashPaths }

// Run scrubs, and tells what it has found.
func (c *flashScrub) Run(ctx context.Context) (err error) {
	ctx, stop := signal.NotifyContext(ctx, os.Interrupt)
	defer stop()
	e, err := c.open(ctx)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, e.Close()) }()
	var last time.Time
	report, err := e.Scrub(ctx, func(r flash.ScrubReport) {
		if time.Since(last) > time.Second {
			last = time.Now()
			fmt.Fprintf(os.Stderr, "%d of %d MiB read, %d pieces mended, %d values damaged\n", r.Bytes>>20, r.Total>>20, r.Repaired, r.Damaged)
		}
	})
	fmt.Printf("%d segments, %d values, %d bytes read; %d pieces mended, %d values damaged in every path\n",
		report.Segments, report.Values, report.Bytes, report.Repaired, report.Damaged)
	return err
}

type flashRebuild struct{ flashPaths }

// Run waits until every path counts.
func (c *flashRebuild) Run(ctx context.Context) (err error) {
	ctx, stop := signal.NotifyContext(ctx, os.Interrupt)
	defer stop()
	e, err := c.open(ctx)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, e.Close()) }()
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	for n := 0; ; n++ {
		away := 0
		for _, p := range e.Paths() {
			if p.InSync {
				continue
			}
			away++
			if n%10 == 9 {
				fmt.Fprintf(os.Stderr, "%s  %d of %d MiB copied; %v\n", p.Dir, p.Copied>>20, p.Total>>20, p.Cause)
			}
			if errors.Is(p.Cause, engine.ErrInvalid) || errors.Is(p.Cause, engine.ErrLocked) || errors.Is(p.Cause, engine.ErrUnsupported) {
				return fmt.Errorf("rebuild %s: %w", p.Dir, p.Cause)
			}
		}
		if away == 0 {
			break
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-tick.C:
		}
	}
	for _, p := range e.Paths() {
		fmt.Printf("%s  in sync; %d bytes copied\n", p.Dir, p.Copied)
	}
	if c.Force {
		return raiseRevisions(ctx, e)
	}
	return nil
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
