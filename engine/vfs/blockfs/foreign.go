package blockfs

import (
	"bytes"
	"fmt"

	"github.com/orbit-persistence/orbit/engine"
)

// signatures are by what others tell that a device is theirs, those that lie within
// another's first.
var signatures = []struct {
	offset int
	magic  string
	what   string
}{
	{0, "XFSB", "an xfs file system"},
	{1080, "\x53\xef", "an ext2, ext3 or ext4 file system"},
	{65600, "_BHRfS_M", "a btrfs file system"},
	{1024, "\x10\x20\xf5\xf2", "an f2fs file system"},
	{3, "NTFS    ", "an NTFS file system"},
	{54, "FAT1", "a FAT file system"},
	{82, "FAT32", "a FAT file system"},
	{0, "LUKS\xba\xbe", "a LUKS volume"},
	{512, "LABELONE", "an LVM physical volume"},
	{4096, "\xfc\x4e\x2b\xa9", "a member of an md array"},
	{0, "\xfc\x4e\x2b\xa9", "a member of an md array"},
	{4086, "SWAPSPACE2", "swap space"},
	{512, "EFI PART", "a partition table (GPT)"},
	{4096, "EFI PART", "a partition table (GPT)"},
	{510, "\x55\xaa", "a partition table (MBR)"},
}

// foreign is the error of a device whose first MiB is not ours, nor empty.
func foreign(device string, front []byte) error {
	what := ""
	for _, s := range signatures {
		if bytes.HasPrefix(front[s.offset:], []byte(s.magic)) {
			what = s.what
			break
		}
	}
	if what == "" {
		for i, c := range front {
			if c != 0 {
				what = fmt.Sprintf("something else (the first byte that is not zero is at %d)", i)
				break
			}
		}
	}
	return fmt.Errorf("%w: the device has %s, which is left alone; choose another device, or, if nothing on this one is needed, zero its first MiB: dd if=/dev/zero of=%s bs=1M count=1 conv=fsync", engine.ErrInvalid, what, device)
}
