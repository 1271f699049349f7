// Package inspection is what those share who print what is in the files of a store or a
// log, and verify it.
package inspection

import (
	"errors"
	"fmt"
	"io"

	"github.com/orbit-persistence/orbit/engine"
)

// Printer writes text, and remembers the first error of its writer, after which it
// writes nothing.
type Printer struct {
	w   io.Writer
	err error
}

// NewPrinter returns one that writes to w.
func NewPrinter(w io.Writer) *Printer { return &Printer{w: w} }

// Printf writes as fmt.Fprintf does.
func (p *Printer) Printf(format string, args ...any) {
	if p.err == nil {
		_, p.err = fmt.Fprintf(p.w, format, args...)
	}
}

// Err returns the first error of the writer.
func (p *Printer) Err() error { return p.err }

// MaxListed is how many places Damage lists; more are counted.
const MaxListed = 100

// Damage is what was found to be wrong. Its zero value is nothing.
type Damage struct {
	list []error
	more int
}

// Add adds a place, which err names.
func (d *Damage) Add(err error) {
	if len(d.list) < MaxListed {
		d.list = append(d.list, err)
	} else {
		d.more++
	}
}

// Count returns the number of places.
func (d *Damage) Count() int { return len(d.list) + d.more }

// Print prints the places that are listed, and how many there are, or that all is sound.
func (d *Damage) Print(p *Printer) {
	if d.Count() == 0 {
		p.Printf("sound\n")
		return
	}
	p.Printf("damage in %d places\n", d.Count())
	for _, err := range d.list {
		p.Printf("  %v\n", err)
	}
}

// Err returns the errors of all places, as one; nil if nothing is wrong.
func (d *Damage) Err() error {
	list := d.list
	if d.more > 0 {
		list = append(list[:len(list):len(list)], fmt.Errorf("inspect: %w in %d more places", engine.ErrCorrupt, d.more))
	}
	return errors.Join(list...)
}

// Run has a store printed, and prints what was found to be wrong with it behind that.
// ErrCorrupt that print returns is damage, where it could not go on; any other error is not,
// and is returned with the directory.
func Run(dir string, w io.Writer, print func(p *Printer, damage *Damage) error) error {
	p := NewPrinter(w)
	var damage Damage
	if err := print(p, &damage); errors.Is(err, engine.ErrCorrupt) {
		damage.Add(err)
	} else if err != nil {
		return fmt.Errorf("inspect %s: %w", dir, err)
	}
	damage.Print(p)
	return errors.Join(p.Err(), damage.Err())
}
