// The limits that Tidemark on PostgreSQL is measured against: plain loops over libpq, without any library between.
#ifndef PLAIN_POSTGRESQL_H
#define PLAIN_POSTGRESQL_H

#include <stdint.h>

typedef struct plain_server plain_server;

// Connects; the statements are prepared with the first call that needs them. Null where that fails.
plain_server *plain_server_connect(const char *address);
void plain_server_close(plain_server *server);
const char *plain_server_error(plain_server *server);

// Runs statements without parameters. 0, or 1 where one fails.
int plain_server_run(plain_server *server, const char *sql);
// The first field of the first row, which is valid until the next call; null where there is none.
const char *plain_server_ask(plain_server *server, const char *sql);

// A table with the columns, checks and indexes of Tidemark's events, and a sequence.
int plain_server_make(plain_server *server);

// One transaction with `count` events of 200 bytes each, under ids that begin with `prefix` and go on with `number`: prepared
// inserts, all of them sent together. 0, or 1 where one fails.
int plain_server_persist(plain_server *server, const char *prefix, int64_t number, int count);

// Says to all who listen that there is something new.
int plain_server_notify(plain_server *server);

typedef void (*plain_server_arrived)(void *context, const char *event_id, int64_t stream_id);

// Listens, and then returns at once; afterwards waits up to so long for news and reads what is above `after`, the highest
// seen so far. 0, or 1 where something fails.
int plain_server_listen(plain_server *server);
int plain_server_follow(
    plain_server *server, int64_t *after, int milliseconds, plain_server_arrived arrived, void *context);

// Reads Tidemark's events of the stream with this number from the beginning, so many with each statement, looks at every
// byte count and at the first byte of each column, and adds that up in `sum`. How many there were, or -1.
int64_t plain_server_read(plain_server *server, int stream, int batch, int64_t *sum);

#endif
