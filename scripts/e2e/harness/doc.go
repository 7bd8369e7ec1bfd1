// Package harness starts berth as its users do, the real binary as a process
// of its own, and runs the real clients against it.
//
// Every server has a root and a port of its own and ends with its test. What a
// test needs and the machine lacks is a failure that says how to install it,
// never a skip.
package harness
