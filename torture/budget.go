package torture

import "time"

// weights are the shares of modes in a budget; those that are not here have 1. The
// more a mode can still find after hours, the more it gets.
var weights = map[string]int64{
	"crash":    4,
	"mutants":  12, // once, over all modes
	"errors":   2,
	"linear":   2,
	"powercut": 2,
	"kill":     2,
}

// weight is the share of a task: that of its mode, and half of it for an engine
// that is not this project's.
func (t task) weight() int64 {
	w := 2 * max(1, weights[t.mode.name])
	if t.engine.Foreign {
		w /= 2
	}
	return w
}

// share is how long the first of the tasks may take, of the time that is left for
// all of them. What a task leaves of its share goes to those after it, and what it
// takes beyond it comes from them. It is a second at least.
func share(left time.Duration, tasks []task) time.Duration {
	var all int64
	for _, t := range tasks {
		all += t.weight()
	}
	return max(time.Second, time.Duration(float64(left)*float64(tasks[0].weight())/float64(all)))
}
