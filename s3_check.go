//go:build !minimal

package main

import (
	"fmt"
	"log/slog"
	"slices"
	"strings"

	"berth/config"
	"berth/s3lite"
)

// meets tells whether one of two places holds the other.
func (p bucketPlace) meets(other bucketPlace) bool {
	inside := func(a, b string) bool { return b == "" || a == b || strings.HasPrefix(a, b+"/") }
	return p.endpoint == other.endpoint && p.bucket == other.bucket && (inside(p.root, other.root) || inside(other.root, p.root))
}

// checkDrivers finds what is wrong with the drivers of roots, and with roots in
// buckets. Nothing is asked of any service.
func checkDrivers(cfg *config.Config) config.Error {
	var problems config.Error
	tell := func(key string, err error) {
		if err != nil {
			problems = append(problems, cfg.Problem(key, err.Error()))
		}
	}
	roots := allRoots(cfg.Storage)
	for i, root := range roots {
		if root.RemoteCache {
			_, err := newTable(root.Root, slog.New(slog.DiscardHandler))
			tell(root.key+"cacheDriver.name", err)
		}
		if !root.StorageDriver.IsSet() {
			continue
		}
		problems = append(problems, checkAttributes(cfg, root)...)
		if root.Budget.MaxBytes.Percent > 0 {
			tell(firstSet(cfg, root.key+"maxBytes", "storage.maxBytes"), fmt.Errorf("a share is one of a file system, and %s has none: give a size", whereIs(root.Root)))
		}
		for _, other := range roots[:i] {
			if other.StorageDriver.IsSet() && placeOf(root.Root).meets(placeOf(other.Root)) {
				tell(root.key+"storageDriver.rootdirectory", fmt.Errorf("%s and %s, that of %sstorageDriver, lie in one another", whereIs(root.Root), whereIs(other.Root), other.key))
				break
			}
		}
	}
	return problems
}

// checkAttributes finds what is wrong with a root's attributes, each by its
// name.
func checkAttributes(cfg *config.Config, root keyedRoot) config.Error {
	settings, err := bucketSettings(root.Root)
	if err == nil {
		if _, err = connect(settings, slog.New(slog.DiscardHandler)); err == nil {
			return nil
		}
		return config.Error{cfg.Problem(root.key+"storageDriver.cafile", err.Error())}
	}
	all := []error{err}
	if joined, ok := err.(interface{ Unwrap() []error }); ok {
		all = joined.Unwrap()
	}
	var problems config.Error
	for _, err := range all {
		key, message := "name", err.Error()
		name, rest, found := strings.Cut(message, ": ")
		if found && slices.ContainsFunc(s3lite.Attributes(), func(a s3lite.Attribute) bool { return a.Name == name }) {
			key, message = name, rest
		}
		if key = root.key + "storageDriver." + key; key != firstSet(cfg, key, "") {
			key, message = root.key+"storageDriver.name", err.Error() // one that is missing stands nowhere
		}
		problems = append(problems, cfg.Problem(key, message))
	}
	return problems
}

// firstSet is the first of two keys where that was set, else the second.
func firstSet(cfg *config.Config, key, otherwise string) string {
	if cfg.Problem(key, "").Source == "default" {
		return otherwise
	}
	return key
}
