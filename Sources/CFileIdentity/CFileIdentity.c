#include "CFileIdentity.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
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

int file_identity_and_stamp_of(const char *path, file_identity *identity, file_stamp *stamp) {
#ifdef STATX_INO
    struct statx extended;
    if (statx(AT_FDCWD, path, 0, STATX_INO | STATX_MTIME | STATX_SIZE, &extended) == 0) {
        identity->device = makedev(extended.stx_dev_major, extended.stx_dev_minor);
        identity->inode = extended.stx_ino;
        stamp->seconds = extended.stx_mtime.tv_sec;
        stamp->nanoseconds = extended.stx_mtime.tv_nsec;
        stamp->size = extended.stx_size;
        return 0;
    }
    if (errno != ENOSYS && errno != EPERM) return -1;
#endif
    struct stat information;
    if (stat(path, &information) != 0) return -1;
    identity->device = (uint64_t)information.st_dev;
    identity->inode = (uint64_t)information.st_ino;
#ifdef __APPLE__
    stamp->seconds = information.st_mtimespec.tv_sec;
    stamp->nanoseconds = (uint32_t)information.st_mtimespec.tv_nsec;
#else
    stamp->seconds = information.st_mtim.tv_sec;
    stamp->nanoseconds = (uint32_t)information.st_mtim.tv_nsec;
#endif
    stamp->size = (uint64_t)information.st_size;
    return 0;
}

int file_names_of(const char *path, file_names *names) {
    names->is_mount = 0;
#ifdef STATX_INO
    struct statx extended;
    if (statx(AT_FDCWD, path, 0, STATX_NLINK | STATX_TYPE, &extended) == 0) {
        names->links = S_ISREG(extended.stx_mode) ? extended.stx_nlink : 1;
#ifdef STATX_ATTR_MOUNT_ROOT
        // Linux says so from 5.8 on.
        names->is_mount = (extended.stx_attributes & STATX_ATTR_MOUNT_ROOT) != 0;
#endif
        return 0;
    }
    if (errno != ENOSYS && errno != EPERM) return -1;
#endif
    struct stat information;
    if (stat(path, &information) != 0) return -1;
    names->links = S_ISREG(information.st_mode) ? (uint64_t)information.st_nlink : 1;
    return 0;
}

int file_rename_to_new(const char *path, const char *new_path) {
#if defined(__APPLE__)
    return renamex_np(path, new_path, RENAME_EXCL);
#elif defined(RENAME_NOREPLACE)
    return renameat2(AT_FDCWD, path, AT_FDCWD, new_path, RENAME_NOREPLACE);
#else
    errno = ENOSYS;
    return -1;
#endif
}
