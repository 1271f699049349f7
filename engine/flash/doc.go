// Package flash is a log-structured store.
package flash
