import Synchronization
import Testing
import Tidemark
import TidemarkTesting

@testable import TidemarkPostgreSQL

@Suite(.enabled(if: TestCluster.isAvailable)) struct StoreConformanceTests {
    @Test(arguments: StoreConformance.checks)
    func `the store of PostgreSQL does what every store has to do`(_ check: StoreCheck) async throws {
        let configuration = try await TestCluster.newDatabase()
        try await run(check, configuration, administrator: configuration)
    }
}

/// Runs a check, and closes all stores that it opened.
///
/// - Parameter administrator: the same database, for whoever may put a backup back.
func run(_ check: StoreCheck, _ configuration: PostgresConfiguration, administrator: PostgresConfiguration) async throws
{
    let stores = Mutex<[PostgreSQLEventStore]>([])
    let fixture = StoreFixture(
        open: {
            let store = try await PostgreSQLEventStore.open(configuration)
            stores.withLock { $0.append(store) }
            return store
        },
        endProcess: { await ($0 as? PostgreSQLEventStore)?.close() },
        backUp: {
            try await connecting(administrator, keepContents)
            return { try await connecting(administrator, putContentsBack) }
        })
    var failure: (any Error)?
    do { try await check.run(fixture) } catch { failure = error }
    for store in stores.withLock({ $0 }) { await store.close() }
    if let failure { throw failure }
}

/// Keeps the rows of all tables and the sequences in a namespace of their own, as `pg_dump --data-only` would.
private func keepContents(_ session: PostgresSession) throws {
    _ = try session.query(
        """
        DO $$
        DECLARE t name;
        BEGIN
            CREATE SCHEMA kept;
            FOR t IN SELECT tablename FROM pg_tables WHERE schemaname = 'tidemark' LOOP
                EXECUTE format('CREATE TABLE kept.%1$I AS TABLE tidemark.%1$I', t);
            END LOOP;
            CREATE TABLE kept.all_sequences AS
                SELECT sequencename, last_value FROM pg_sequences WHERE schemaname = 'tidemark';
        END $$
        """)
}

/// Puts them back, and leaves them: a backup may be put back several times.
private func putContentsBack(_ session: PostgresSession) throws {
    _ = try session.query(
        """
        DO $$
        DECLARE t name; s record;
        BEGIN
            SET LOCAL session_replication_role = replica;
            FOR t IN SELECT tablename FROM pg_tables WHERE schemaname = 'tidemark' LOOP
                EXECUTE format('DELETE FROM tidemark.%I', t);
                EXECUTE format('INSERT INTO tidemark.%1$I OVERRIDING SYSTEM VALUE TABLE kept.%1$I', t);
            END LOOP;
            FOR s IN
                SELECT a.sequencename, k.sequencename IS NULL AS is_new, k.last_value
                FROM pg_sequences a LEFT JOIN kept.all_sequences k USING (sequencename)
                WHERE a.schemaname = 'tidemark'
            LOOP
                IF s.is_new THEN
                    EXECUTE format('DROP SEQUENCE tidemark.%I', s.sequencename);
                ELSE
                    PERFORM setval(format('tidemark.%I', s.sequencename), coalesce(s.last_value, 1), s.last_value IS NOT NULL);
                END IF;
            END LOOP;
        END $$
        """)
}
