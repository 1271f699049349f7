package torture

import (
	"context"
	"fmt"
	"os"
	"path/filepath"

	"github.com/alecthomas/kong"

	"github.com/orbit-persistence/orbit/torture/real"
	"github.com/orbit-persistence/orbit/torture/target"
)

// Main is torture as a program of its own, with further engines beside the
// project's: the main function of a researcher's module that has one.
//
//	func main() {
//		torture.Main(target.Engine{Name: "mine", Open: open, OpenOn: openOn})
//	}
//
// It exits with 2 if the call was wrong, with 1 if a promise was broken or the
// harness could not work.
func Main(further ...target.Engine) {
	engines := append(Standard(), further...)
	RunChild(engines)
	var c Command
	parser, err := kong.New(&c, kong.Name(filepath.Base(os.Args[0])), kong.Description("Tortures storage engines."), kong.UsageOnError())
	if err == nil {
		if _, err = parser.Parse(os.Args[1:]); err != nil {
			err = usagef("%w", err)
		}
	}
	if err == nil {
		err = c.Run(context.Background(), engines)
	}
	if err != nil {
		fmt.Fprintf(os.Stderr, "%s: %v\n", filepath.Base(os.Args[0]), err)
		if IsUsage(err) {
			os.Exit(2)
		}
		os.Exit(1)
	}
}

// RunChild is to be called first by every program that runs Command: modes run
// engines in children of the program itself, and it does not return in them.
func RunChild(engines []target.Engine) { real.RunChild(engines) }
