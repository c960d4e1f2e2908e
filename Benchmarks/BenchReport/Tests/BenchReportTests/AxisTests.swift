import Testing

@testable import BenchReport

@Suite struct AxisTests {
    @Test func `a linear axis goes from zero to a round number above all`() throws {
        let axis = try #require(Axis.linear(covering: [3.2, 11.9, 7]))
        #expect(axis.ticks == [0, 5, 10, 15])
        #expect(axis.fraction(of: 0) == 0)
        #expect(axis.fraction(of: 7.5) == 0.5)
        #expect(axis.fraction(of: 15) == 1)
    }

    @Test func `a logarithmic axis has whole powers of ten`() throws {
        let axis = try #require(Axis.logarithmic(covering: [0.3, 42]))
        #expect(axis.ticks == [0.1, 1, 10, 100])
        #expect(axis.lower == 0.1 && axis.upper == 100)
        #expect(abs(axis.fraction(of: 1) - 1.0 / 3) < 1e-9)
    }

    @Test func `one value still has a range`() throws {
        let linear = try #require(Axis.linear(covering: [0]))
        #expect(linear.lower < linear.upper)
        let logarithmic = try #require(Axis.logarithmic(covering: [10]))
        #expect(logarithmic.lower < logarithmic.upper)
        #expect(logarithmic.fraction(of: 10) == 0)
    }

    @Test func `without a number to show there is no axis`() {
        #expect(Axis.linear(covering: []) == nil)
        #expect(Axis.linear(covering: [.nan, .infinity]) == nil)
        #expect(Axis.logarithmic(covering: [0, -1, .nan]) == nil)
    }

    @Test func `what lies beyond an end is shown at it`() throws {
        let axis = try #require(Axis.logarithmic(covering: [1, 100]))
        #expect(axis.fraction(of: 0) == 0)
        #expect(axis.fraction(of: -5) == 0)
        #expect(axis.fraction(of: 1e9) == 1)
        #expect(axis.fraction(of: .infinity) == 1)
        #expect(axis.fraction(of: .nan) == 0)
    }

    @Test func `ticks are in order within the range and few`() throws {
        for power in -9...9 {
            var highest = 1.0
            for _ in 0..<abs(power) { highest *= power < 0 ? 0.1 : 10 }
            for factor in [1, 1.5, 2.01, 4.99, 9.9] {
                let axis = try #require(Axis.linear(covering: [highest * factor]))
                #expect(axis.ticks == axis.ticks.sorted())
                #expect((2...7).contains(axis.ticks.count))
                #expect(axis.upper >= highest * factor * 0.999_999)
            }
        }
    }

    @Test func `thinned marks are evenly apart`() throws {
        let axis = try #require(Axis.logarithmic(covering: [0.01, 100_000]))
        let thin = axis.thinned(to: 3)
        #expect(axis.ticks.count == 8)
        #expect(thin.ticks == [0.01, 10, 10_000])
        #expect(thin.upper == axis.upper)
    }
}
