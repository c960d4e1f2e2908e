#include "PlainSQLite.h"

#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#ifdef __APPLE__
#include <malloc/malloc.h>
#else
#include <malloc.h>
#endif

enum { PAYLOAD_BYTES = 160 };

struct plain_database {
    sqlite3 *connection;
    sqlite3_stmt *begin, *commit, *rollback, *state, *insert, *sequence, *bare, *read;
    char instance[129];
    char payload[PAYLOAD_BYTES];
};

static int prepare(plain_database *database, const char *sql, sqlite3_stmt **statement) {
    return sqlite3_prepare_v3(database->connection, sql, -1, SQLITE_PREPARE_PERSISTENT, statement, NULL);
}

plain_database *plain_open(const char *path, const char *instance) {
    plain_database *database = calloc(1, sizeof *database);
    if (database == NULL) return NULL;
    snprintf(database->instance, sizeof database->instance, "%s", instance);
    memset(database->payload, 'x', PAYLOAD_BYTES);
    if (sqlite3_open_v2(path, &database->connection, SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX, NULL) != SQLITE_OK)
        return NULL;
    sqlite3_busy_timeout(database->connection, 60000);
    sqlite3_exec(database->connection, "PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL", NULL, NULL, NULL);
    int failed = prepare(database, "BEGIN IMMEDIATE", &database->begin)
        || prepare(database, "COMMIT", &database->commit)
        || prepare(database, "ROLLBACK", &database->rollback)
        || prepare(
            database,
            "SELECT s.stream, s.sequence, s.commit_number, w.writer, w.epoch, w.is_member, w.position, w.heartbeat "
            "FROM tidemark_streams s LEFT JOIN tidemark_instances w ON w.stream = s.stream AND w.instance = ?2 "
            "WHERE s.name = ?1",
            &database->state)
        || prepare(
            database,
            "INSERT INTO tidemark_events "
            "(stream, stream_id, kind, event_id, type, key, payload, writer, persisted_at, commit_number) "
            "VALUES (?1, ?2, 0, ?3, ?4, ?5, ?6, ?7, ?8, ?9) "
            "ON CONFLICT (stream, event_id) WHERE event_id IS NOT NULL DO NOTHING",
            &database->insert)
        || prepare(
            database,
            "UPDATE tidemark_streams SET sequence = ?1, commit_number = ?2, previous_commit = ?4 WHERE stream = ?3",
            &database->sequence)
        || prepare(
            database,
            "SELECT stream_id, event_id, type, key, payload, writer, persisted_at, commit_number "
            "FROM tidemark_events WHERE stream = ?1 AND stream_id > ?2 AND stream_id <= ?3 AND kind = 0 "
            "ORDER BY stream_id",
            &database->read);
    if (failed) {
        fprintf(stderr, "plain_open: %s\n", plain_error(database));
        return NULL;
    }
    return database;
}

void plain_close(plain_database *database) {
    sqlite3_stmt *all[] = {database->begin,  database->commit,   database->rollback, database->state,
                           database->insert, database->sequence, database->bare,     database->read};
    for (size_t index = 0; index < sizeof all / sizeof *all; index++) sqlite3_finalize(all[index]);
    sqlite3_close(database->connection);
    free(database);
}

const char *plain_error(plain_database *database) { return sqlite3_errmsg(database->connection); }

static int run(sqlite3_stmt *statement) {
    int code = sqlite3_step(statement);
    sqlite3_reset(statement);
    return code == SQLITE_DONE || code == SQLITE_ROW ? 0 : code;
}

static int64_t now_milliseconds(void) {
    struct timespec time;
    clock_gettime(CLOCK_REALTIME, &time);
    return (int64_t)time.tv_sec * 1000 + time.tv_nsec / 1000000;
}

static int event_id(char *text, size_t size, const char *prefix, int64_t number) {
    return snprintf(text, size, "%s-%09lld", prefix, (long long)number);
}

static int give_up(plain_database *database, int code) {
    run(database->rollback);
    return code;
}

int plain_persist(plain_database *database, const char *prefix, int64_t number, int count) {
    int code = run(database->begin);
    if (code) return code;
    sqlite3_stmt *state = database->state;
    sqlite3_bind_text(state, 1, "events", -1, SQLITE_STATIC);
    sqlite3_bind_text(state, 2, database->instance, -1, SQLITE_STATIC);
    if (sqlite3_step(state) != SQLITE_ROW) return give_up(database, SQLITE_ERROR);
    int64_t stream = sqlite3_column_int64(state, 0), sequence = sqlite3_column_int64(state, 1);
    int64_t commit_number = sqlite3_column_int64(state, 2), writer = sqlite3_column_int64(state, 3);
    int64_t epoch = sqlite3_column_int64(state, 4), is_member = sqlite3_column_int64(state, 5);
    int64_t position = sqlite3_column_int64(state, 6);
    sqlite3_reset(state);
    if (epoch < 1 || !is_member || position > sequence) return give_up(database, SQLITE_ABORT);
    sqlite3_stmt *insert = database->insert;
    sqlite3_bind_int64(insert, 1, stream);
    sqlite3_bind_text(insert, 4, "ordered", 7, SQLITE_STATIC);
    sqlite3_bind_text(insert, 5, "alice", 5, SQLITE_STATIC);
    sqlite3_bind_int64(insert, 7, writer);
    sqlite3_bind_int64(insert, 8, now_milliseconds());
    sqlite3_bind_int64(insert, 9, commit_number + 1);
    for (int index = 0; index < count; index++) {
        char id[160];
        int length = event_id(id, sizeof id, prefix, number + index);
        sqlite3_bind_int64(insert, 2, sequence + 1);
        sqlite3_bind_text(insert, 3, id, length, SQLITE_STATIC);
        sqlite3_bind_blob(insert, 6, database->payload, PAYLOAD_BYTES, SQLITE_STATIC);
        code = run(insert);
        if (code) return give_up(database, code);
        sequence += sqlite3_changes(database->connection);
    }
    sqlite3_bind_int64(database->sequence, 1, sequence);
    sqlite3_bind_int64(database->sequence, 2, commit_number + 1);
    sqlite3_bind_int64(database->sequence, 3, stream);
    sqlite3_bind_int64(database->sequence, 4, commit_number);
    code = run(database->sequence);
    if (code == 0) code = run(database->commit);
    return code ? give_up(database, code) : 0;
}

int plain_make_bare(plain_database *database) {
    int code = sqlite3_exec(
        database->connection,
        "CREATE TABLE IF NOT EXISTS bare (stream_id INTEGER PRIMARY KEY, event_id TEXT, type TEXT, key TEXT, "
        "payload BLOB, persisted_at INTEGER) STRICT",
        NULL, NULL, NULL);
    if (code) return code;
    return prepare(
        database, "INSERT INTO bare (event_id, type, key, payload, persisted_at) VALUES (?1, ?2, ?3, ?4, ?5)",
        &database->bare);
}

int plain_persist_bare(plain_database *database, const char *prefix, int64_t number, int count) {
    sqlite3_stmt *insert = database->bare;
    int code = run(database->begin);
    if (code) return code;
    sqlite3_bind_text(insert, 2, "ordered", 7, SQLITE_STATIC);
    sqlite3_bind_text(insert, 3, "alice", 5, SQLITE_STATIC);
    sqlite3_bind_blob(insert, 4, database->payload, PAYLOAD_BYTES, SQLITE_STATIC);
    sqlite3_bind_int64(insert, 5, now_milliseconds());
    for (int index = 0; index < count; index++) {
        char id[160];
        int length = event_id(id, sizeof id, prefix, number + index);
        sqlite3_bind_text(insert, 1, id, length, SQLITE_STATIC);
        code = run(insert);
        if (code) return give_up(database, code);
    }
    code = run(database->commit);
    return code ? give_up(database, code) : 0;
}

static int64_t look_at(sqlite3_stmt *row, int column) {
    const unsigned char *bytes = sqlite3_column_blob(row, column);
    int count = sqlite3_column_bytes(row, column);
    return count > 0 ? count + bytes[0] : 0;
}

int64_t plain_read(plain_database *database, int64_t after, int64_t limit, int64_t *sum) {
    sqlite3_stmt *read = database->read;
    sqlite3_bind_int64(read, 1, 1);
    sqlite3_bind_int64(read, 2, after);
    sqlite3_bind_int64(read, 3, INT64_MAX);
    int64_t count = 0, total = 0;
    int code = SQLITE_ROW;
    while (count < limit && (code = sqlite3_step(read)) == SQLITE_ROW) {
        count++;
        total += sqlite3_column_int64(read, 0);
        for (int column = 1; column <= 4; column++) total += look_at(read, column);
        total += sqlite3_column_int64(read, 5) + sqlite3_column_int64(read, 6) + sqlite3_column_int64(read, 7);
    }
    sqlite3_reset(read);
    *sum += total;
    return code == SQLITE_ROW || code == SQLITE_DONE ? count : -1;
}

int64_t plain_allocated_bytes(void) {
#ifdef __APPLE__
    struct mstats stats = mstats();
    return (int64_t)stats.bytes_used;
#else
    struct mallinfo2 information = mallinfo2();
    return (int64_t)(information.uordblks + information.hblkhd);
#endif
}
