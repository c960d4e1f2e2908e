import Testing
@testable import TidemarkSQLite

@Suite struct WriteLockHolderTests {
    private static let locks = """
        1: FLOCK  ADVISORY  WRITE 11 fd:00:77 0 EOF
        2: POSIX  ADVISORY  READ  12 fd:00:77 123 123
        3: POSIX  ADVISORY  WRITE 13 fd:00:77 121 122
        4: POSIX  ADVISORY  WRITE 14 fd:01:77 120 120
        5: POSIX  ADVISORY  WRITE 15 fd:00:77 120 120
        5: -> POSIX  ADVISORY  WRITE 16 fd:00:77 120 120
        6: OFDLCK ADVISORY  WRITE -1 fd:00:77 120 120
        7: POSIX  ADVISORY  WRITE 17 fd:00:78 0 EOF
        """

    @Test func `the holder is who has a POSIX write lock over byte 120 of the file`() {
        #expect(WriteLockHolder.processID(in: Self.locks, inode: 77, device: "fd:00") == 15)
        #expect(WriteLockHolder.processID(in: Self.locks, inode: 78, device: "fd:00") == 17)
        #expect(WriteLockHolder.processID(in: Self.locks, inode: 79, device: "fd:00") == nil)
        #expect(WriteLockHolder.processID(in: "", inode: 77, device: "fd:00") == nil)
    }

    @Test func `who lets nobody read has a write lock over the bytes of those who do, or waits for them to go`() {
        let locks = """
            1: POSIX  ADVISORY  READ  21 fd:00:77 1073741826 1073742335
            2: POSIX  ADVISORY  WRITE 22 fd:00:78 1073741826 1073742335
            3: POSIX  ADVISORY  WRITE 23 fd:00:79 1073741824 1073741824
            """
        func holder(_ inode: UInt64) -> Int32? {
            WriteLockHolder.exclusiveProcessID(in: locks, inode: inode, device: "fd:00")
        }
        #expect(holder(77) == nil && holder(78) == 22 && holder(79) == 23)
    }

    @Test func `where the device is another one's name the inode has to do`() {
        #expect(WriteLockHolder.processID(in: Self.locks, inode: 77, device: "00:2a") == 14)
    }

    @Test func `a device is written as the kernel writes it`() {
        #expect(WriteLockHolder.deviceText(0xFD01) == "fd:01")
        #expect(WriteLockHolder.deviceText(0x801) == "08:01")
        #expect(WriteLockHolder.deviceText(0x10_0002) == "00:102")
    }
}
