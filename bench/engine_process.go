package bench

import (
	"context"
	"errors"

	"github.com/orbit-persistence/orbit/bench/process"
)

// engineProcess is the parent's end of an engine's process.
type engineProcess struct{ *process.Process }

// startProcess starts a child for an engine. limit is its memory; why it could
// not be bounded is returned beside a child that runs all the same.
func startProcess(e Engine, limit uint64) (p *engineProcess, unbounded, err error) {
	name := e.ChildName // in the build that runs it
	if name == "" {
		name = e.Name
	}
	child, unbounded, err := process.Start(process.Options{Name: e.Name, Executable: e.Executable, Env: childEnv + "=" + name, MemoryBytes: limit})
	if err != nil {
		return nil, nil, err
	}
	return &engineProcess{child}, unbounded, nil
}

// call is Call, with the error in the answer, which leaves the process usable.
func (p *engineProcess) call(ctx context.Context, cmd command) (answer, error) {
	var a answer
	if err := p.Call(ctx, cmd, &a); err != nil {
		return answer{}, err
	}
	if a.Error != "" {
		return a, errors.New(a.Error)
	}
	return a, nil
}

// end closes the store and ends the process.
func (p *engineProcess) end(ctx context.Context) error {
	if p.Ended() {
		return nil
	}
	_, err := p.call(ctx, command{Close: true})
	p.End()
	return err
}
