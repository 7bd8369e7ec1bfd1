module berth/e2e

go 1.26.0

require (
	berth v0.0.0
	github.com/hanwen/go-fuse/v2 v2.12.1
	github.com/opencontainers/go-digest v1.0.0
	github.com/opencontainers/image-spec v1.1.1
	oras.land/oras-go/v2 v2.6.4
)

require (
	golang.org/x/sync v0.24.0 // indirect
	golang.org/x/sys v0.49.0 // indirect
)

// Berth's own S3 client, for the tests of what it says to other servers.
replace berth => ../..
