package main

import (
	"strings"

	"berth/config"
)

// whereIs says where a root lies, for people.
func whereIs(root config.Root) string {
	if !root.StorageDriver.IsSet() {
		return root.RootDirectory
	}
	return placeOf(root).String()
}

// bucketPlace is where a root lies in a bucket.
type bucketPlace struct {
	endpoint string // without its scheme; "" for AWS
	bucket   string
	root     string // without slashes at its ends
}

func placeOf(root config.Root) bucketPlace {
	d := root.StorageDriver
	_, endpoint, found := strings.Cut(string(d.RegionEndpoint), "://")
	if !found {
		endpoint = string(d.RegionEndpoint)
	}
	return bucketPlace{strings.ToLower(strings.Trim(endpoint, "/")), string(d.Bucket), strings.Trim(string(d.RootDirectory), "/")}
}

func (p bucketPlace) String() string {
	return strings.TrimSuffix("s3://"+p.bucket+"/"+p.root, "/")
}

// keyedRoot is a root, and how its keys begin.
type keyedRoot struct {
	key string // with a dot at its end
	config.Root
}

func allRoots(s config.Storage) []keyedRoot {
	all := []keyedRoot{{"storage.", s.Root}}
	for _, sub := range s.SubPaths {
		all = append(all, keyedRoot{sub.Key(""), sub.Root})
	}
	return all
}
