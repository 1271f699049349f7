package enginebench

import (
	"cmp"
	"context"
	"errors"
	"os"
	"path/filepath"

	"github.com/orbit-persistence/orbit/bench/process"
	"github.com/orbit-persistence/orbit/engine"
)

// store is a directory with an engine's files, and the process that has it open.
type store struct {
	subject
	dir     string
	records int
	seed    uint64
	config  config
	// valueBytes is the size of values, 0 for the data set's own.
	valueBytes int
	proc       *process.Process // nil while none runs
	traits     engine.Traits
	fresh      int // the next fresh key
	// broken is why the engine is measured no further.
	broken error
}

// newStore makes the directory of a store; nothing runs yet.
func (r *run) newStore(s subject, records int, c config) (*store, error) {
	dir, err := os.MkdirTemp(r.dir, s.name+"-")
	if err != nil {
		return nil, err
	}
	return &store{subject: s, dir: filepath.Join(dir, "store"), records: records, seed: r.seed, config: c}, nil
}

// remove ends the process, and removes the files.
func (s *store) remove() error {
	s.kill()
	return os.RemoveAll(filepath.Dir(s.dir))
}

// clear makes it an empty store again.
func (s *store) clear() error {
	s.kill()
	s.fresh = 0
	return os.RemoveAll(s.dir)
}

// open opens the store, in a process that it starts if none runs, and returns the
// seconds up to the first get.
func (s *store) open(ctx context.Context, c config) (float64, error) {
	s.config = c
	if err := os.MkdirAll(s.dir, 0o755); err != nil {
		return 0, err
	}
	if s.proc == nil {
		p, _, err := process.Start(process.Options{Name: s.name, Executable: s.executable, Env: childEnv + "=" + cmp.Or(s.childName, s.name)})
		if err != nil {
			return 0, err
		}
		s.proc = p
	}
	a, err := s.ask(ctx, request{Open: &openRequest{Dir: s.dir, Records: s.records, Seed: s.seed, Config: c, ValueBytes: s.valueBytes}})
	if err != nil {
		return 0, err
	}
	s.traits = *a.Traits
	return a.Values["seconds"], nil
}

// close closes the store cleanly, and ends the process.
func (s *store) close(ctx context.Context) error {
	if s.proc == nil {
		return nil
	}
	_, err := s.call(ctx, request{Close: &struct{}{}})
	s.proc.End()
	s.proc = nil
	return err
}

// kill ends the process as a crash would.
func (s *store) kill() {
	if s.proc != nil {
		s.proc.Kill()
		s.proc = nil
	}
}

func (s *store) call(ctx context.Context, r request) (map[string]float64, error) {
	a, err := s.ask(ctx, r)
	return a.Values, err
}

func (s *store) ask(ctx context.Context, r request) (answer, error) {
	if s.proc == nil {
		return answer{}, errors.New("no process runs")
	}
	var a answer
	if err := s.proc.Call(ctx, r, &a); err != nil {
		return answer{}, err
	}
	if a.Error != "" {
		return answer{}, errors.New(a.Error)
	}
	return a, nil
}

// load loads all records in the engine's bulk way.
func (s *store) load(ctx context.Context) error {
	_, err := s.call(ctx, request{Load: &loadRequest{Class: s.cheapest()}})
	return err
}

// put puts fresh keys.
func (s *store) put(ctx context.Context, p putRequest) (map[string]float64, error) {
	p.Fresh = s.fresh
	values, err := s.call(ctx, request{Put: &p})
	if err == nil {
		s.fresh = int(values["fresh"])
	}
	return values, err
}

// cheapest is the class for writes that are not measured: buffered where the
// engine has it.
func (s *store) cheapest() engine.Durability {
	for _, d := range []engine.Durability{engine.Buffered, engine.Memory} {
		if s.traits.Durability.Has(d) {
			return d
		}
	}
	return engine.Flushed
}
