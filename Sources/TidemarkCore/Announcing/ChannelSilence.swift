/// When a log may speak on its channel, where other software may be that comes to harm by what it does not expect.
///
/// Such software is known by what it says, and by nothing else. So a log listens first on each connection, where its
/// transport wants that, and keeps silent for a quiet time after each line of other software. Then it asks once more who is
/// there, because others have nothing to say for hours perhaps, and speaks where nobody like that answers. A new
/// connection, on which the transport asks, ends the silence too: other programs may be there now.
package struct ChannelSilence: Sendable {
    package enum Verdict: Hashable, Sendable {
        case speak
        /// From now on; until now it listened, or was silent, as it had said.
        case begin(wasSilent: Bool)
        /// Ask the others for their positions, and look again at this time.
        case ask(lookingAt: Duration)
        /// Look again at this time.
        case wait(until: Duration)
    }

    /// Within this time everyone who is there has answered.
    private static let answerTime = Duration.milliseconds(500)

    private let listening: Duration
    private let quietTime: Duration
    /// Nil while it speaks.
    private var until: Duration?
    private var isSilent = false
    private var hasAsked = false

    /// - Parameters:
    ///   - listening: for how long it listens on a new connection.
    ///   - quietTime: how long no line of other software may have come before it speaks again.
    package init(listening: Duration, quietTime: Duration, now: Duration) {
        self.listening = listening
        self.quietTime = quietTime
        until = listening > .zero ? now + listening : nil
    }

    /// False while it says nothing: then ``look(now:)`` tells for how long.
    package var speaks: Bool { until == nil }

    /// What was heard before was on another connection.
    package mutating func connected(now: Duration) {
        guard isSilent || listening > .zero else { return }
        until = now + listening
        hasAsked = true
    }

    /// - Returns: whether it falls silent by that.
    package mutating func heardOtherSoftware(now: Duration) -> Bool {
        defer { isSilent = true }
        until = now + quietTime
        hasAsked = false
        return !isSilent
    }

    package mutating func look(now: Duration) -> Verdict {
        guard let until else { return .speak }
        if now < until { return .wait(until: until) }
        if isSilent, !hasAsked {
            hasAsked = true
            let lookAt = now + max(listening, Self.answerTime)
            self.until = lookAt
            return .ask(lookingAt: lookAt)
        }
        defer { isSilent = false }
        self.until = nil
        return .begin(wasSilent: isSilent)
    }
}
