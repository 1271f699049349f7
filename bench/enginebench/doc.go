// Package enginebench measures what the project's engines must reach, beside their
// peers, one suite for each (suite.go): the copy-on-write B+tree by reads in memory
// and past it, puts in each class, disk, snapshots, recovery, and what all this costs
// as the store grows; the LSM-tree also by streams of overwrites, until they have
// settled, by gets beside writes, by a queue, and by YCSB.
//
// A suite has sections. What is measured is a Figure: of an
// engine or of the machine, over rounds in which the engines take turns in
// changing order, each in a process of its own that stands still while another is
// measured (child.go). The goals are data: a figure, or the ratio of
// two, and its bound. They are judged when everything is measured, and one whose
// figures are missing is told as such.
//
// The reads through get, multi-get and scan are the cells of the bench itself
// (package bench), open loop and all; everything else is a closed loop of this
// package, in which making keys and values is off the clock where one client
// runs.
package enginebench
