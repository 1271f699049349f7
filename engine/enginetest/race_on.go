//go:build race

package enginetest

// defaultOperations: the race detector makes each operation several times
// dearer, and sees no more in the hundred-thousandth than in the ten-thousandth.
const defaultOperations = 10_000
