import ArgumentParser
import Tidemark

/// Which events a consumer is given.
struct FilterOptions: ParsableArguments {
    @Option(help: ArgumentHelp("Only events of this type, or of one of these.", valueName: "TYPE"))
    var type: [String] = []

    @Option(help: ArgumentHelp("Only events of this key, or of one of these.", valueName: "KEY"))
    var key: [String] = []

    @Option(help: ArgumentHelp("Only events whose key begins with this.", valueName: "TEXT"))
    var keyPrefix: String?

    var isGiven: Bool { !type.isEmpty || !key.isEmpty || keyPrefix != nil }

    var filter: EventFilter {
        var filter = EventFilter.all
        if !type.isEmpty { filter = filter.and(.types(type)) }
        if !key.isEmpty { filter = filter.and(.keys(key)) }
        if let keyPrefix { filter = filter.and(.keyPrefix(keyPrefix)) }
        return filter
    }
}

extension ConsumerStart {
    /// - Throws: `ValidationError`.
    init(argument text: String) throws {
        switch text {
        case "beginning": self = .beginning
        case "end": self = .end
        default:
            if text.contains(":"), let place = EventPlace(text) {
                self = .after(place)
                return
            }
            self = .after(
                StreamID(try NumberOption.parse(text, in: 0 ... .max, "beginning, end, or a stream ID, from 0 on")))
        }
    }
}
