package loopfs

import (
	"fmt"
	"os/exec"
)

// Kind is a file system and how it is made and mounted.
type Kind struct {
	// Name tells the kinds apart in reports.
	Name string
	// Type is the file system's, as mount takes it.
	Type string
	// Options are those of the mount.
	Options string
	// Bytes is the size of the device. The file is sparse.
	Bytes int64
	// mkfs makes one in the file whose name is appended.
	mkfs []string
}

// Kinds are those on which engines are tortured. mkfs.xfs makes nothing smaller
// than 300 MiB.
var Kinds = []Kind{
	{Name: "ext4", Type: "ext4", Options: "data=ordered", Bytes: 128 << 20, mkfs: mkfsExt4},
	{Name: "xfs", Type: "xfs", Bytes: 320 << 20, mkfs: []string{"mkfs.xfs", "-q", "-f", "-K"}},
	{Name: "ext4-writeback", Type: "ext4", Options: "data=writeback", Bytes: 128 << 20, mkfs: mkfsExt4},
}

// Raw is a device of so many bytes, all zeros, without a file system: there is nothing to
// mount, and Device names it.
func Raw(bytes int64) Kind { return Kind{Name: "raw", Bytes: bytes} }

// Nothing is left for the kernel to initialise while the file system is in use.
var mkfsExt4 = []string{"mkfs.ext4", "-q", "-F", "-b", "4096", "-m", "0", "-E", "lazy_itable_init=0,lazy_journal_init=0,nodiscard"}

// Missing says why this kind cannot be used here, and what to do; "" if it can.
func (k Kind) Missing() string {
	if why := missing(); why != "" {
		return why
	}
	if k.mkfs == nil {
		return ""
	}
	if _, err := exec.LookPath(k.mkfs[0]); err != nil {
		return fmt.Sprintf("there is no %s; run deps/torture.sh", k.mkfs[0])
	}
	return ""
}
