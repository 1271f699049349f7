package torture

import (
	"context"
	"slices"

	"github.com/orbit-persistence/orbit/engine"
	"github.com/orbit-persistence/orbit/torture/crash"
	"github.com/orbit-persistence/orbit/torture/errors"
	"github.com/orbit-persistence/orbit/torture/linear"
	"github.com/orbit-persistence/orbit/torture/paths"
	"github.com/orbit-persistence/orbit/torture/real"
	"github.com/orbit-persistence/orbit/torture/rot"
	"github.com/orbit-persistence/orbit/torture/target"
)

// mode is a way of torture, as --modes takes it.
type mode struct {
	name, about string
	run         target.Mode
	// unfit says why the mode has nothing to say about an engine; "" if it has.
	unfit func(target.Engine, engine.Traits) string
	// replay does again what a replay string of the mode says, which begins with
	// its name and a dot. It returns a zero Failure if the engine now keeps its
	// promises. Nil where the seed replays a failure.
	replay func(ctx context.Context, e target.Engine, text string) (target.Failure, error)
	// alone: the mode chooses what it works on itself, and runs once.
	alone bool
}

// modes are in the order in which they run: the cheapest first.
var modes = []mode{
	{
		name: crash.Name, run: crash.Mode, replay: crash.Replay, unfit: onSimulatedDisk,
		about: "power cuts on a simulated disk, at every moment and with every outcome",
	},
	{
		name: errors.Name, run: errors.Mode, replay: errors.Replay, unfit: onSimulatedDisk,
		about: "an error at every I/O call in turn: EIO, ENOSPC, short, failed flush; once and for good",
	},
	{
		name: rot.Name, run: rot.Mode, replay: rot.Replay, unfit: onSimulatedDisk,
		about: "every sector in turn flipped, zeroed, swapped, misdirected or stale",
	},
	{
		name: paths.Name, run: paths.Mode, replay: paths.Replay, unfit: onPaths,
		about: "one of two devices goes and comes back stale, at random moments, and the power is cut",
	},
	{
		name: "linear", run: linear.Mode, unfit: anyEngine,
		about: "histories of many clients, judged by three checkers",
	},
}

// modesWith returns the modes, those on the real kernel, which write their table
// into out, and last the one that judges those before, with its matrix.
func modesWith(out string) []mode {
	var names []string
	for _, m := range modes {
		names = append(names, m.name)
	}
	table := real.NewTable(out, commit())
	return append(slices.Clone(modes), mode{
		name: real.NameKill, run: table.Kill, unfit: onDisk,
		about: "processes killed while they write or recover",
	}, mode{
		name: real.NamePowerCut, run: table.PowerCut, unfit: onDisk,
		about: "real file systems, ext4 and XFS, that lose what was not flushed",
	}, mode{
		name: real.NameNoSpace, run: real.NoSpace, unfit: onDisk,
		about: "real file systems that become full, and have room again",
	}, mode{
		name: real.NameIOErrors, run: real.IOErrors, unfit: onDisk,
		about: "real devices whose writes fail, and then reads",
	}, mode{
		name: real.NamePaths, run: real.Paths, unfit: onRealPaths,
		about: "one of two real file systems fails, hangs, comes back stale or is replaced, and the power is cut",
	}, mode{
		name: "mutants", run: judgeMutants(names, out), alone: true,
		about: "defects seeded into the code, each of which another mode must find",
	})
}

// onSimulatedDisk is the unfit of modes that bring their own disk.
func onSimulatedDisk(e target.Engine, t engine.Traits) string {
	if e.OpenOn == nil && t.Persistent {
		return "it does not run on a simulated disk"
	}
	return onDisk(e, t)
}

// onPaths is the unfit of the mode that takes paths away.
func onPaths(e target.Engine, t engine.Traits) string {
	if e.OpenOnPaths == nil && t.Persistent {
		return "it keeps its data on one path"
	}
	return onDisk(e, t)
}

// onRealPaths is the same on the real disk.
func onRealPaths(e target.Engine, t engine.Traits) string {
	if e.OpenMirrored == nil && t.Persistent {
		return "it keeps its data on one path"
	}
	return onDisk(e, t)
}

// onDisk is the unfit of modes about what survives.
func onDisk(_ target.Engine, t engine.Traits) string {
	if !t.Persistent {
		return "it keeps nothing"
	}
	return ""
}

// anyEngine is the unfit of modes for all engines.
func anyEngine(target.Engine, engine.Traits) string { return "" }
