// Package torture puts storage engines through what breaks them: crashes of a
// simulated disk at every moment, kills, real power cuts, full and failing
// devices, rot, lost paths, histories of many clients; and defects seeded into
// the code, to show that the harness would have found them.
//
// The modes are packages of their own below this one, each a target.Mode. This
// package chooses modes and engines, runs them, and sums up what they found.
// Main makes a program of it, for engines of other modules too.
//
// README.md says what is assumed of devices, how to add an engine, how to read a
// failure, and which bugs were found.
package torture
