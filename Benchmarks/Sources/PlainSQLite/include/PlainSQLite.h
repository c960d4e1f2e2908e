// The limits that Tidemark is measured against: plain loops over SQLite's C interface, without any library between.
#ifndef PLAIN_SQLITE_H
#define PLAIN_SQLITE_H

#include <stdint.h>

typedef struct plain_database plain_database;

// Opens a file that has Tidemark's schema, for the writer `instance` of the stream "events", which has joined: WAL,
// synchronous=FULL, SQLite's own busy handler for up to a minute. Null where that fails.
plain_database *plain_open(const char *path, const char *instance);
void plain_close(plain_database *database);
const char *plain_error(plain_database *database);

// One transaction with `count` events of 200 bytes each, under ids that begin with `prefix` and go on with `number`:
// the statements that Tidemark runs, with their checks. 0, or an error code of SQLite's.
int plain_persist(plain_database *database, const char *prefix, int64_t number, int count);

// The same rows into a table without indexes or checks, by one insert each; `plain_make_bare` makes it.
int plain_make_bare(plain_database *database);
int plain_persist_bare(plain_database *database, const char *prefix, int64_t number, int count);

// Reads the events after an ID, at most `limit`, looks at every byte count and at the first byte of each column, and
// adds that up in `sum`. How many there were, or -1.
int64_t plain_read(plain_database *database, int64_t after, int64_t limit, int64_t *sum);

// Bytes that this process has from malloc and has not given back to it.
int64_t plain_allocated_bytes(void);

#endif
