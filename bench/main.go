package bench

import (
	"context"
	"fmt"
	"os"
	"path/filepath"

	"github.com/alecthomas/kong"
)

// Main is the bench as a program of its own, with further engines beside the
// project's: the main function of a researcher's module that has one.
//
//	func main() {
//		bench.Main(bench.Engine{Name: "mine", Open: open})
//	}
//
// It exits with 2 if the call was wrong, with 1 if the run failed.
func Main(further ...Engine) {
	engines := append(Standard(), further...)
	RunChild(engines)
	var c Command
	parser, err := kong.New(&c, kong.Name(filepath.Base(os.Args[0])), kong.Description("Measures storage engines side by side."), kong.UsageOnError())
	if err == nil {
		_, err = parser.Parse(os.Args[1:])
		if err != nil {
			err = Usagef("%w", err)
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
