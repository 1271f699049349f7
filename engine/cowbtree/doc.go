// Package cowbtree is a copy-on-write B+tree over the shared log.
package cowbtree
