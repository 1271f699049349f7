//go:build !race

package cowbtree

const raceEnabled = false
