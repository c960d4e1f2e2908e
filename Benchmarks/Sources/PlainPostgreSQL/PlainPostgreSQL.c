#include "PlainPostgreSQL.h"

#if __has_include(<postgresql/libpq-fe.h>)
#include <postgresql/libpq-fe.h>
#else
#include <libpq-fe.h>
#endif
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { PAYLOAD_BYTES = 160 };

struct plain_server {
    PGconn *connection;
    PGresult *answer;
    char payload[PAYLOAD_BYTES];
    int has_insert, has_above, has_read;
};

static uint32_t from_big32(uint32_t number) {
    const unsigned char *bytes = (const unsigned char *)&number;
    return (uint32_t)bytes[0] << 24 | (uint32_t)bytes[1] << 16 | (uint32_t)bytes[2] << 8 | bytes[3];
}

// A number of eight bytes that is in an answer, or will be in a query.
static int64_t big64(int64_t number) {
    unsigned char bytes[8];
    for (int index = 0; index < 8; index++) bytes[index] = (unsigned char)((uint64_t)number >> (56 - 8 * index));
    memcpy(&number, bytes, 8);
    return number;
}

static int64_t number_at(const PGresult *rows, int row, int column) {
    const char *value = PQgetvalue(rows, row, column);
    if (PQgetlength(rows, row, column) == 4) {
        uint32_t number;
        memcpy(&number, value, 4);
        return (int32_t)from_big32(number);
    }
    int64_t number;
    memcpy(&number, value, 8);
    return big64(number);
}

plain_server *plain_server_connect(const char *address) {
    plain_server *server = calloc(1, sizeof *server);
    if (server == NULL) return NULL;
    memset(server->payload, 'x', PAYLOAD_BYTES);
    server->connection = PQconnectdb(address);
    if (PQstatus(server->connection) == CONNECTION_OK) return server;
    fprintf(stderr, "plain_server_connect: %s", PQerrorMessage(server->connection));
    plain_server_close(server);
    return NULL;
}

void plain_server_close(plain_server *server) {
    PQclear(server->answer);
    PQfinish(server->connection);
    free(server);
}

const char *plain_server_error(plain_server *server) { return PQerrorMessage(server->connection); }

// Frees the answer; whether it is what was expected.
static int is_fine(PGresult *answer) {
    ExecStatusType status = PQresultStatus(answer);
    PQclear(answer);
    return status == PGRES_COMMAND_OK || status == PGRES_TUPLES_OK;
}

int plain_server_run(plain_server *server, const char *sql) { return !is_fine(PQexec(server->connection, sql)); }

const char *plain_server_ask(plain_server *server, const char *sql) {
    PQclear(server->answer);
    server->answer = PQexec(server->connection, sql);
    if (PQresultStatus(server->answer) != PGRES_TUPLES_OK || PQntuples(server->answer) < 1) return NULL;
    return PQgetvalue(server->answer, 0, 0);
}

int plain_server_make(plain_server *server) {
    return plain_server_run(
        server,
        "CREATE TABLE plain_events (LIKE tidemark.events INCLUDING ALL); CREATE SEQUENCE plain_ids");
}

static int prepare(plain_server *server, int *is_prepared, const char *name, const char *sql) {
    if (*is_prepared) return 0;
    *is_prepared = is_fine(PQprepare(server->connection, name, sql, 0, NULL));
    return !*is_prepared;
}

int plain_server_persist(plain_server *server, const char *prefix, int64_t number, int count) {
    if (prepare(
            server, &server->has_insert, "insert",
            "INSERT INTO plain_events (stream, kind, stream_id, writer, mark, event_id, type, key, payload) "
            "VALUES (1, 0, nextval('plain_ids'), 1, $1::bigint, $2::text, $3::text, $4::text, $5::bytea)"))
        return 1;
    if (PQenterPipelineMode(server->connection) != 1) return 1;
    int64_t mark = big64(number + 1);
    static const int formats[5] = {1, 1, 1, 1, 1};
    for (int index = 0; index < count; index++) {
        char id[160];
        int length = snprintf(id, sizeof id, "%s-%09lld", prefix, (long long)(number + index));
        const char *values[5] = {(const char *)&mark, id, "ordered", "alice", server->payload};
        int lengths[5] = {8, length, 7, 5, PAYLOAD_BYTES};
        if (PQsendQueryPrepared(server->connection, "insert", 5, values, lengths, formats, 1) != 1) return 1;
    }
    // What is sent between two of these is one transaction.
    if (PQpipelineSync(server->connection) != 1) return 1;
    int failed = 0;
    for (;;) {
        PGresult *answer = PQgetResult(server->connection);
        if (answer == NULL) {
            if (PQstatus(server->connection) != CONNECTION_OK) return 1;
            continue;
        }
        ExecStatusType status = PQresultStatus(answer);
        PQclear(answer);
        if (status == PGRES_PIPELINE_SYNC) break;
        if (status != PGRES_COMMAND_OK) failed = 1;
    }
    return PQexitPipelineMode(server->connection) != 1 || failed;
}

int plain_server_notify(plain_server *server) { return plain_server_run(server, "NOTIFY plain_events"); }

int plain_server_listen(plain_server *server) { return plain_server_run(server, "LISTEN plain_events"); }

int plain_server_follow(
    plain_server *server, int64_t *after, int milliseconds, plain_server_arrived arrived, void *context) {
    if (prepare(
            server, &server->has_above, "above",
            "SELECT stream_id, event_id FROM plain_events WHERE stream = 1 AND stream_id > $1::bigint "
            "ORDER BY stream_id LIMIT 1000"))
        return 1;
    struct pollfd socket = {PQsocket(server->connection), POLLIN, 0};
    poll(&socket, 1, milliseconds);
    if (PQconsumeInput(server->connection) != 1) return 1;
    int has_news = 0;
    PGnotify *news;
    while ((news = PQnotifies(server->connection)) != NULL) {
        has_news = 1;
        PQfreemem(news);
    }
    if (!has_news) return 0;
    int64_t above = big64(*after);
    const char *values[1] = {(const char *)&above};
    int lengths[1] = {8}, formats[1] = {1};
    PGresult *rows = PQexecPrepared(server->connection, "above", 1, values, lengths, formats, 1);
    if (PQresultStatus(rows) != PGRES_TUPLES_OK) {
        PQclear(rows);
        return 1;
    }
    for (int row = 0; row < PQntuples(rows); row++) {
        *after = number_at(rows, row, 0);
        arrived(context, PQgetvalue(rows, row, 1), *after);
    }
    PQclear(rows);
    return 0;
}

static int64_t look_at(const PGresult *rows, int row, int column) {
    int count = PQgetlength(rows, row, column);
    return count > 0 ? count + ((const unsigned char *)PQgetvalue(rows, row, column))[0] : 0;
}

int64_t plain_server_read(plain_server *server, int stream, int batch, int64_t *sum) {
    if (prepare(
            server, &server->has_read, "read",
            "SELECT stream_id, event_id, type, key, payload, writer, persisted_at, mark FROM tidemark.events "
            "WHERE stream = $1::int AND stream_id > $2::bigint ORDER BY stream_id LIMIT $3::bigint"))
        return -1;
    int64_t count = 0, total = 0, after = 0;
    for (;;) {
        uint32_t stream_bytes = from_big32((uint32_t)stream);
        int64_t after_bytes = big64(after), limit = big64(batch);
        const char *values[3] = {(const char *)&stream_bytes, (const char *)&after_bytes, (const char *)&limit};
        int lengths[3] = {4, 8, 8}, formats[3] = {1, 1, 1};
        PGresult *rows = PQexecPrepared(server->connection, "read", 3, values, lengths, formats, 1);
        if (PQresultStatus(rows) != PGRES_TUPLES_OK) {
            PQclear(rows);
            return -1;
        }
        int found = PQntuples(rows);
        for (int row = 0; row < found; row++) {
            after = number_at(rows, row, 0);
            total += after;
            for (int column = 1; column <= 4; column++) total += look_at(rows, row, column);
            total += number_at(rows, row, 5) + number_at(rows, row, 6) + number_at(rows, row, 7);
        }
        PQclear(rows);
        count += found;
        if (found < batch) break;
    }
    *sum += total;
    return count;
}
