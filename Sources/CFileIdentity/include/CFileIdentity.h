#ifndef C_FILE_IDENTITY_H
#define C_FILE_IDENTITY_H

#include <stdint.h>

typedef struct {
    uint64_t device;
    uint64_t inode;
} file_identity;

/// Which file has the name; 0, or -1 with `errno`. Nothing is opened, and no symbolic link is left unfollowed.
///
/// Like `stat`, but without its times. Since 6.13, Linux gives a file whose times somebody has asked for new ones with
/// the next write, exact to the nanosecond
/// (https://docs.kernel.org/filesystems/multigrain-ts.html). Where the file system keeps no journal, `fdatasync` then
/// writes the inode too: a second write to the disk for each commit. Who asks for no times leaves that alone.
int file_identity_of(const char *path, file_identity *identity);

typedef struct {
    int64_t seconds;
    uint32_t nanoseconds;
    uint64_t size;
} file_stamp;

/// The same, and when the file was written to last, in one call; not for files that each commit writes to.
int file_identity_and_stamp_of(const char *path, file_identity *identity, file_stamp *stamp);

typedef struct {
    /// 1 for what is no regular file.
    uint64_t links;
    /// Whether something is mounted on the file itself, as containers do with a file that is shared alone. 0 where the
    /// system does not tell.
    int is_mount;
} file_names;

/// How many names the file has, and whether this is one that a mount gives it; 0, or -1 with `errno`.
int file_names_of(const char *path, file_names *names);

/// Gives the file another name if nothing has that name; 0, or -1 with `errno`. Where the file system cannot do that in
/// one step, nothing is done.
int file_rename_to_new(const char *path, const char *new_path);

#endif
