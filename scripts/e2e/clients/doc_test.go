// Package clients drives berth with the clients that people use, each through
// push, pull, listing and deletion, and looks at the bytes that arrive.
package clients
