// Package servers starts, for tests, the real servers that providers talk to: each on
// loopback ports of its own, in a directory of its own, until the test ends.
//
// The program comes from deps/servers, which builds or installs it once into the cache.
// Where that cannot be, the test is skipped, and says what it has not verified.
package servers
