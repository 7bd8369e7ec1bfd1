//go:build !race

package fsstore_test

// stride is how many calls a sweep goes on at a time.
const stride = 1
