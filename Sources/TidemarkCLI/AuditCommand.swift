import ArgumentParser
import Tidemark

/// `tidemark audit`: proves afterwards that a consumer has read everything, or names what it has not.
struct AuditCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "audit",
        abstract: "Checks that a consumer's past was complete: that nothing was skipped up to its checkpoint.",
        discussion: """
            It looks at every row of the stream, names each event that was committed at or below the checkpoint after \
            the checkpoint was taken, compares what is there with what was delivered, and finds rows that another \
            program wrote behind Tidemark's back. It ends with 0 when all is well, and with 65 when it found something.

            EXAMPLE:
              tidemark audit --database events.db --consumer mailer
            """)

    @OptionGroup var database: DatabaseOptions

    @Option(
        help: ArgumentHelp("The consumer, as given to tail --consumer.", valueName: "NAME"),
        transform: ConsumerName.init(validating:))
    var consumer: ConsumerName

    @Flag(help: "Write one JSON object on one line.")
    var json = false

    func run() async throws {
        let command = self
        // Its status is the answer, whoever reads the findings.
        try await Interruption.cancels(verbose: database.verbose, readerGone: .goesOn) { output in
            let audit = try await command.database.readOnce {
                try await $0.audit(command.database.stream, consumer: command.consumer, limit: 1000)
            }
            let report = AuditReport(audit: audit)
            try await output.write(command.json ? report.json + "\n" : report.text)
            if !audit.isComplete { throw IncompletePast(audit: audit) }
        }
    }
}

/// The audit found something.
struct IncompletePast: ProgramError {
    let audit: Audit

    var status: ExitStatus { .badData }

    var description: String {
        "the past of consumer \(audit.consumer) of stream \(audit.stream) is not what it should be: "
            + "\(audit.findingCount) finding\(audit.findingCount == 1 ? "" : "s")"
    }
}

/// What `audit` shows, for programs and for people.
struct AuditReport {
    let audit: Audit

    /// One JSON object without a newline, its members always in this order.
    var json: String {
        let findings = audit.findings.map { finding in
            "{\"kind\":\"\(finding.kind.rawValue)\",\"stream_id\":\(Self.number(finding.id?.rawValue))"
                + ",\"commit\":\(Self.number(finding.mark?.rawValue))"
                + ",\"description\":\(JSONString.quoted(finding.description))}"
        }
        return "{\"stream\":\(JSONString.quoted(audit.stream.rawValue))"
            + ",\"consumer\":\(JSONString.quoted(audit.consumer.rawValue)),\"complete\":\(audit.isComplete)"
            + ",\"position\":\(audit.position),\"snapshot\":\"\(audit.snapshot)\",\"events\":\(audit.events)"
            + ",\"pruned\":\(audit.pruned)"
            + ",\"delivered\":\(Self.number(audit.delivered)),\"finding_count\":\(audit.findingCount)"
            + ",\"findings\":[\(findings.joined(separator: ","))]}"
    }

    /// A line for each finding, and one that sums up, with a newline at the end.
    var text: String {
        let delivered = audit.delivered.map { "\($0) delivered" } ?? "it is not known how many were delivered"
        let sum =
            "\(audit.isComplete ? "complete" : "NOT complete"): consumer \(audit.consumer) of stream \(audit.stream) "
            + "is at \(audit.position); \(audit.events) events are there up to it, "
            + (audit.pruned > 0 ? "\(audit.pruned) were pruned, " : "") + "\(delivered)"
        let more = audit.findingCount - audit.findings.count
        let lines = audit.findings.map(\.description) + (more > 0 ? ["\(more) more"] : []) + [sum]
        return lines.map { $0.onOneLine + "\n" }.joined()
    }

    private static func number(_ value: Int64?) -> String { value.map(String.init) ?? "null" }
}
