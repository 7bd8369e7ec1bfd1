// Package faults stands between a berth and an S3 server and has requests go
// wrong, as networks and services do: late, refused, cut in the middle,
// answered by half, carried out with the answer lost, or carried out when its
// sender has given up on it. It counts what passes.
package faults
