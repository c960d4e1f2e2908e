import Tidemark

/// Somebody prunes, now and then, in one of four histories; and not where a consumer of the user's own wants to see all events.
extension Simulation {
    static func prunes(seed: UInt64, _ configuration: SimulationConfiguration) -> Bool {
        guard configuration.consumer == nil else { return false }
        guard let rule = configuration.withoutRule else { return scattered(seed, configuration) % 4 == 0 }
        return rule == .pruningBelowPositions
    }

    mutating func pruneNowAndThen() {
        guard prunes, random.chance(4) else { return }
        let stream = database.stream
        var request = PruneRequest(
            stream: SimulatedDatabase.stream,
            through: StreamID(Int64(1 + random.below(Int(max(stream.sequence.rawValue, 1))))))
        request.limit = 1 + random.below(4)
        if random.chance(30) { request.ignoring = Set(stream.consumers.keys) }
        do throws(TidemarkError) {
            let step = try database.prune(request)
            history.add(Int(step.through.rawValue))
            note(0, 40, "sees the stream pruned up to \(step.through)")
        } catch .pruneHeldBack {
            return
        } catch {
            fail(.falseAlarm, "pruning: \(error)")
        }
    }

    /// The claim of a process's consumer; where that is below what was pruned, somebody moves it by hand.
    mutating func claim(_ number: Int) -> ConsumerClaim? {
        let name = processes[number].consumerName
        processes[number].memory.claimEra = database.stream.eras.last
        do throws(TidemarkError) {
            return try database.claim(name)
        } catch .pruned(_, _, let through) where prunes {
            do throws(TidemarkError) {
                // One that is not there yet cannot begin at the beginning.
                if database.stream.consumers[name] == nil { return try database.claim(name, from: .after(through)) }
                try database.moveConsumer(name, to: .after(through))
                return try database.claim(name)
            } catch {
                fail(.falseAlarm, "\(error)")
            }
        } catch {
            fail(.falseAlarm, "\(error)")
        }
        return nil
    }

    /// The reader was told that what it wants was pruned: it goes on where the stream begins.
    mutating func goOn(_ number: Int, after through: StreamID) {
        guard let claim = claim(number) else { return }
        processes[number].memory.claim = claim
        processes[number].memory.batch = nil
        processes[number].memory.start = max(claim.position, through)
        takeUp(number, after: claim.position)
        let place = max(claim.position, through)
        processes[number].memory.cursor = ReaderCursor(after: place)
        processes[number].reached = max(processes[number].reached, place)
        note(number, 41, "goes on after \(place)")
    }
}
