import ArgumentParser
import Foundation
import TestSupport

/// The process that serves the socket is stopped: how long until the others notice, how far readers lag in the
/// meantime, and how long until another serves.
struct SilentServerCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "silent-server", abstract: "Stops the process that serves the socket.")

    @Option(help: "For how many seconds it is stopped.") var seconds = 5.0
    @Option(help: "Within how many seconds it has to be noticed.") var noticeBar = 2.0
    @Option(help: "How many seconds readers may lag at most.") var lagBar = 1.5
    @Option(help: "How many times as long it may take, on a machine that does other things too.") var slack = 1.0

    func run() async throws {
        let folder = try TemporaryFolder()
        let children = Children(folder: folder.path)
        defer { children.killAll() }
        // It only reads, so that it cannot be stopped with the database's write lock.
        let server = try await children.start("server", ["puppet", "--closes-nobody"])
        try await linkIsUp(server)
        let writer = try await children.start("writer", ["puppet", "--instance", "w1"])
        try await linkIsUp(writer)
        let reader = try await LagReader(Participant.parse(["--folder", folder.path]))
        writer.write("stamps 20")
        try await eventually("events arrive") { reader.count > 50 && reader.isUp }
        reader.forget()
        // For so long the lag is taken down, to be compared with that of the time without a server.
        try await Task.sleep(for: .seconds(1))
        let before = reader.forget()

        let stopped = MonotonicTime.now
        server.send(SIGSTOP)
        try await Task.sleep(for: .seconds(seconds))
        let during = reader.forget()
        let noticed = seconds(of: "down", after: stopped, reader, writer)
        let served = seconds(of: "up", after: stopped, reader, writer)
        server.send(SIGCONT)
        try await eventually("the server that was stopped follows the new one") {
            server.times(of: "up").count >= 2 && !server.times(of: "down").isEmpty
        }
        try await reader.end()

        print(
            "the server's silence was noticed after \(Figures.text(noticed)) s at most, another served after "
                + "\(Figures.text(served)) s at most")
        print("lag before: \(before.summary); while it was stopped: \(during.summary)")
        guard noticed <= noticeBar * slack else { throw Failure("the silence was noticed after \(noticed) s") }
        guard served <= self.seconds else { throw Failure("nobody else served within \(self.seconds) s") }
        guard during.maximum <= lagBar * slack else { throw Failure("readers lagged by \(during.maximum) s") }
        guard !during.seconds.isEmpty else { throw Failure("no event came while the server was stopped") }
    }

    private func linkIsUp(_ program: Program) async throws {
        try await eventually("a link is up") { !program.times(of: "up").isEmpty }
    }

    /// How long it took until this had happened to the links of both; much where it did not.
    private func seconds(of what: String, after stopped: Int64, _ reader: LagReader, _ writer: Program) -> Double {
        let times = [reader.times(of: what), writer.times(of: what)].map { times in times.first { $0 >= stopped } }
        let seconds = times.map { time in time.map { Double($0 - stopped) / 1e9 } ?? .infinity }
        return min(seconds.max() ?? .infinity, 999)
    }
}

extension Program {
    /// When this happened to a puppet's link.
    fileprivate func times(of what: String) -> [Int64] {
        let fields = lines.map { $0.split(separator: " ") }
        return fields.filter { $0.count == 2 && $0[0] == what }.compactMap { Int64($0[1]) }
    }
}
