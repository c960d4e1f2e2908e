import Foundation
import TestSupport
import Testing
import Tidemark

@testable import TidemarkPostgreSQL

/// The errors that the functions raise have SQLSTATEs of their own, which any client sees.
@Suite struct RefusalTests {
    /// The codes, by the sentences that they are raised with.
    private static let raised: [String: Set<String>] = {
        var raised: [String: Set<String>] = [:]
        let pattern = /RAISE EXCEPTION\s+'(?<text>[^']*)'[^;]*?USING\s+ERRCODE = '(?<code>[0-9A-Z]{5})'/
        for match in Schema.text.matches(of: pattern) {
            raised[String(match.output.code), default: []].insert(String(match.output.text))
        }
        return raised
    }()

    private static let ours = raised.filter { $0.key.hasPrefix("TM") }

    @Test func `every code that is raised is found here`() {
        let named = Set(Schema.text.matches(of: /ERRCODE = '(?<code>TM[0-9A-Z]{3})'/).map { String($0.output.code) })
        #expect(named == Set(Self.ours.keys))
        #expect(named.count > 20)
    }

    /// What each code says in a call that is about everything.
    private func meaning(_ code: String) -> TidemarkError? {
        var subject = CallSubject(
            "events", writer: Writer("p1", epoch: 3), consumer: "mailer")
        subject.start = .afterPlace(EventPlace(database: DatabaseID(1), id: 7, mark: nil))
        subject.begin = 5
        let message = ServerMessage(
            sqlState: code, message: "m",
            detail: #"{"id":9,"ids":[9],"epoch":4,"fence":2,"highest":8,"problem":"p","place":"x","known":["a"]}"#)
        let errors = StoreErrors(store: "s", namespace: "tidemark", lockLimit: .seconds(1), role: nil)
        return errors.tidemarkError(PostgresError.refused(server: "h", message), subject) as? TidemarkError
    }

    /// The name of an error's case.
    private func kind(_ error: TidemarkError) -> String {
        Mirror(reflecting: error).children.first?.label ?? "\(error)"
    }

    @Test func `each code is a typed error, and no two are the same one`() throws {
        var codes: [String: [String]] = [:]
        // With it the store is told to use the function for streams that have an index; no caller sees it.
        for code in Self.ours.keys.sorted() where code != "TM031" {
            let error = try #require(meaning(code), "\(code)")
            if case .storeUnavailable = error { Issue.record("\(code) is told as an unknown error: \(error)") }
            codes[kind(error), default: []].append(code)
        }
        let shared = codes.filter { $0.value.count > 1 }
        // An ID that was closed, and one of another life of the database: nothing can be committed under either.
        #expect(shared == ["closed": ["TM007", "TM013"]])
    }

    @Test func `the document beside the module has a row for each code`() throws {
        let document = URL(filePath: #filePath).deletingLastPathComponent()
            .appending(path: "../../Sources/TidemarkPostgreSQL/DESIGN.md")
        let rows = try String(contentsOf: document, encoding: .utf8).matches(of: /\| `(?<code>TM[0-9]{3})` \|/).map {
            String($0.output.code)
        }
        #expect(rows == Self.ours.keys.sorted())
    }
}
