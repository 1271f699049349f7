// Package loopfs makes small file systems of the real kernel, each in a file that
// a loop device shows as a disk, and cuts their power.
//
// The cut is the shutdown call that ext4 and XFS share, without a flush of the
// journal: from then on nothing more reaches the device, and what had not reached
// it is lost. What had reached it stays in the file, whether or not the host has
// written that to its own disk. So a cut loses the page cache and the journal's
// memory, all of it and at once. It cannot lose what was submitted to the device
// and not flushed, nor tear a sector: the simulated disk does that.
//
// A disk of the kind Raw has no file system, and is for those who use devices themselves.
//
// It takes root, loop devices and the mkfs of each kind; Missing says what is not
// there.
//
// A Disk holds a lock on its file as long as its process lives. Sweep detaches the
// disks whose process was killed: files with a name of ours that nobody locks.
package loopfs
