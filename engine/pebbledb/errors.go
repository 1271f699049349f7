package pebbledb

import (
	"errors"
	"fmt"
	"log/slog"
	"syscall"

	"github.com/cockroachdb/pebble/v2"

	"github.com/orbit-persistence/orbit/engine"
)

// translate gives an error of Pebble its kind and keeps it in the chain.
func translate(err error) error {
	for _, kind := range []error{engine.ErrInvalid, engine.ErrReadOnly, engine.ErrNoSpace} {
		if err == nil || errors.Is(err, kind) {
			return err
		}
	}
	switch {
	case pebble.IsCorruptionError(err):
		return fmt.Errorf("%w: %w", engine.ErrCorrupt, err)
	case errors.Is(err, syscall.ENOSPC):
		return fmt.Errorf("%w: %w", engine.ErrNoSpace, err)
	case errors.Is(err, pebble.ErrReadOnly):
		return fmt.Errorf("%w: %w", engine.ErrReadOnly, err)
	}
	return err
}

// wrap is translate with the operation before it.
func wrap(op string, err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("%s: %w", op, translate(err))
}

// logger passes Pebble's log on, and turns what Pebble takes to be the end of
// the process into the end of writing.
type logger struct {
	to    *slog.Logger
	fence *fence
}

// Infof logs for Pebble.
func (l logger) Infof(format string, args ...any) {
	if l.to != nil {
		l.to.Info(fmt.Sprintf(format, args...))
	}
}

// Errorf logs for Pebble.
func (l logger) Errorf(format string, args ...any) {
	if l.to != nil {
		l.to.Error(fmt.Sprintf(format, args...))
	}
}

// Fatalf returns, which Pebble does not expect. That is safe because the fence
// lets nothing more reach the log and the MANIFEST: Pebble's memory may be at
// odds with itself from here on, but not the files.
func (l logger) Fatalf(format string, args ...any) {
	err := fmt.Errorf(format, args...)
	if l.to != nil {
		l.to.Error(err.Error())
	}
	l.fence.stop(err)
}
