package torture

import (
	"os"
	"runtime/debug"
)

// Modes on the simulated disk make much garbage and keep little: most of the time
// would go into collecting a heap of some megabytes over and over. It may grow to
// five times of what lives, and beyond softLimit the collector works as much as it
// must. GOGC and GOMEMLIMIT in the environment come first.
const (
	heapGrowth = 400
	softLimit  = 4 << 30
)

func tuneCollector() {
	if os.Getenv("GOGC") == "" {
		debug.SetGCPercent(heapGrowth)
	}
	if os.Getenv("GOMEMLIMIT") == "" {
		debug.SetMemoryLimit(softLimit)
	}
}
