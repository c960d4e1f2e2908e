#include "CFileIdentity.h"

#include <fcntl.h>
#include <sys/stat.h>

int file_identity_of(const char *path, file_identity *identity) {
#ifdef __linux__
    // Swift does not see `statx`: glibc declares it for `_GNU_SOURCE` only.
    struct statx information;
    if (statx(AT_FDCWD, path, 0, STATX_INO, &information) != 0) return -1;
    identity->device = (uint64_t)information.stx_dev_major << 32 | information.stx_dev_minor;
    identity->inode = information.stx_ino;
#else
    struct stat information;
    if (stat(path, &information) != 0) return -1;
    identity->device = (uint64_t)information.st_dev;
    identity->inode = (uint64_t)information.st_ino;
#endif
    return 0;
}
