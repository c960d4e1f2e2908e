import Foundation

/// What a module shows to others, as far as one can tell from the lines of its files: declarations that are public, with
/// the requirements of public protocols and the cases of public enums.
///
/// It is a reader of lines, not a compiler. It relies on the project's format: one declaration begins a line, and what
/// belongs to it above it is comments and attributes.
struct PublicDeclarations {
    struct Declaration: Hashable {
        var file: String
        var line: Int
        /// As documentation writes it: `persist(_:in:by:)`, `position`.
        var name: String
        /// The types around it, `Audit.Finding`; empty at the top of a file.
        var type: String
        var hasComment: Bool
        var isRequirement: Bool
    }

    private(set) var declarations: [Declaration] = []
    /// What each type says that it conforms to, and each protocol that it refines.
    private var conformances: [String: Set<String>] = [:]

    /// Requirements of protocols from elsewhere. Whoever reads knows them from there.
    private static let known: [String: Set<String>] = [
        "Equatable": ["=="], "Hashable": ["==", "hash(into:)", "hashValue"],
        "Comparable": ["==", "<", "<=", ">", ">="],
        "Encodable": ["encode(to:)"], "Decodable": ["init(from:)"], "Codable": ["encode(to:)", "init(from:)"],
        "RawRepresentable": ["rawValue", "init(rawValue:)", "RawValue"],
        "OptionSet": ["rawValue", "init(rawValue:)", "RawValue"],
        "CustomStringConvertible": ["description"], "CustomDebugStringConvertible": ["debugDescription"],
        "CustomReflectable": ["customMirror"], "LocalizedError": ["errorDescription"], "Identifiable": ["id"],
        "ExpressibleByIntegerLiteral": ["init(integerLiteral:)"],
        "ExpressibleByStringLiteral": ["init(stringLiteral:)"],
        "ExpressibleByArrayLiteral": ["init(arrayLiteral:)"], "CaseIterable": ["allCases"],
        "AsyncSequence": ["makeAsyncIterator()", "Element"],
        "AsyncIteratorProtocol": ["next()", "next(isolation:)", "Element"],
        "Sequence": ["makeIterator()", "Element"], "IteratorProtocol": ["next()", "Element"],
        "Clock": ["now", "minimumResolution", "sleep(until:tolerance:)"],
        "InstantProtocol": ["advanced(by:)", "duration(to:)", "<", "=="],
        "Strideable": ["advanced(by:)", "distance(to:)"],
        "RandomNumberGenerator": ["next()"], "Service": ["run()"],
    ]

    /// Public declarations without a comment that inherit none from a requirement either.
    func withoutComment() -> [Declaration] {
        var requirements: [String: Set<String>] = [:]
        for declaration in declarations where declaration.isRequirement && declaration.hasComment {
            requirements[declaration.type, default: []].insert(declaration.name)
        }
        return declarations.filter { declaration in
            guard !declaration.hasComment else { return false }
            // A requirement may restate one of a refined protocol. It does not document itself: it has no comment.
            return !allConformances(of: declaration.type).contains { name in
                requirements[name]?.contains(declaration.name) == true
                    || Self.known[name]?.contains(declaration.name) == true
            }
        }
    }

    /// With what those refine, and the type itself where it is a protocol: its extensions have default implementations.
    private func allConformances(of type: String) -> Set<String> {
        var found: Set<String> = [type]
        var open = [type]
        while let next = open.popLast() {
            for name in conformances[next] ?? [] where found.insert(name).inserted { open.append(name) }
        }
        return found
    }

    // MARK: Reading

    private struct Scope {
        var depth: Int
        var keyword: String
        var type: String
        /// Whether declarations in it can be public, and those without a word of their own are.
        var isVisible: Bool
        var sharesVisibility: Bool
    }

    private static let keywords: Set<String> = [
        "func", "var", "let", "struct", "enum", "class", "actor", "protocol", "init", "typealias", "subscript",
        "associatedtype", "macro", "case", "extension",
    ]
    private static let types: Set<String> = ["struct", "enum", "class", "actor", "protocol", "extension"]
    private static let modifiers: Set<String> = [
        "public", "open", "package", "internal", "fileprivate", "private", "nonisolated", "final", "static", "mutating",
        "nonmutating", "indirect", "consuming", "borrowing", "convenience", "required", "override", "isolated", "lazy",
        "weak", "unowned", "dynamic", "optional", "prefix", "postfix", "infix", "async",
    ]

    mutating func read(_ text: String, file: String) {
        let lines = text.split(separator: "\n", omittingEmptySubsequences: false).map { Self.trimmed($0.utf8) }
        var stripper = Stripper()
        let code = lines.map { stripper.code(of: $0) }
        var scopes: [Scope] = []
        var depth = 0
        /// Open parentheses and brackets: a line that begins inside them begins no declaration.
        var nesting = 0
        for (number, line) in code.enumerated() {
            var pending: Scope?
            let isInType = scopes.last.map { $0.depth == depth } ?? (depth == 0)
            if isInType, nesting == 0, let head = Self.head(of: line) {
                let whole = Self.whole(from: number, in: code)
                let scope = scopes.last
                let isCase = head.keyword == "case" && scope?.keyword == "enum"
                let isMember = isCase || (scope.map { $0.sharesVisibility && !head.isHidden } ?? false)
                let isPublic = (head.isPublic || isMember) && (scope?.isVisible ?? true)
                let outer = scope.map(\.type) ?? ""
                let declared = Self.declared(head.keyword, whole)
                for name in declared where head.keyword != "extension" && isPublic {
                    declarations.append(
                        Declaration(
                            file: file, line: number + 1, name: name, type: outer,
                            hasComment: Self.hasComment(above: number, in: lines),
                            isRequirement: scope?.keyword == "protocol"))
                }
                if Self.types.contains(head.keyword), let name = declared.first {
                    let type = outer.isEmpty ? name : "\(outer).\(name)"
                    conformances[type, default: []].formUnion(Self.inherited(whole))
                    let isExtension = head.keyword == "extension"
                    pending = Scope(
                        depth: 0, keyword: head.keyword, type: type, isVisible: isPublic || isExtension,
                        sharesVisibility: head.keyword == "protocol" || isExtension && head.isPublic)
                }
            }
            // A type's body begins at its first brace, which may be some lines below.
            if let pending { scopes.append(pending) }
            for byte in line {
                switch byte {
                case UInt8(ascii: "{"):
                    depth += 1
                    if let last = scopes.indices.last, scopes[last].depth == 0 { scopes[last].depth = depth }
                case UInt8(ascii: "}"):
                    if let last = scopes.last, last.depth == depth { scopes.removeLast() }
                    depth -= 1
                case UInt8(ascii: "("), UInt8(ascii: "["): nesting += 1
                case UInt8(ascii: ")"), UInt8(ascii: "]"): nesting -= 1
                default: break
                }
            }
        }
    }

    private struct Head {
        var keyword: String
        var isPublic: Bool
        var isHidden: Bool
    }

    /// What a line declares, if it begins a declaration.
    private static func head(of line: [UInt8]) -> Head? {
        var head = Head(keyword: "", isPublic: false, isHidden: false)
        var index = 0
        while index < line.count {
            if line[index] == UInt8(ascii: "@") {
                index += 1
                while index < line.count, isWord(line[index]) { index += 1 }
                if index < line.count, line[index] == UInt8(ascii: "(") { index = closing(index, in: line) + 1 }
            } else if line[index] == UInt8(ascii: " ") {
                index += 1
            } else {
                let start = index
                while index < line.count, isWord(line[index]) { index += 1 }
                let word = String(decoding: line[start..<index], as: UTF8.self)
                let hasArgument = index < line.count && line[index] == UInt8(ascii: "(")
                if modifiers.contains(word) {
                    if hasArgument {
                        // `private(set)` and `nonisolated(unsafe)` say nothing about who sees it.
                        index = closing(index, in: line) + 1
                        continue
                    }
                    if word == "public" || word == "open" { head.isPublic = true }
                    if ["package", "internal", "fileprivate", "private"].contains(word) { head.isHidden = true }
                } else if keywords.contains(word) {
                    head.keyword = word
                    // `class func`, and `case` of an enum: of a `switch` none begins at a type's depth.
                    if word == "class" {
                        let rest = String(decoding: line[index...], as: UTF8.self)
                        if rest.hasPrefix(" func ") || rest.hasPrefix(" var ") { continue }
                    }
                    return head
                } else {
                    return nil
                }
            }
        }
        return nil
    }

    /// The declaration's text up to its body, over at most 40 lines.
    private static func whole(from number: Int, in code: [[UInt8]]) -> [UInt8] {
        var whole: [UInt8] = []
        var nesting = 0
        for line in code[number..<min(code.count, number + 40)] {
            for (index, byte) in line.enumerated() {
                switch byte {
                case UInt8(ascii: "("), UInt8(ascii: "["): nesting += 1
                case UInt8(ascii: ")"), UInt8(ascii: "]"): nesting -= 1
                case UInt8(ascii: "{") where nesting == 0: return whole + line[..<index]
                default: break
                }
            }
            whole += line + [UInt8(ascii: " ")]
            let last = line.last
            if nesting == 0, last != UInt8(ascii: ","), last != UInt8(ascii: ":") { break }
        }
        return whole
    }

    /// The names that a declaration brings: several cases of an enum, otherwise one.
    private static func declared(_ keyword: String, _ whole: [UInt8]) -> [String] {
        let text = String(decoding: whole, as: UTF8.self)
        guard let start = text.firstRange(of: keyword)?.upperBound else { return [] }
        let rest = text[start...].drop { $0 == " " }
        switch keyword {
        case "case":
            return split(rest).map { part in
                String(part.prefix { $0.isLetter || $0.isNumber || $0 == "_" || $0 == "`" })
            }
        case "init": return ["init" + labels(rest, isSubscript: false)]
        case "subscript": return ["subscript" + labels(rest, isSubscript: true)]
        case "func", "macro":
            let name = rest.prefix { $0 != "(" && $0 != " " && !($0 == "<" && rest.first != "<") }
            // Operators go without labels.
            guard name.first.map({ $0.isLetter || $0 == "_" || $0 == "`" }) == true else { return [String(name)] }
            return [name + labels(rest[name.endIndex...], isSubscript: false)]
        default:
            return [String(rest.prefix { $0.isLetter || $0.isNumber || $0 == "_" || $0 == "." || $0 == "`" })]
        }
    }

    /// `(_:in:)` of what stands in the first parentheses.
    private static func labels(_ text: Substring, isSubscript: Bool) -> String {
        var bytes = Array(text.utf8)
        // Past generic parameters, in which there may be parentheses, too.
        if let first = bytes.first(where: { $0 != UInt8(ascii: " ") && $0 != UInt8(ascii: "?") }),
            first == UInt8(ascii: "<")
        {
            var angle = 0
            for (index, byte) in bytes.enumerated() {
                if byte == UInt8(ascii: "<") { angle += 1 }
                if byte == UInt8(ascii: ">"), index > 0, bytes[index - 1] != UInt8(ascii: "-") { angle -= 1 }
                if byte == UInt8(ascii: ">"), angle == 0 {
                    bytes = Array(bytes[(index + 1)...])
                    break
                }
            }
        }
        guard let open = bytes.firstIndex(of: UInt8(ascii: "(")) else { return "" }
        let inner = String(decoding: bytes[(open + 1)..<closing(open, in: bytes)], as: UTF8.self)
        let names = split(inner[...]).map { parameter -> String in
            let words = parameter.prefix { $0 != ":" }.split(separator: " ").filter { !$0.hasPrefix("@") }
            // A subscript's parameter has a label only where it has two names.
            return isSubscript && words.count < 2 ? "_:" : (words.first.map { "\($0):" } ?? "")
        }
        return "(" + names.joined() + ")"
    }

    /// What stands after the colon of a type's or an extension's declaration.
    private static func inherited(_ whole: [UInt8]) -> Set<String> {
        let text = String(decoding: whole, as: UTF8.self)
        let head = text.firstRange(of: " where ").map { text[..<$0.lowerBound] } ?? text[...]
        var angle = 0
        for index in head.indices {
            switch head[index] {
            case "<": angle += 1
            case ">": angle -= 1
            case ":" where angle == 0:
                return Set(
                    head[head.index(after: index)...].split(whereSeparator: { $0 == "," || $0 == "&" }).compactMap {
                        part in
                        let words = part.split(separator: " ").filter { !$0.hasPrefix("@") && $0 != "any" }
                        return words.first.map { String($0.prefix { $0 != "<" }) }
                    })
            default: break
            }
        }
        return []
    }

    private static func split(_ text: Substring) -> [Substring] {
        var parts: [Substring] = []
        var nesting = 0
        var start = text.startIndex
        var previous: Character = " "
        for index in text.indices {
            switch text[index] {
            case "(", "[", "<": nesting += 1
            case ")", "]": nesting -= 1
            case ">" where previous != "-": nesting -= 1
            case "," where nesting == 0:
                parts.append(text[start..<index].drop { $0 == " " })
                start = text.index(after: index)
            default: break
            }
            previous = text[index]
        }
        let last = text[start...].drop { $0 == " " }
        return last.isEmpty ? parts : parts + [last]
    }

    private static func hasComment(above number: Int, in lines: [[UInt8]]) -> Bool {
        var index = number - 1
        while index >= 0 {
            let line = lines[index]
            if line.starts(with: Array("///".utf8)) || line.suffix(2) == Array("*/".utf8)[...] { return true }
            guard line.first == UInt8(ascii: "@") else { return false }
            index -= 1
        }
        return false
    }

    private static func closing(_ open: Int, in line: [UInt8]) -> Int {
        var nesting = 0
        for index in open..<line.count {
            if line[index] == UInt8(ascii: "(") { nesting += 1 }
            if line[index] == UInt8(ascii: ")") {
                nesting -= 1
                if nesting == 0 { return index }
            }
        }
        return max(open, line.count - 1)
    }

    private static func isWord(_ byte: UInt8) -> Bool {
        switch byte {
        case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"),
            UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "_"):
            true
        default: false
        }
    }

    private static func trimmed(_ line: Substring.UTF8View) -> [UInt8] {
        var bytes = Array(line.drop { $0 == UInt8(ascii: " ") })
        while bytes.last == UInt8(ascii: " ") { bytes.removeLast() }
        return bytes
    }
}

/// Takes comments and what strings contain out of lines, so that braces and words in them do not count.
private struct Stripper {
    private var isInComment = false
    private var isInText = false

    mutating func code(of line: [UInt8]) -> [UInt8] {
        var code: [UInt8] = []
        var index = 0
        let quotes = Array("\"\"\"".utf8)
        while index < line.count {
            let rest = line[index...]
            if isInComment {
                isInComment = !rest.starts(with: Array("*/".utf8))
                index += isInComment ? 1 : 2
            } else if isInText {
                isInText = !rest.starts(with: quotes)
                index += isInText ? 1 : 3
            } else if rest.starts(with: Array("//".utf8)) {
                break
            } else if rest.starts(with: Array("/*".utf8)) {
                isInComment = true
                index += 2
            } else if rest.starts(with: quotes) {
                isInText = true
                index += 3
            } else if line[index] == UInt8(ascii: "\"") {
                index = end(ofStringAt: index, in: line)
                code += Array("\"\"".utf8)
            } else {
                code.append(line[index])
                index += 1
            }
        }
        while code.last == UInt8(ascii: " ") { code.removeLast() }
        return code
    }

    /// Past the quote that ends a string, which may have strings in what it interpolates.
    private func end(ofStringAt start: Int, in line: [UInt8]) -> Int {
        let isRaw = start > 0 && line[start - 1] == UInt8(ascii: "#")
        var index = start + 1
        while index < line.count {
            if line[index] == UInt8(ascii: "\\"), !isRaw, index + 1 < line.count {
                index = line[index + 1] == UInt8(ascii: "(") ? end(ofInterpolationAt: index + 1, in: line) : index + 2
            } else if line[index] == UInt8(ascii: "\""),
                !isRaw || index + 1 < line.count && line[index + 1] == UInt8(ascii: "#")
            {
                return index + 1
            } else {
                index += 1
            }
        }
        return line.count
    }

    private func end(ofInterpolationAt start: Int, in line: [UInt8]) -> Int {
        var nesting = 0
        var index = start
        while index < line.count {
            switch line[index] {
            case UInt8(ascii: "("): nesting += 1
            case UInt8(ascii: ")"):
                nesting -= 1
                if nesting == 0 { return index + 1 }
            case UInt8(ascii: "\""):
                index = end(ofStringAt: index, in: line)
                continue
            default: break
            }
            index += 1
        }
        return line.count
    }
}
