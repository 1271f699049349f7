package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"github.com/orbit-persistence/orbit/engine"
	"github.com/orbit-persistence/orbit/engine/cowbtree"
	"github.com/orbit-persistence/orbit/engine/flash"
	"github.com/orbit-persistence/orbit/engine/lsm"
	"github.com/orbit-persistence/orbit/engine/pebbledb"
	"github.com/orbit-persistence/orbit/engine/rocks"
	"github.com/orbit-persistence/orbit/engine/vfs"
	"github.com/orbit-persistence/orbit/engine/wal"
)

// inspectCommand prints what is in the files of a store, which it does not change.
type inspectCommand struct {
	Records bool   `help:"Print every record of a log, with the operations of its batch."`
	JSON    bool   `name:"json" help:"Print {\"sound\": ..., \"text\": ...} and, of damage, {\"errors\": [...]}, as JSON to standard output."`
	Dir     string `arg:"" type:"path" help:"A directory of a store, which should be closed, or of a log, or above some of them; or a block device of a flash store."`
}

// Run prints every store, and every log, in or below the directory.
func (c *inspectCommand) Run(ctx context.Context) error {
	if c.JSON {
		var text strings.Builder
		err := c.print(ctx, &text)
		return told(true, map[string]any{"sound": err == nil, "text": text.String()}, err, nil)
	}
	out := bufio.NewWriter(os.Stdout)
	return errors.Join(c.print(ctx, out), out.Flush())
}

func (c *inspectCommand) print(ctx context.Context, out io.Writer) error {
	if info, err := vfs.OS().Stat(c.Dir); err != nil {
		return err
	} else if info.Kind == vfs.BlockDevice {
		return flash.Inspect(ctx, vfs.OS(), c.Dir, out)
	}
	var found int
	var damage []error
	err := filepath.WalkDir(c.Dir, func(path string, d os.DirEntry, err error) error {
		if err != nil || !d.IsDir() {
			return err
		}
		var each func(wal.Record) string
		if c.Records {
			each = describerOf(path)
		}
		for _, err := range []error{
			cowbtree.Inspect(ctx, vfs.OS(), path, out),
			lsm.Inspect(ctx, vfs.OS(), path, out),
			flash.Inspect(ctx, vfs.OS(), path, out),
			rocks.Inspect(ctx, path, out),
			pebbledb.Inspect(ctx, path, out),
			wal.Inspect(ctx, vfs.OS(), path, out, each),
		} {
			switch {
			case errors.Is(err, engine.ErrNotFound):
			case errors.Is(err, engine.ErrCorrupt):
				found++
				damage = append(damage, err)
			case err != nil:
				return err
			default:
				found++
			}
		}
		return nil
	})
	if err == nil && found == 0 {
		err = fmt.Errorf("%w: no store and no log in or below %s", engine.ErrNotFound, c.Dir)
	}
	return errors.Join(append(damage, err)...)
}

// describerOf returns what says what a record holds of the log in a directory. Stores tell
// their logs different things beside batches; what lies beside the log says whose it is.
func describerOf(dir string) func(wal.Record) string {
	if abs, err := filepath.Abs(dir); err == nil { // "." has no name of its own
		dir = abs
	}
	other := cowbtree.DescribeRecord
	if _, err := os.Stat(filepath.Join(dir, "index")); err == nil {
		other = flash.DescribeRecord
	}
	if _, err := os.Stat(filepath.Join(filepath.Dir(dir), "CURRENT")); err == nil {
		if filepath.Base(dir) == "manifest" {
			return func(r wal.Record) string {
				if text, ok := lsm.DescribeEdit(r.Payload); ok {
					return text
				}
				return "not an edit"
			}
		}
		other = lsm.DescribeRecord
	}
	return func(r wal.Record) string {
		if text, ok := other(r.Payload); ok {
			return text
		}
		return describeBatch(r.Payload)
	}
}

// describeBatch says what a batch changes.
func describeBatch(payload []byte) string {
	b, err := engine.DecodeBatch(payload)
	if err != nil {
		return "not a batch"
	}
	text := ""
	n := 0
	for op := range b.Ops() {
		if n++; n > 3 {
			return text + fmt.Sprintf("; %d in all", b.Count())
		}
		if text != "" {
			text += "; "
		}
		text += op.Kind.String() + " " + engine.QuoteKey(op.Key)
		switch op.Kind {
		case engine.OpPut:
			text += fmt.Sprintf(" = %d bytes", len(op.Value))
		case engine.OpDeleteRange:
			text += " to " + engine.QuoteKey(op.Value)
		}
	}
	return text
}
