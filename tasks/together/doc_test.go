// Package together_test is the proof that background work loses nothing: it runs
// garbage collection, retention, scrubbing and dedupe all the time, on one root
// and on two, beside clients that push, mount, delete and pull, with restarts,
// damage to the dedupe index, and programs that write into the roots by
// themselves. A clock that runs ahead makes everything old within moments.
//
// The same of several processes that share a store, with requests that are lost,
// late or doubled, pauses, clocks that run apart or stand, and deaths
// (TestReplicas).
//
// Invariant that it holds up: a manifest that was acknowledged, and that neither
// a client nor a policy deleted, can be pulled whole at any time.
package together_test
