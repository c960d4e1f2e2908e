import ArgumentParser
import Tidemark

/// What instances say to each other.
enum Mode: String, CaseIterable, ExpressibleByArgument, Sendable {
    /// Nothing: no rows, no positions, no reconciling, no durable positions but those of joining. The bare idea of a
    /// minimum over positions.
    case off
    /// Their positions once a second, and nothing else.
    case periodic
    /// What the library does by default.
    case `default`
    /// The same without any replication: through the database alone.
    case none
    /// What the library does by default, over a Redis server.
    case redis

    var configuration: EventLogConfiguration {
        var configuration = EventLogConfiguration()
        // The channel is the run's own: nobody has to be listened for, which takes half a second.
        configuration.speaksBesideOthers = true
        switch self {
        case .off:
            configuration.announcements = .none
        case .periodic:
            configuration.announcements = .periodic(.seconds(1))
        case .default, .none, .redis:
            return configuration
        }
        configuration.heartbeatInterval = nil
        configuration.reconcileInterval = nil
        return configuration
    }
}
