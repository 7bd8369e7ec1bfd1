//go:build !minimal

package main

import (
	"log/slog"
	"os"
	"path/filepath"

	"berth/cache"
	"berth/cache/dynamo"
	"berth/config"
	"berth/s3lite/creds"
	"berth/s3lite/wire"
)

// variant tells what is not built in: nothing.
const variant = ""

// newIndex makes the dedupe index of a root, nil where it is to have none.
func newIndex(root config.Root, log *slog.Logger, rebuild rebuildFunc) (rootIndex, error) {
	switch {
	case !root.Dedupe:
		return nil, nil
	case root.RemoteCache && root.CacheDriver.Name == config.DynamoDB:
		return newTable(root, log)
	}
	return localIndex(root, log, rebuild), nil
}

// localIndex is the dedupe index in a root directory.
func localIndex(root config.Root, log *slog.Logger, rebuild rebuildFunc) *cache.Index {
	return cache.New(cache.Options{
		Dir:     filepath.Join(root.RootDirectory, ".berth", "index"),
		Log:     log,
		Rebuild: rebuild,
	})
}

// newTable makes a dedupe index in a table of DynamoDB. It sends nothing.
func newTable(root config.Root, log *slog.Logger) (*dynamo.Index, error) {
	d := root.CacheDriver
	var from *creds.Cache
	if d.AccessKey != "" {
		from = creds.NewCache(creds.Keys(d.AccessKey, d.SecretKey.Reveal(), d.SessionToken.Reveal()), nil, log)
	} else {
		var err error
		if from, err = creds.Default(credentialSources(d.Region, log)); err != nil {
			return nil, err
		}
	}
	transport, err := wire.NewTransport(wire.TransportOptions{CAFile: os.Getenv("AWS_CA_BUNDLE")})
	if err != nil {
		return nil, err
	}
	return dynamo.New(dynamo.Options{
		Endpoint: d.Endpoint, Region: d.Region, Table: d.Table(), Scope: scopeOf(root),
		Credentials: from, RoundTripper: transport, Log: log,
	})
}

// scopeOf tells the store of a root from any other that keeps its index in the
// same table.
func scopeOf(root config.Root) string {
	if root.StorageDriver.IsSet() {
		return whereIs(root)
	}
	path, err := filepath.Abs(root.RootDirectory)
	if err != nil {
		path = root.RootDirectory
	}
	host, _ := os.Hostname() // without a name, hints of others are tried in vain
	return "file://" + host + path
}
