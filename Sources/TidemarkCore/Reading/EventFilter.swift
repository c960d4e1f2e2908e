/// Which events a consumer is given, by their types and keys. The database applies it, and keeps it with the consumer.
///
/// ```swift
/// .types(["order.placed", "order.paid"]).and(.keyPrefix("shop/7/"))
/// ```
///
/// Texts are compared byte for byte. An event without a key passes no filter of keys, and an event in a table of the user's
/// own, whose type and key are not known here, passes none but ``all``.
public struct EventFilter: Hashable, Sendable {
    /// The types that pass; nil where all do.
    package private(set) var types: Set<[UInt8]>?
    /// The keys that pass; nil where all do, and events without a key.
    package private(set) var keys: Set<[UInt8]>?
    /// What a key begins with; nil where there are ``keys``, or all pass.
    package private(set) var keyPrefix: [UInt8]?

    /// How many types and keys a filter has at most, together.
    public static let mostTexts = 1_000
    /// How many bytes of UTF-8 its texts have at most, together.
    public static let mostBytes = 64 << 10

    /// Every event passes.
    public static let all = EventFilter()

    /// Events of one of these types.
    public static func types(_ types: some Sequence<String>) -> EventFilter {
        EventFilter(types: Set(types.map { Array($0.utf8) }))
    }

    /// Events of one of these keys.
    public static func keys(_ keys: some Sequence<String>) -> EventFilter {
        EventFilter(keys: Set(keys.map { Array($0.utf8) }))
    }

    /// Events whose key begins with this.
    public static func keyPrefix(_ prefix: String) -> EventFilter { EventFilter(keyPrefix: Array(prefix.utf8)) }

    /// Events that pass both.
    public func and(_ other: EventFilter) -> EventFilter {
        var (prefix, disagrees) = (keyPrefix ?? other.keyPrefix, false)
        if let one = keyPrefix, let two = other.keyPrefix {
            prefix = one.count > two.count ? one : two
            disagrees = !one.starts(with: two) && !two.starts(with: one)
        }
        return EventFilter(
            types: disagrees ? [] : Self.intersection(types, other.types),
            keys: Self.intersection(keys, other.keys), keyPrefix: prefix)
    }

    /// Filters that say the same are equal: a prefix beside keys goes into these, and all that let nothing pass are one.
    package init(types: Set<[UInt8]>? = nil, keys: Set<[UInt8]>? = nil, keyPrefix: [UInt8]? = nil) {
        let keys = keyPrefix.flatMap { prefix in keys?.filter { $0.starts(with: prefix) } } ?? keys
        if types?.isEmpty == true || keys?.isEmpty == true {
            self.types = []
            return
        }
        self.types = types
        self.keys = keys
        self.keyPrefix = keys == nil ? keyPrefix : nil
    }

    private static func intersection(_ one: Set<[UInt8]>?, _ two: Set<[UInt8]>?) -> Set<[UInt8]>? {
        guard let one, let two else { return one ?? two }
        return one.intersection(two)
    }

    /// Whether an event passes.
    public func passes(type: String, key: String?) -> Bool {
        if let types, !types.contains(Array(type.utf8)) { return false }
        if keys == nil, keyPrefix == nil { return true }
        guard let key else { return false }
        if let keys { return keys.contains(Array(key.utf8)) }
        return key.utf8.starts(with: keyPrefix ?? [])
    }

    /// What is wrong with it, as databases keep it; nil where nothing is.
    package var problem: String? {
        let texts = (types ?? []).union(keys ?? []).union(keyPrefix.map { [$0] } ?? [])
        let count = (types?.count ?? 0) + (keys?.count ?? 0)
        if count > Self.mostTexts { return "it has \(count) types and keys, the limit is \(Self.mostTexts)" }
        let bytes = texts.reduce(0) { $0 + $1.count }
        if bytes > Self.mostBytes { return "its texts have \(bytes) bytes, the limit is \(Self.mostBytes)" }
        return texts.contains { $0.contains(0) } ? "one of its texts has a zero byte" : nil
    }
}

extension EventFilter: CustomStringConvertible {
    /// For people; of many texts it shows the first.
    public var description: String {
        func shown(_ texts: Set<[UInt8]>) -> String {
            let some = texts.sorted { $0.lexicographicallyPrecedes($1) }.prefix(5).map {
                "\"\(String(decoding: $0.prefix(64), as: UTF8.self))\""
            }
            return some.joined(separator: ", ") + (texts.count > 5 ? " and \(texts.count - 5) more" : "")
        }
        if types?.isEmpty == true { return "no event" }
        let parts = [
            types.map { "type \(shown($0))" }, keys.map { "key \(shown($0))" },
            keyPrefix.map { "keys that begin with \(shown([$0]))" },
        ].compactMap(\.self)
        return parts.isEmpty ? "all events" : parts.joined(separator: ", and ")
    }
}
