// Package tasks runs work in the background that nobody waits for. It owns when
// such work runs and how it is kept out of the way of requests: its scheduler,
// the priority of its threads, and the pace of its steps. What the work is, its
// subpackages say, as jobs over the ports of package oci.
//
// A Job recurs. One run of it is a Round, which goes on in small steps and
// calls Round.Step between them: there it waits while it must not go on.
//
// Invariants: a job ends soon after its context does, and leaves nothing
// running. At most Options.Workers rounds are between two steps at any moment,
// each on a thread of its own with the least priority, which ends with it.
// Under permanent load each of them still does a step from time to time. The
// scheduler writes nothing, and while no round runs it sleeps.
package tasks
