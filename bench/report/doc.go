// Package report shows what a run of the bench found: as Markdown, on a
// terminal, as one self-contained web page, and as plots in SVG.
//
// All of them are made from one result.Result and show the same tables:
//
//   - what the seed, the document that Orbit was started from, claims for each
//     backend, beside what was measured;
//   - the machine, its limits before and after, the data and the settings;
//   - the engines side by side, one table per data set and durability class,
//     because a figure of one class says nothing about another;
//   - what the engines need: memory, disk, write amplification, load, recovery.
//
// A figure that is missing is an em dash, a cell that failed names its error.
// Nothing is computed here but ratios: the figures are those of the result.
package report
