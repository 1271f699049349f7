//go:build !race

package enginetest

const defaultOperations = 100_000
