package bench

import (
	"os"

	"github.com/orbit-persistence/orbit/bench/result"
)

// SpreadCommand is the command line, for kong, that tells how far the ratios
// between engines moved between runs.
type SpreadCommand struct {
	Files []string `arg:"" type:"existingfile" help:"Results of the bench, as JSON: two at least."`
	Limit float64  `default:"0.15" help:"List the ratios that moved by more than this share."`
}

// Run writes the spread to standard output.
func (c *SpreadCommand) Run() error {
	if len(c.Files) < 2 {
		return Usagef("a spread needs two results at least")
	}
	var runs []*result.Result
	for _, name := range c.Files {
		r, err := result.Read(name)
		if err != nil {
			return &UsageError{err}
		}
		runs = append(runs, r)
	}
	return result.WriteSpread(os.Stdout, runs, c.Limit)
}
