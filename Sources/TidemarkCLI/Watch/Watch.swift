import Synchronization
import Tidemark

/// Listens to a transport and writes what is heard.
struct Watch: Sendable {
    let transport: any ReplicationTransport
    /// How many lines the transport has skipped so far.
    let skippedLines: @Sendable () -> Int
    let report: WatchReport
    let output: Output

    /// Until the task is cancelled; then what was heard is written, and where the streams are.
    ///
    /// - Throws: `CancellationError`, ``OutputFailure``, or what the transport throws.
    func run() async throws {
        let heard = HeardCommands()
        let first = Mutex(FirstCommand())
        let connection = try await transport.connect(as: .ofWatcher()) { event in
            switch event {
            case .connected: first.withLock { $0.connected() }
            case .disconnected: break
            case .command:
                // It works: that is all that somebody without a database can catch up with.
                first.withLock { $0.heard() }?.caughtUp()
            }
            heard.append(event, time: WallClock.milliseconds())
        }
        first.withLock { $0.attach(connection) }
        do {
            try await write(heard)
        } catch {
            first.withLock { $0.detach() }
            await connection.close()
            throw error
        }
    }

    private func write(_ heard: HeardCommands) async throws {
        var report = report
        let clock = ContinuousClock()
        let start = clock.now
        let ticks = Task {
            while true {
                try await clock.sleep(for: .milliseconds(250))
                heard.look()
            }
        }
        defer { ticks.cancel() }
        for await _ in heard.wakes {
            let text = text(heard.take(), &report, now: clock.now - start)
            if !text.isEmpty { try await output.write(text) }
        }
        let rest = text(heard.take(), &report, now: clock.now - start, isEnd: true)
        if !rest.isEmpty { try await output.write(rest) }
        throw CancellationError()
    }

    private func text(
        _ heard: (entries: [HeardCommands.Entry], leftOut: Int), _ report: inout WatchReport, now: Duration,
        isEnd: Bool = false
    ) -> String {
        var text = ""
        for entry in heard.entries { text += report.heard(entry.event, time: entry.time) }
        let time = WallClock.milliseconds()
        if heard.leftOut > 0 { text += report.leftOut(heard.leftOut, time: time) }
        return text + report.summaries(now: now, time: time, isEnd: isEnd)
            + report.skipped(skippedLines(), now: now, time: time, isEnd: isEnd)
    }
}

extension InstanceName {
    /// A name that no writer has.
    static func ofWatcher() -> InstanceName {
        InstanceName(stringLiteral: "watch-" + String(UInt64.random(in: 0 ... .max), radix: 36))
    }
}
