import Foundation
import Synchronization
import Tidemark

/// What a call is about, for the errors that it may have.
struct CallSubject: Sendable {
    var stream: StreamName
    var instance: InstanceName?
    var writer: Writer?
    var consumer: ConsumerName?
    /// Done for others by whoever may: a role that has not the right to is one that only reads.
    var isForOthers = false
    /// Where the consumer is to go.
    var start: ConsumerStart?
    /// Where a batch begins that the consumer has dealt with.
    var begin: StreamID?

    init(_ stream: StreamName, instance: InstanceName? = nil, writer: Writer? = nil, consumer: ConsumerName? = nil) {
        self.stream = stream
        self.instance = instance ?? writer?.instance
        self.writer = writer
        self.consumer = consumer
    }
}

/// What an error of PostgreSQL means to a user of the store.
struct StoreErrors: Sendable {
    let store: String
    let namespace: PostgresNamespace
    let lockLimit: Duration
    /// The role that connects, where the address names it.
    let role: String?
    let lives = Lives()

    /// The incarnations in which this store's writers joined last. In another one, what the database does not know was lost,
    /// and a writer of the same name and epoch is another writer.
    final class Lives: Sendable {
        private struct State {
            var last: [StreamName: Int64] = [:]
            /// One for each name: the epochs before are over.
            var joins: [StreamName: [InstanceName: (epoch: Int, incarnation: Int64)]] = [:]
        }

        private let state = Mutex(State())

        subscript(stream: StreamName) -> Int64? { state.withLock { $0.last[stream] } }

        /// The incarnation in which the writer joined; nil where it did not do so here, or has joined again since.
        subscript(stream: StreamName, writer: Writer) -> Int64? {
            let join = state.withLock { $0.joins[stream]?[writer.instance] }
            return join?.epoch == writer.epoch ? join?.incarnation : nil
        }

        func joined(_ stream: StreamName, as writer: Writer, in incarnation: Incarnation) {
            state.withLock { state in
                state.last[stream] = incarnation.rawValue
                state.joins[stream, default: [:]][writer.instance] = (writer.epoch, incarnation.rawValue)
            }
        }
    }

    /// The error for a caller.
    ///
    /// - Parameter holder: who has the lock that was waited for, where that is known.
    func tidemarkError(_ error: any Error, _ subject: CallSubject? = nil, holder: String? = nil) -> any Error {
        if let name = error as? InvalidName {
            return TidemarkError.notADatabase(store: store, problem: "it holds a name that is not valid: \(name)")
        }
        if let elsewhere = error as? StreamElsewhere, let subject {
            return elsewhere.error(of: subject.stream, in: store)
        }
        guard let error = error as? PostgresError else { return error }
        guard case .refused(_, let message) = error else {
            return TidemarkError.storeUnavailable(store: store, problem: "\(error)")
        }
        if message.sqlState.hasPrefix("TM"), let subject, let own = ownError(message, subject) { return own }
        switch message.sqlState {
        case "55P03": return TidemarkError.writeLockHeld(store: store, by: holder, limit: lockLimit)
        case "53100": return TidemarkError.storeFull(store: store)
        // Only a standby, or a role that may only read, refuses to write; and tokens cannot be read on a standby.
        case "25006": return TidemarkError.notPrimary(store: store)
        case "0A000" where message.message.contains("recovery"): return TidemarkError.notPrimary(store: store)
        case "42501" where subject?.isForOthers == true: return TidemarkError.readOnly(store: store)
        case "42501": return TidemarkError.storeUnavailable(store: store, problem: missingRight(message))
        case "3F000", "42P01", "42883", "42703":
            return TidemarkError.notADatabase(
                store: store, problem: "its schema is not whole, or of another version: \(message.message)")
        case "23505" where subject != nil:
            guard let subject else { fallthrough }
            return TidemarkError.databaseWentBackwards(
                stream: subject.stream, id: 0, problem: "there are rows above the newest ID of the sequence")
        default: return TidemarkError.storeUnavailable(store: store, problem: "\(message)")
        }
    }

    /// Which grant is missing. The server says it in words of its own language, with the name of what was asked for.
    private func missingRight(_ message: ServerMessage) -> String {
        let role = role.map { "\"\($0)\"" } ?? "the role"
        let words = Set(message.message.split { !($0.isLetter || $0.isNumber || $0 == "_") }.map(String.init))
        if !words.isDisjoint(with: Schema.ownersFunctions) {
            return "\(message.message): only the owner of the tables may do this"
        }
        let grant =
            if let name = words.intersection(Schema.functions).first {
                "EXECUTE ON FUNCTION \(namespace.function(name)) TO \(role)"
            } else if let name = words.intersection(Schema.tables).first {
                "SELECT ON TABLE \(namespace.quoted).\(name) TO \(role)"
            } else if words.contains(where: { $0.hasPrefix("ids_") }) {
                "SELECT ON ALL SEQUENCES IN SCHEMA \(namespace.quoted) TO \(role)"
            } else {
                "USAGE ON SCHEMA \(namespace.quoted) TO \(role)"
            }
        return "\(message.message): GRANT \(grant), or all that writers and readers need with rights.sql"
    }

    /// What the functions raise themselves.
    private func ownError(_ message: ServerMessage, _ subject: CallSubject) -> TidemarkError? {
        let detail = RefusalDetail(message.detail)
        let stream = subject.stream
        let id = StreamID(detail.id ?? 0)
        switch message.sqlState {
        case "TM001":
            return .unsuitableTransaction(store: store, problem: detail.problem ?? message.message)
        case "TM002": return .unknownStream(stream: stream, store: store)
        case "TM003":
            return subject.instance.map { .unknownInstance(stream: stream, instance: $0) }
        case "TM004": return subject.writer.map { .retired(stream: stream, writer: $0) }
        case "TM005":
            guard let instance = subject.instance else { return nil }
            let holder = detail.epoch.map { Writer(instance, epoch: $0) }
            return .instanceTaken(
                stream: stream, writer: subject.writer ?? Writer(instance, epoch: 0), by: holder)
        case "TM006":
            return subject.writer.map { .fenced(stream: stream, writer: $0, fence: detail.fence ?? 0) }
        case "TM007", "TM013":
            return subject.instance.map {
                .closed(stream: stream, instance: $0, id: detail.ids?.first.map { StreamID($0) } ?? id)
            }
        case "TM008":
            if let running = detail.incarnation, let joined = lives[stream], running != joined {
                return .acknowledgedEventsLost(stream: stream, id: id, problem: detail.problem ?? message.message)
            }
            return .databaseWentBackwards(stream: stream, id: id, problem: detail.problem ?? message.message)
        case "TM025":
            return .acknowledgedEventsLost(stream: stream, id: id, problem: detail.problem ?? message.message)
        case "TM009":
            let known = detail.known?.compactMap { try? ConsumerName(validating: $0) } ?? []
            return subject.consumer.map { .unknownConsumer(stream: stream, consumer: $0, known: known) }
        case "TM010": return subject.consumer.map { .consumerTaken(stream: stream, consumer: $0) }
        case "TM011":
            return subject.consumer.map {
                .consumerInUse(stream: stream, consumer: $0, by: detail.processID.map { "process \($0)" })
            }
        case "TM014": return .streamMoved(stream: stream, store: store, to: detail.place ?? "")
        case "TM015": return .streamArriving(stream: stream, store: store, from: detail.place ?? "")
        case "TM016": return .streamExists(stream: stream, store: store)
        case "TM024": return subject.consumer.map { .isProcessor(stream: stream, consumer: $0) }
        case "TM030": return .pruned(stream: stream, after: id, through: StreamID(detail.highest ?? 0))
        case "TM012":
            return .notReached(stream: stream, id: id, highest: StreamID(detail.highest ?? 0))
        case "TM020":
            guard case .afterPlace(let place) = subject.start else { return nil }
            return .otherDatabase(stream: stream, place: place)
        case "TM022", "TM023":
            guard let consumer = subject.consumer, let begin = subject.begin else { return nil }
            return message.sqlState == "TM022"
                ? .alreadyPassed(stream: stream, consumer: consumer, begin: begin, checkpoint: id)
                : .notYetPassed(stream: stream, consumer: consumer, begin: begin, checkpoint: id)
        case "TM021":
            guard let consumer = subject.consumer, let stored = try? FilterText.filter(detail.filter) else {
                return nil
            }
            return .filterDiffers(stream: stream, consumer: consumer, stored: stored)
        default: return nil
        }
    }
}

/// The detail of an error that a function raises, as JSON with the names that the functions give.
private struct RefusalDetail: Decodable {
    var id: Int64?
    var ids: [Int64]?
    var epoch: Int?
    var fence: Int64?
    var incarnation: Int64?
    var highest: Int64?
    var problem: String?
    var place: String?
    var known: [String]?
    var processID: Int?
    var filter: String?

    private enum CodingKeys: String, CodingKey {
        case id, ids, epoch, fence, incarnation, highest, problem, place, known, filter
        case processID = "process_id"
    }

    init(_ text: String?) {
        guard let text, let detail = try? JSONDecoder().decode(RefusalDetail.self, from: Data(text.utf8)) else {
            return
        }
        self = detail
    }
}
