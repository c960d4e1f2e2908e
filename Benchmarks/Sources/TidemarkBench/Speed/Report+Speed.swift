extension Report {
    /// What the speed scenarios measured, for people: a line a figure.
    var speedLines: [String] {
        let prefixes = ["persist.", "processes4.", "read.", "generator.", "parse.", "replication.", "pg."]
        return prefixes.flatMap { prefix in
            let own = figures.filter { $0.name.hasPrefix(prefix) }
            let width = own.map(\.name.count).max() ?? 0
            return own.isEmpty
                ? []
                : [""]
                    + own.map { figure in
                        figure.name + String(repeating: " ", count: width - figure.name.count + 2)
                            + Self.short(figure.value)
                    }
        }
    }

    /// Four digits that say something.
    private static func short(_ value: Double) -> String {
        if value.magnitude >= 100 { return String(Int(value.rounded())) }
        let scale: Double = value.magnitude >= 10 ? 100 : 1_000
        return String((value * scale).rounded() / scale)
    }
}
