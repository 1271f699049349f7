//go:build race

package blockfs_test

const raceEnabled = true
