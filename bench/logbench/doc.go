// Package logbench measures the shared log, package wal, beside the commits of
// Pebble and RocksDB, which log in their own way: group commit over writers, think
// times and busy processors, the buffered class, replay, and a mirror.
//
// Everything that waits for the device is told as a multiple of R, the rate at
// which the device makes overwrites of 4 KiB durable by the best way it has,
// measured in the same round right before and after, because machines and disks
// change their speed while one looks. A figure is the median of the rounds.
package logbench
