import Foundation

#if canImport(FoundationNetworking)
import FoundationNetworking
#endif

/// Calls the services as a customer's program would: what is not answered, or may go better later, is sent again, to the other one.
struct Client: Sendable {
    struct Order: Codable {
        var id: String
        var customer: String
        var cents: Int
    }

    struct Receipt: Codable { var position: Int64 }

    struct Customer: Codable, Equatable {
        var orders: Int
        var cents: Int
    }

    struct TookTooLong: Error { var last: String }

    let ports: [Int]
    private let session: URLSession

    init(ports: [Int]) {
        self.ports = ports
        let configuration = URLSessionConfiguration.ephemeral
        configuration.httpMaximumConnectionsPerHost = 32
        configuration.timeoutIntervalForRequest = 15
        session = URLSession(configuration: configuration)
    }

    /// Places the order, by the service with this number first.
    func place(_ order: Order, at first: Int) async throws -> Receipt {
        try await answer(at: first, "orders", body: JSONEncoder().encode(order), expected: 201)
    }

    func customer(_ id: String, after position: Int64, at first: Int) async throws -> Customer {
        try await answer(at: first, "customers/\(id)?after=\(position)", body: nil, expected: 200)
    }

    /// The answer to one call of one service.
    func call(_ port: Int, _ path: String, body: Data? = nil) async throws -> (status: Int, body: Data) {
        guard let url = URL(string: "http://127.0.0.1:\(port)/\(path)") else { throw URLError(.badURL) }
        var request = URLRequest(url: url)
        if let body {
            request.httpMethod = "POST"
            request.httpBody = body
            request.setValue("application/json", forHTTPHeaderField: "Content-Type")
        }
        let (data, response) = try await session.data(for: request)
        return ((response as? HTTPURLResponse)?.statusCode ?? 0, data)
    }

    private func answer<Answer: Decodable>(
        at first: Int, _ path: String, body: Data?, expected: Int
    ) async throws -> Answer {
        let deadline = ContinuousClock.now + .seconds(120)
        var last = "nothing"
        for attempt in 0... {
            do {
                let (status, data) = try await call(ports[(first + attempt) % ports.count], path, body: body)
                if status == expected { return try JSONDecoder().decode(Answer.self, from: data) }
                last = "\(status) \(String(decoding: data, as: UTF8.self))"
                // Anything else is no answer that goes away.
                guard status == 503 else { break }
            } catch let error as URLError {
                last = "\(error.code)"
            }
            guard ContinuousClock.now < deadline else { break }
            // The process is killed and started again meanwhile: it is asked until it is back.
            try await Task.sleep(for: .milliseconds(50))
        }
        throw TookTooLong(last: "\(path): \(last)")
    }
}
