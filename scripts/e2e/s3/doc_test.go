// Package s3 makes the calls of berth's S3 client against versitygw, a gateway
// that keeps objects in files: what the unit tests' own server believes of S3
// is held against somebody else's reading of it.
package s3
