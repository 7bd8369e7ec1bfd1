// Package httpd is the HTTP side of berth: it listens, reads requests, and
// answers them from an oci/registry.Registry, as the OCI Distribution
// Specification says. It alone imports fasthttp, and no type of fasthttp
// leaves it.
//
// A request goes one way through it:
//
//	conn     bytes, least rate, lingering close          conn.go, meter.go
//	parse    method, raw path, query, headers -> request parse.go, route.go, query.go
//	admit    may this request be answered at all         dispatch.go
//	handle   one function per endpoint, returns an error blobs.go, manifests.go, uploads.go, lists.go
//	answer   status, headers, body                       answer.go, payload.go
//	errors   kind of failure -> code and status          errors.go
//
// Invariants: parsing is pure; handlers never see fasthttp; what a handler
// returns as an error reaches the client only through errors.go; an error that
// errors.go does not know reaches it as an opaque 500 with the request's id.
package httpd
