// Package s3test is an S3 server in memory, for tests: one bucket, strongly
// consistent, strict where S3 is strict. It checks signatures in headers,
// queries and chunks, and the hashes of bodies; it keeps conditions, unless it
// is told to be one of the servers that do not; it counts requests and fails
// them as it is told.
//
// It shares no code with the client but the canonical form of requests, which
// AWS's own examples prove, and reads and writes XML with encoding/xml.
package s3test
