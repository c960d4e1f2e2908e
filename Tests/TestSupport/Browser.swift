import Foundation
import Synchronization

/// Chromium without a window, steered over two pipes by its DevTools protocol
/// (https://chromedevtools.github.io/devtools-protocol/).
public final class Browser: Sendable {
    /// Something that the browser said no to, or did not answer in time.
    public struct Failure: Error, CustomStringConvertible {
        public let description: String
    }

    private static let paths = ["/usr/bin/chromium", "/usr/bin/chromium-browser", "/usr/bin/google-chrome"]

    /// Whether there is one on this machine.
    public static var isInstalled: Bool { path != nil }
    private static var path: String? { paths.first { FileManager.default.isExecutableFile(atPath: $0) } }

    private struct State {
        var number = 0
        var answers: [Int: [String: any Sendable]] = [:]
        var isOver = false
    }

    private let state = Mutex(State())
    private let process: Process
    private let requests: FileHandle
    private let folder: URL
    private let session = Mutex("")

    /// Starts one with an empty page, and a profile of its own that is removed at the end.
    public init(width: Int = 1200, height: Int = 900, isDark: Bool = false) async throws {
        guard let path = Self.path else { throw Failure(description: "there is no Chromium") }
        folder = FileManager.default.temporaryDirectory.appending(path: "browser-\(UUID().uuidString)")
        process = Process()
        process.executableURL = URL(filePath: "/bin/bash")
        process.arguments = [
            "-c", "exec \"$@\" 3<&0 4>&1 >/dev/null 2>/dev/null", "browser", path, "--headless=new",
            "--remote-debugging-pipe", "--user-data-dir=\(folder.path)", "--no-first-run", "--disable-gpu",
            "--disable-dev-shm-usage", "--no-sandbox", "--hide-scrollbars",
        ]
        let (input, output) = (Pipe(), Pipe())
        process.standardInput = input
        process.standardOutput = output
        requests = input.fileHandleForWriting
        try process.run()
        let answers = output.fileHandleForReading
        // It blocks in the pipe until the browser ends.
        Thread { [self] in
            var rest = Data()
            while true {
                let data = answers.availableData
                if data.isEmpty { break }
                rest += data
                while let end = rest.firstIndex(of: 0) {
                    take(rest[rest.startIndex..<end])
                    rest = Data(rest[rest.index(after: end)...])
                }
            }
            state.withLock { $0.isOver = true }
        }.start()
        let target = try await ask("Target.createTarget", ["url": "about:blank"])["targetId"] as? String
        let attached = try await ask("Target.attachToTarget", ["targetId": target ?? "", "flatten": true])
        session.withLock { $0 = attached["sessionId"] as? String ?? "" }
        try await show(width: width, height: height, isDark: isDark)
    }

    /// Ends it by its process ID.
    public func end() {
        if process.isRunning {
            kill(process.processIdentifier, SIGKILL)
            process.waitUntilExit()
        }
        try? FileManager.default.removeItem(at: folder)
    }

    /// How large the window is, and whether dark pages are liked.
    public func show(width: Int, height: Int, isDark: Bool) async throws {
        _ = try await ask(
            "Emulation.setDeviceMetricsOverride",
            ["width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 600])
        _ = try await ask(
            "Emulation.setEmulatedMedia",
            ["features": [["name": "prefers-color-scheme", "value": isDark ? "dark" : "light"]]])
    }

    /// Goes to a page.
    public func go(to url: String) async throws { _ = try await ask("Page.navigate", ["url": url]) }

    /// What the page shows as text.
    public func text() async throws -> String {
        let answer = try await ask(
            "Runtime.evaluate", ["expression": "document.body ? document.body.innerText : ''", "returnByValue": true])
        return (answer["result"] as? [String: any Sendable])?["value"] as? String ?? ""
    }

    /// A picture of what the page shows, as PNG.
    public func screenshot() async throws -> Data {
        let answer = try await ask("Page.captureScreenshot", ["format": "png"])
        return (answer["data"] as? String).flatMap { Data(base64Encoded: $0) } ?? Data()
    }

    private func take(_ bytes: Data) {
        guard let message = try? JSONSerialization.jsonObject(with: bytes) as? [String: any Sendable],
            let number = message["id"] as? Int
        else { return }
        state.withLock { $0.answers[number] = message }
    }

    private func ask(_ method: String, _ parameters: [String: any Sendable]) async throws -> [String: any Sendable] {
        let number = state.withLock { state in
            state.number += 1
            return state.number
        }
        var request: [String: any Sendable] = ["id": number, "method": method, "params": parameters]
        let session = session.withLock { $0 }
        if !session.isEmpty { request["sessionId"] = session }
        try requests.write(contentsOf: JSONSerialization.data(withJSONObject: request) + [0])
        let deadline = ContinuousClock.now + .seconds(30)
        while ContinuousClock.now < deadline {
            let (answer, isOver) = state.withLock { ($0.answers.removeValue(forKey: number), $0.isOver) }
            if let answer {
                if let error = answer["error"] { throw Failure(description: "\(method): \(error)") }
                return answer["result"] as? [String: any Sendable] ?? [:]
            }
            if isOver { throw Failure(description: "\(method): the browser has ended") }
            // The thread that reads the pipe puts the answer down; until then it is looked for.
            try await Task.sleep(for: .milliseconds(5))
        }
        throw Failure(description: "\(method): no answer within 30 s")
    }
}
