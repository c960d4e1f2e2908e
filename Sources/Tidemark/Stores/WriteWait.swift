/// For how long a write has waited before its store was asked for it: the store's own limit for a wait counts from then.
package enum WriteWait {
    @TaskLocal package static var before = Duration.zero
}
