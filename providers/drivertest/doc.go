// Package drivertest is the conformance suite of driver.Store. Every provider of
// Orbit passes it, and one of another module can run it as it is:
//
//	func TestConformance(t *testing.T) {
//		drivertest.Run(t, drivertest.Target{
//			Name: "mine",
//			Open: func(ctx context.Context, place string) (driver.Store, error) { return mine.Open(ctx, place) },
//		})
//	}
//
// The suite reads the store's Capabilities and holds it to them in both directions:
// what is declared must work, what is not must be absent or say ErrUnsupported. No
// case is skipped; one that a store cannot have checks that it has not.
//
// Cases are plain functions that return an error, so that a program that is no test
// calls them through Cases.
//
// Faulty is a store that fails as a wire does, for what stands above a store.
package drivertest
