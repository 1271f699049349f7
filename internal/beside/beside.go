// Package beside measures a provider beside the plain client library of its server.
package beside

import (
	"fmt"
	"testing"
	"time"
)

// The name of the benchmark that Measure runs, and those of what it reports, in nanoseconds.
const (
	Name     = "beside"
	Provider = "provider-ns/op"
	Library  = "library-ns/op"
)

// Keys is how many keys are put and got, one after the other.
const Keys = 64

// Key returns the key of a call.
func Key(i int) string { return fmt.Sprintf("player/%032d", i%Keys) }

// Value is what is put: as much as the record of a lease has.
var Value = make([]byte, 430)

// turn is how many calls the one makes before it is the other's turn: enough for it to be as
// it is when nothing else is called, few enough for the machine's moods to meet both.
const turn = 32

// Measure calls the provider and the library by turns, and reports how long a call of each
// takes on average.
func Measure(b *testing.B, provider, library func(i int) error) {
	b.Run(Name, func(b *testing.B) {
		turns(b, Keys, provider, library) // connections and memory are as they are later
		b.ResetTimer()
		took := turns(b, b.N, provider, library)
		b.ReportMetric(0, "ns/op")
		b.ReportMetric(float64(took[0])/float64(b.N), Provider)
		b.ReportMetric(float64(took[1])/float64(b.N), Library)
	})
}

// turns returns how long n calls of each have taken.
func turns(b *testing.B, n int, calls ...func(i int) error) []time.Duration {
	took := make([]time.Duration, len(calls))
	for from := 0; from < n; from += turn {
		for which, call := range calls {
			start := time.Now()
			for i := from; i < min(from+turn, n); i++ {
				if err := call(i); err != nil {
					b.Fatal(err)
				}
			}
			took[which] += time.Since(start)
		}
	}
	return took
}
