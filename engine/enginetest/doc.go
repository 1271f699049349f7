// Package enginetest is the conformance suite of the engine contract. Every
// engine of Orbit passes it, and an engine of another module can run it as it
// is:
//
//	func TestConformance(t *testing.T) {
//		enginetest.Run(t, enginetest.Target{
//			Name: "mine",
//			Open: func(dir string) (engine.Engine, error) { return mine.Open(dir, mine.Options{}) },
//		})
//	}
//
// The suite reads the engine's Traits and holds it to them in both directions:
// what is declared must work, what is not must be absent and say ErrUnsupported.
// No case is skipped; one that an engine cannot have checks that it has not.
//
// Cases are plain functions that return an error, so that a program that is no
// test (a torture run, a tool for researchers) calls them through Cases.
//
// Benchmark times an engine in the process of the test.
package enginetest
