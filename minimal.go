//go:build minimal

package main

import (
	"errors"
	"log/slog"

	"berth/config"
	"berth/oci"
)

// A minimal berth has no buckets and no dedupe index: repositories share what
// they hold alike once the job dedupe has found it, and not as it comes.

// variant is what the version says of it.
const variant = " minimal"

var errMinimal = errors.New("this berth was built without S3, DynamoDB and the index: repositories in a bucket, and what several servers share, need one that make build made")

// bucketRoot stands for a root in a bucket, which nobody has.
type bucketRoot struct{ *localRoot }

func (b *bucketRoot) serving() oci.Store { return b }

func openBucket(string, config.Root, *slog.Logger, *upkeep) (*bucketRoot, error) {
	return nil, errMinimal
}

// newIndex makes none.
func newIndex(config.Root, *slog.Logger, rebuildFunc) (rootIndex, error) { return nil, nil }

// checkDrivers refuses what is configured and not built in.
func checkDrivers(cfg *config.Config) config.Error {
	var problems config.Error
	for _, root := range allRoots(cfg.Storage) {
		if root.StorageDriver.IsSet() {
			problems = append(problems, cfg.Problem(root.key+"storageDriver.name", errMinimal.Error()))
		}
		if root.RemoteCache {
			problems = append(problems, cfg.Problem(root.key+"cacheDriver.name", errMinimal.Error()))
		}
	}
	return problems
}
