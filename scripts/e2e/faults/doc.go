// Package faults stands between a berth and an S3 server and has requests go
// wrong, as networks and services do: late, refused, not answered, answered by
// half, or carried out with the answer lost. It counts what passes.
package faults
