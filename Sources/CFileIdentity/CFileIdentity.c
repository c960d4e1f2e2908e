#include "CFileIdentity.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#ifdef __linux__
#include <sys/sysmacros.h>
#endif

int file_identity_of(const char *path, file_identity *identity) {
#ifdef STATX_INO
    // Swift does not see `statx`: glibc, from 2.28 on, declares it for `_GNU_SOURCE` only.
    struct statx extended;
    if (statx(AT_FDCWD, path, 0, STATX_INO, &extended) == 0) {
        identity->device = makedev(extended.stx_dev_major, extended.stx_dev_minor);
        identity->inode = extended.stx_ino;
        return 0;
    }
    // What confines a process may know `stat` only.
    if (errno != ENOSYS && errno != EPERM) return -1;
#endif
    struct stat information;
    if (stat(path, &information) != 0) return -1;
    identity->device = (uint64_t)information.st_dev;
    identity->inode = (uint64_t)information.st_ino;
    return 0;
}
