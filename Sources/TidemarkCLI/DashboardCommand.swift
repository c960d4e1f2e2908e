import ArgumentParser
import Foundation
import Tidemark
import TidemarkDashboard

/// `tidemark dashboard`: the live page.
struct DashboardCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "dashboard",
        abstract: "Serves a live page about the streams of a database.",
        discussion: """
            It shows the streams, their writers and consumers, and who holds readers back, and only reads. The page is on this \
            machine alone; beyond it only over TLS and with a token: a browser goes to https://HOST:PORT/?token=TOKEN once, \
            others send it as "Authorization: Bearer TOKEN". A database that is not there yet is waited for.

            EXAMPLE:
              tidemark dashboard --database events.db --port 8089
            """)

    @OptionGroup var database: DatabaseOptions

    @Option(
        parsing: .unconditional, help: ArgumentHelp("The port to listen on.", valueName: "N"),
        transform: { try NumberOption.parse($0, in: 1...65_535, "a port from 1 to 65535") })
    var port = 8089

    @Option(help: ArgumentHelp("The address to listen on.", valueName: "ADDRESS"))
    var host = "127.0.0.1"

    @Option(help: ArgumentHelp("A file with the token, of its owner alone.", valueName: "PATH"))
    var tokenFile: String?

    @Option(help: ArgumentHelp("The server's certificate, and those that it is signed by, as PEM.", valueName: "PATH"))
    var certificate: String?

    @Option(help: ArgumentHelp("The key of the certificate, as PEM.", valueName: "PATH"))
    var key: String?

    mutating func validate() throws {
        guard (certificate == nil) == (key == nil) else { throw ValidationError("--certificate and --key go together") }
        if Self.loopback.contains(host) { return }
        guard tokenFile != nil, certificate != nil else {
            throw ValidationError(
                "beyond loopback the page is served only over TLS and with a token: give --certificate, --key and "
                    + "--token-file, or leave --host away")
        }
    }

    static let loopback: Set<String> = ["127.0.0.1", "::1", "localhost"]

    #if !Dashboard
    func run() async throws { throw NoDashboard() }
    #endif
}

/// The program was built without the trait that fetches the server.
struct NoDashboard: ProgramError {
    var status: ExitStatus { .unavailable }
    var description: String {
        "this program was built without the live page: build it with `swift build --traits Dashboard`, or use `tidemark "
            + "status --watch`"
    }
}

#if Dashboard
import Hummingbird
import HummingbirdCore
import HummingbirdTLS
import Logging
import NIOCore
import NIOSSL
import Synchronization

extension DashboardCommand {
    func run() async throws {
        let command = self
        try await Interruption.cancels(verbose: database.verbose, readerGone: .goesOn) { output in
            let store = LazyStore(command.database)
            try await command.serve(store, output)
        }
    }

    private func serve(_ store: LazyStore, _ output: Output) async throws {
        let token = try tokenFile.map(DashboardToken.init(file:))
        let router = Router()
        router.add(middleware: HostCheck(allowed: Self.loopback.contains(host) ? Self.loopback : nil))
        if let token { router.add(middleware: TokenCheck(token: token, isSecure: certificate != nil)) }
        Dashboard(
            DashboardSource(
                store: { try await store.opened() }, streams: { _ in try await store.streams() })
        ).addRoutes(to: router)
        let place = "\(certificate == nil ? "http" : "https")://\(host.contains(":") ? "[\(host)]" : host):\(port)/"
        let application = try Application(
            router: router, server: server(), configuration: .init(address: .hostname(host, port: port)),
            onServerRunning: { _ in
                try? await output.write("the live page is at \(place)\(token == nil ? "" : "?token=…")\n")
            }, logger: Logger(label: "tidemark.dashboard") { _ in SwiftLogNoOpLogHandler() })
        let result = await Result.catching { try await application.run() }
        await store.close()
        do {
            try result.get()
        } catch let error as IOError {
            throw CannotListen(
                place: place, problem: "\(error.errnoCode == EADDRINUSE ? "the port is taken" : "\(error)")")
        }
    }

    private func server() throws -> HTTPServerBuilder {
        guard let certificate, let key else { return .http1() }
        do {
            var configuration = TLSConfiguration.makeServerConfiguration(
                certificateChain: try NIOSSLCertificate.fromPEMFile(certificate).map { .certificate($0) },
                privateKey: .privateKey(try NIOSSLPrivateKey(file: key, format: .pem)))
            configuration.minimumTLSVersion = .tlsv12
            return try .tls(.http1(), tlsConfiguration: configuration)
        } catch {
            throw UnusableCertificate(path: certificate, problem: "\(error)")
        }
    }
}

/// The page cannot be served there.
private struct CannotListen: ProgramError {
    let place: String
    let problem: String

    var status: ExitStatus { .unavailable }
    var description: String { "cannot serve the page at \(place): \(problem); --port takes another one" }
}

private struct UnusableCertificate: ProgramError {
    let path: String
    let problem: String

    var status: ExitStatus { .unavailable }
    var description: String { "the certificate \(path) or its key cannot be used: \(problem)" }
}

/// The database of the page, opened when somebody looks, and anew where it could not be used.
private actor LazyStore {
    private let database: DatabaseOptions
    private var store: (any ProgramStore)?

    init(_ database: DatabaseOptions) { self.database = database }

    func opened() async throws -> any ProgramStore {
        if let store { return store }
        let opened = try await database.openReadOnly()
        // Somebody else may have opened it meanwhile.
        if let store {
            await opened.close()
            return store
        }
        store = opened
        return opened
    }

    func streams() async throws -> [StreamName] {
        do {
            return try await opened().streams(limit: 20)
        } catch {
            // Somebody may have put another file in its place: then it is opened anew.
            await close()
            throw error
        }
    }

    func close() async {
        let old = store
        store = nil
        await old?.close()
    }
}

/// A word that only those know who may look.
struct DashboardToken: Sendable {
    private let bytes: [UInt8]

    /// - Throws: ``UnusableToken``, which never holds the token.
    init(file: String) throws {
        var information = stat()
        guard stat(file, &information) == 0, let data = FileManager.default.contents(atPath: file) else {
            throw UnusableToken(path: file, problem: "it cannot be read")
        }
        guard information.st_mode & 0o077 == 0 else {
            throw UnusableToken(path: file, problem: "others may read it: chmod 600")
        }
        let text = String(decoding: data, as: UTF8.self).trimmingCharacters(in: .whitespacesAndNewlines)
        guard text.utf8.count >= 16, text.utf8.allSatisfy({ (0x21...0x7E).contains($0) && $0 != UInt8(ascii: ";") })
        else {
            throw UnusableToken(
                path: file,
                problem: "a token has 16 letters at least, without blanks and semicolons: openssl rand -hex 24")
        }
        bytes = Array(text.utf8)
    }

    /// In a time that does not tell how far it is right.
    func isRight(_ text: some StringProtocol) -> Bool {
        let other = Array(text.utf8)
        var difference = UInt8(other.count == bytes.count ? 0 : 1)
        for (index, byte) in bytes.enumerated() { difference |= byte ^ (index < other.count ? other[index] : 0) }
        return difference == 0
    }
}

struct UnusableToken: ProgramError {
    let path: String
    let problem: String

    var status: ExitStatus { .unavailable }
    var description: String { "the token in \(path) cannot be used: \(problem)" }
}

/// A page of somebody else's, whose name was made to mean this machine, is not to read what only this machine may.
private struct HostCheck<Context: RequestContext>: RouterMiddleware {
    /// Nil where any will do.
    let allowed: Set<String>?

    func handle(
        _ request: Request, context: Context, next: (Request, Context) async throws -> Response
    ) async throws -> Response {
        if let allowed {
            let authority = request.head.authority ?? ""
            let name =
                authority.hasPrefix("[")
                ? authority.dropFirst().prefix { $0 != "]" } : authority.prefix { $0 != ":" }
            guard allowed.contains(String(name)) else {
                throw HTTPError(.forbidden, message: "another host is asked for")
            }
        }
        return try await next(request, context)
    }
}

/// Lets those in who know the token: in a header, or in a cookie, which they get for having it in the address once.
private struct TokenCheck<Context: RequestContext>: RouterMiddleware {
    private static var cookie: String { "tidemark_dashboard" }

    let token: DashboardToken
    let isSecure: Bool

    func handle(
        _ request: Request, context: Context, next: (Request, Context) async throws -> Response
    ) async throws -> Response {
        if let header = request.headers[.authorization], header.hasPrefix("Bearer "), token.isRight(header.dropFirst(7))
        {
            return try await next(request, context)
        }
        if let cookie = request.cookies[Self.cookie], token.isRight(cookie.value) {
            return try await next(request, context)
        }
        if let given = request.uri.queryParameters["token"], token.isRight(given) {
            var response = Response.redirect(to: "./", type: .normal)
            response.setCookie(
                Cookie(
                    name: Self.cookie, value: String(given), path: "/", secure: isSecure, httpOnly: true,
                    sameSite: .strict))
            return response
        }
        throw HTTPError(.unauthorized, headers: [.wwwAuthenticate: "Bearer"], message: "the token is missing or wrong")
    }
}
#endif
