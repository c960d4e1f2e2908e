import Testing
import TidemarkCore

@Suite struct FetchFloorsTests {
    @Test func `the lowest floor is that of the earliest fetch`() {
        var floors = FetchFloors()
        #expect(floors.lowest == nil)
        let first = floors.begin(at: 5)
        let second = floors.begin(at: 7)
        let third = floors.begin(at: 7)
        #expect(floors.lowest == 5)
        let answers = [floors.end(second), floors.end(second), floors.end(99)]
        #expect(answers == [7, nil, nil])
        #expect(floors.lowest == 5)
        _ = floors.end(first)
        #expect(floors.lowest == 7)
        _ = floors.end(third)
        #expect(floors.lowest == nil)
    }
}
