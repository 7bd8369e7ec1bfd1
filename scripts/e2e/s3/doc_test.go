// Package s3 makes the calls of berth's S3 client against versitygw, a gateway
// that keeps objects in files, or with E2E_S3=minio against MinIO: what the unit
// tests' own server believes of S3 is held against somebody else's reading of
// it. The dedupe index in DynamoDB is held against dynalite in the same way.
//
// Then berth itself: what it asks a bucket for, and several of it on one bucket
// while everything goes wrong.
package s3
