package enginebench

import "time"

// sizes are how much of everything a run measures.
type sizes struct {
	// records are those of a store in memory, paged those of one that is ten times
	// its cache.
	records, paged int
	// curve are the sizes over which cost grows.
	curve []int
	// few and many are the sizes at which snapshots are compared; 0 where the curve
	// was cut.
	few, many int
	// held are the records under a snapshot that is kept, heldPeers those of the
	// peers, which take longer; each is overwritten overwrites times.
	held, heldPeers, overwrites int
	// replayed are the records that a recovery replays.
	replayed int
	// gets, puts and snapshots are how many are measured in a round where it is not
	// a time; named as many named snapshots.
	gets, puts, snapshots, named int
	// streamed is how many times all records are overwritten in a stream, with
	// memtables of memtable bytes, 0 for 64 MiB.
	streamed int
	memtable int64
	// queued is the length of a queue, turned how many entries go through it.
	queued, turned int
	// logBytes is the log that a recovery reads.
	logBytes int
	// mixed are the records of the mixed workloads.
	mixed int
	// quiet is how long an engine must have written nothing to count as settled.
	quiet time.Duration
	// window is how long a closed loop of puts runs, loop one of the bench's.
	window, loop time.Duration
}

var (
	treeFull = sizes{
		records: 1_000_000, paged: 10_000_000, curve: []int{10_000, 100_000, 1_000_000, 10_000_000, 50_000_000},
		held: 1_000_000, heldPeers: 20_000, overwrites: 10, replayed: 2_000_000,
		gets: 500_000, puts: 200_000, snapshots: 20_000, named: 200,
		window: 2 * time.Second, loop: time.Second,
	}
	treeQuick = sizes{
		records: 20_000, paged: 100_000, curve: []int{1000, 10_000, 100_000},
		held: 20_000, heldPeers: 5000, overwrites: 10, replayed: 50_000,
		gets: 20_000, puts: 5000, snapshots: 500, named: 10,
		window: 100 * time.Millisecond, loop: 50 * time.Millisecond,
	}
	lsmFull = sizes{
		records: 10_000_000, curve: []int{1_000_000, 10_000_000, 50_000_000},
		gets: 500_000, puts: 1_000_000, snapshots: 20_000,
		streamed: 3, queued: 100_000, turned: 1_000_000, logBytes: 64 * mib, mixed: 1_000_000, quiet: 2 * time.Second,
		window: 2 * time.Second, loop: time.Second,
	}
	lsmQuick = sizes{
		records: 20_000, curve: []int{1000, 10_000},
		gets: 20_000, puts: 5000, snapshots: 500,
		streamed: 3, memtable: 256 << 10, queued: 1000, turned: 5000, logBytes: mib, mixed: 20_000, quiet: 200 * time.Millisecond,
		window: 100 * time.Millisecond, loop: 50 * time.Millisecond,
	}
)

// cut leaves out the sizes above largest, 0 for none.
func (s sizes) cut(largest int) sizes {
	if largest > 0 {
		var curve []int
		for _, n := range s.curve {
			if n <= largest {
				curve = append(curve, n)
			}
		}
		s.curve = curve
		s.records, s.paged = min(s.records, largest), min(s.paged, largest)
		s.held, s.heldPeers = min(s.held, largest), min(s.heldPeers, largest)
		s.mixed = min(s.mixed, largest)
	}
	for _, n := range s.curve {
		if s.few == 0 {
			s.few = n
		}
		if n > s.few && n <= 10_000_000 {
			s.many = n
		}
	}
	return s
}
