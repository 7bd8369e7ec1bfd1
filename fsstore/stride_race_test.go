//go:build race

package fsstore_test

// stride is how many calls a sweep goes on at a time: the race detector makes
// each step ten times as slow, and looks at something else.
const stride = 7
