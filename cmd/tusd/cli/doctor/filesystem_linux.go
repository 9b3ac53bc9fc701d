package doctor

import (
	"errors"
	"fmt"

	"golang.org/x/sys/unix"
)

// fileSystem describes a type of file systems.
type fileSystem struct {
	name    string
	warning string
}

const (
	onNetwork = "it is on a network: locks and syncs are as good as its server, and a cut connection stops uploads. Let one machine alone use it"
	inMemory  = "it is in memory: uploads are gone after a restart of the machine"
)

// fileSystems are the types by their numbers in statfs.
var fileSystems = map[int64]fileSystem{
	unix.EXT4_SUPER_MAGIC:      {name: "ext4"},
	unix.XFS_SUPER_MAGIC:       {name: "xfs"},
	unix.BTRFS_SUPER_MAGIC:     {name: "btrfs"},
	0x2fc12fc1:                 {name: "zfs"},
	unix.F2FS_SUPER_MAGIC:      {name: "f2fs"},
	unix.TMPFS_MAGIC:           {"tmpfs", inMemory},
	unix.RAMFS_MAGIC:           {"ramfs", inMemory},
	unix.OVERLAYFS_SUPER_MAGIC: {"overlay", "it is the layer of a container: uploads are gone with it. Mount a volume"},
	unix.NFS_SUPER_MAGIC:       {"nfs", onNetwork},
	unix.SMB_SUPER_MAGIC:       {"smb", onNetwork},
	unix.CIFS_SUPER_MAGIC:      {"cifs", onNetwork},
	unix.SMB2_SUPER_MAGIC:      {"smb2", onNetwork},
	unix.CEPH_SUPER_MAGIC:      {"ceph", onNetwork},
	unix.V9FS_MAGIC:            {"9p", onNetwork},
	unix.FUSE_SUPER_MAGIC:      {"fuse", "a program serves it (FUSE): locks and syncs are only as good as that program. If it maps a bucket, use -s3-bucket instead"},
	unix.MSDOS_SUPER_MAGIC:     {"vfat", "files end at 4 GiB, and nothing survives a power cut well"},
}

func (i *inspection) nameFileSystem() error {
	var stat unix.Statfs_t
	if err := unix.Statfs(i.tempDir, &stat); err != nil {
		return i.missing("file system", err)
	}
	kind, ok := fileSystems[int64(uint32(stat.Type))] // an int32 on some systems
	switch {
	case !ok:
		i.report.OK("file system", fmt.Sprintf("of type %#x", uint32(stat.Type)))
	case kind.warning != "":
		i.report.Warn("file system", kind.name+": "+kind.warning)
	default:
		i.report.OK("file system", kind.name)
	}
	return nil
}

// Less free space or fewer free inodes than this cause a warning.
const (
	littleSpace = 1 << 30 // bytes
	fewFiles    = 10_000
)

func (i *inspection) measureSpace() error {
	var stat unix.Statfs_t
	if err := unix.Statfs(i.tempDir, &stat); err != nil {
		return i.missing("free space", err)
	}
	free := int64(stat.Bavail) * int64(stat.Bsize)
	told := fmt.Sprintf("%d MiB", free>>20)
	switch {
	case free == 0:
		return i.missing("free space", errors.New("none: nothing can be stored"))
	case free < i.MinFree:
		i.report.Missing("free space", told+", less than -min-free is to keep: every upload would be refused")
	case free < littleSpace:
		i.report.Warn("free space", told)
	default:
		i.report.OK("free space", told)
	}
	if stat.Files > 0 && stat.Ffree < fewFiles {
		i.report.Warn("files", fmt.Sprintf("%d more can be made (inodes); an upload needs two", stat.Ffree))
	}
	return nil
}
