package config

const (
	allowedBool = "true or false"
	allowedPart = `a size from 5 MiB to 5 GiB, such as "16MiB"`
)

// s3Keys are those of roots that lie in a bucket.
func s3Keys() []Key {
	all := []Key{
		{
			Path: "storage.redirectBlobURL", Default: "false", Allowed: allowedBool, Example: "true",
			Doc:   "Of a root in a bucket: answer a GET of a large blob with 307 and a URL, signed for 20 minutes, at which the client reads it from the bucket itself. Clients have to reach the bucket. HEAD is answered as ever, and so is a GET of what is small.",
			field: func(c *Config) any { return &c.Storage.RedirectBlobURL },
		}, {
			Path: "storage.indexMaxAge", Default: "0s", Allowed: `a duration of up to "1h", such as "2s"`, Example: `"2s"`, max: int64(maxIndexAge),
			Doc:   "Of a root in a bucket: for how long a repository's index may be served without asking the bucket whether another berth has changed it. With 0 each pull by tag asks, which takes one request and no bytes. What this berth changed itself it serves at once, whatever is set.",
			field: func(c *Config) any { return &c.Storage.IndexMaxAge },
		}, {
			Path: "storage.remoteCache", Default: "false", Allowed: allowedBool, Example: "true",
			Doc:   "Keep the dedupe index where `storage.cacheDriver` says, for all berths that share a bucket. Otherwise it is on the local disk, whatever is said there. Either way it is a hint: without it nothing is lost or wrong.",
			field: func(c *Config) any { return &c.Storage.RemoteCache },
		},
	}
	for _, more := range [][]Key{storageDriverKeys(), cacheDriverKeys()} {
		all = append(all, more...)
	}
	for i := range all {
		all[i].perRoot = true
	}
	return all
}

const driverPath = "storage.storageDriver."

// storageDriverKeys are the attributes of a driver, in the order of the guide to
// the reference registry, and behind them berth's own. Which values are good
// the driver knows: they are kept as they are written.
func storageDriverKeys() []Key { return append(bucketKeys(), requestKeys()...) }

// bucketKeys say which bucket is meant, and who comes to it.
func bucketKeys() []Key {
	return []Key{
		{
			Path: driverPath + "name", Allowed: `"s3"`, Example: `"s3"`,
			Doc:   "With it, the repositories lie in a bucket of S3, or of a server that speaks its protocol, and not in `storage.rootDirectory`. That is then the directory of what belongs to this berth alone: the local dedupe index, when tags were used last, and the socket for commands. Needed with any other of these keys. No other driver is in this build.",
			field: func(c *Config) any { return &c.Storage.StorageDriver.Name },
		}, {
			Path: driverPath + "accesskey", Allowed: "an access key", Example: `"AKIAIOSFODNN7EXAMPLE"`,
			Doc:   "Without it, credentials are looked for where AWS's tools do: the environment (`AWS_ACCESS_KEY_ID`, `AWS_SECRET_ACCESS_KEY`, `AWS_SESSION_TOKEN`), a web identity's token, the shared files of `AWS_PROFILE`, the containers' endpoint, the instance's metadata. They are renewed before they end.",
			field: func(c *Config) any { return &c.Storage.StorageDriver.AccessKey },
		}, {
			Path: driverPath + "secretkey", Allowed: "a secret key", Example: `"…"`, secret: true,
			Doc:   "The secret key of `accesskey`. Like the other secrets it may stand in a variable, and is never printed.",
			field: func(c *Config) any { return &c.Storage.StorageDriver.SecretKey },
		}, {
			Path: driverPath + "region", Allowed: "a region's name", Example: `"us-east-2"`,
			Doc:   "The bucket's region. Needed. Where the bucket lies in another one, that is found out.",
			field: func(c *Config) any { return &c.Storage.StorageDriver.Region },
		}, {
			Path: driverPath + "regionendpoint", Allowed: "host:port, or an address with http:// or https://", Example: `"http://127.0.0.1:9000"`,
			Doc:   "The address of a server that is not AWS. One without a scheme gets that of `secure`.",
			field: func(c *Config) any { return &c.Storage.StorageDriver.RegionEndpoint },
		}, {
			Path: driverPath + "forcepathstyle", implied: "true", Allowed: allowedBool, Example: "false", kind: attrBool,
			Doc:   "The bucket stands in the path, not in front of the host's name. With `accelerate` it is false unless it is set.",
			field: func(c *Config) any { return &c.Storage.StorageDriver.ForcePathStyle },
		}, {
			Path: driverPath + "bucket", Allowed: "a bucket's name", Example: `"registry"`,
			Doc:   "The bucket, which has to exist. Needed.",
			field: func(c *Config) any { return &c.Storage.StorageDriver.Bucket },
		}, {
			Path: driverPath + "encrypt", implied: "false", Allowed: allowedBool, Example: "true", kind: attrBool,
			Doc:   "Ask for encryption at rest: with the key of KMS that `keyid` names, else with the service's own.",
			field: func(c *Config) any { return &c.Storage.StorageDriver.Encrypt },
		}, {
			Path: driverPath + "keyid", Allowed: "a key's id", Example: `"alias/registry"`,
			Doc:   "The key of KMS to encrypt with. Ignored without `encrypt`.",
			field: func(c *Config) any { return &c.Storage.StorageDriver.KeyID },
		}, {
			Path: driverPath + "secure", implied: "true", Allowed: allowedBool, Example: "false", kind: attrBool,
			Doc:   "HTTPS, where `regionendpoint` names no scheme.",
			field: func(c *Config) any { return &c.Storage.StorageDriver.Secure },
		}, {
			Path: driverPath + "skipverify", implied: "false", Allowed: allowedBool, Example: "true", kind: attrBool,
			Doc:   "Take any certificate. `cafile` is the better way to trust one of your own.",
			field: func(c *Config) any { return &c.Storage.StorageDriver.SkipVerify },
		}, {
			Path: driverPath + "v4auth", implied: "true", Allowed: "true", Example: "true", kind: attrBool,
			Doc:   "Requests are signed by version 4. `false` is refused: no other version is built, and AWS takes none.",
			field: func(c *Config) any { return &c.Storage.StorageDriver.V4Auth },
		},
	}
}

// requestKeys say what is asked of the bucket, and how.
func requestKeys() []Key {
	return []Key{
		{
			Path: driverPath + "chunksize", implied: "10485760", Allowed: allowedPart, Example: `"16MiB"`, kind: attrSize,
			Doc:   "The parts of an upload. Each upload under way holds one in memory, and all uploads together four.",
			field: func(c *Config) any { return &c.Storage.StorageDriver.ChunkSize },
		}, {
			Path: driverPath + "multipartcopychunksize", implied: "33554432", Allowed: allowedPart, Example: `"64MiB"`, kind: attrSize,
			Doc:   "The parts in which the bucket copies an object.",
			field: func(c *Config) any { return &c.Storage.StorageDriver.MultipartCopyChunkSize },
		}, {
			Path: driverPath + "multipartcopymaxconcurrency", implied: "8", Allowed: "a number from 1 to 1000", Example: "16", kind: attrNumber,
			Doc:   "How many parts of an object are copied at a time.",
			field: func(c *Config) any { return &c.Storage.StorageDriver.MultipartCopyMaxConcurrency },
		}, {
			Path: driverPath + "multipartcopythresholdsize", implied: "33554432", Allowed: allowedPart, Example: `"64MiB"`, kind: attrSize,
			Doc:   "The size above which objects are copied in parts.",
			field: func(c *Config) any { return &c.Storage.StorageDriver.MultipartCopyThresholdSize },
		}, {
			Path: driverPath + "rootdirectory", Allowed: "a path", Example: `"/registry"`,
			Doc:   "What every key begins with, once. Without it the whole bucket is the root. No two roots may lie in one another.",
			field: func(c *Config) any { return &c.Storage.StorageDriver.RootDirectory },
		}, {
			Path: driverPath + "storageclass", implied: "STANDARD", Allowed: "a storage class from which can be read at once", Example: `"STANDARD_IA"`,
			Doc:   "The storage class of what is written. `GLACIER`, `DEEP_ARCHIVE` and `EXPRESS_ONEZONE` are refused.",
			field: func(c *Config) any { return &c.Storage.StorageDriver.StorageClass },
		}, {
			Path: driverPath + "useragent", implied: "berth", Allowed: "printable characters", Example: `"berth shop-17"`,
			Doc:   "The User-Agent of requests.",
			field: func(c *Config) any { return &c.Storage.StorageDriver.UserAgent },
		}, {
			Path: driverPath + "usedualstack", implied: "false", Allowed: allowedBool, Example: "true", kind: attrBool,
			Doc:   "AWS's endpoints that have IPv6.",
			field: func(c *Config) any { return &c.Storage.StorageDriver.UseDualStack },
		}, {
			Path: driverPath + "accelerate", implied: "false", Allowed: allowedBool, Example: "true", kind: attrBool,
			Doc:   "AWS's transfer acceleration. It needs `forcepathstyle = false`, and a bucket's name without dots.",
			field: func(c *Config) any { return &c.Storage.StorageDriver.Accelerate },
		}, {
			Path: driverPath + "objectacl", implied: "private", Allowed: "a canned ACL", Example: `"bucket-owner-full-control"`,
			Doc:   "The canned ACL of what is written.",
			field: func(c *Config) any { return &c.Storage.StorageDriver.ObjectACL },
		}, {
			Path: driverPath + "loglevel", implied: "off", Allowed: `"off", "debug", "debugwithrequestretries" or "debugwithrequesterrors"`, Example: `"debug"`,
			Doc:   "What is logged of requests to the bucket, at the level debug: nothing, all of them, or those that failed. Signatures and contents are never logged: the levels that ask for them are refused.",
			field: func(c *Config) any { return &c.Storage.StorageDriver.LogLevel },
		}, {
			Path: driverPath + "sessiontoken", Allowed: "a session token", Example: `"…"`, secret: true,
			Doc:   "The session token of temporary keys.",
			field: func(c *Config) any { return &c.Storage.StorageDriver.SessionToken },
		}, {
			Path: driverPath + "usefips", implied: "false", Allowed: allowedBool, Example: "true", kind: attrBool,
			Doc:   "AWS's FIPS endpoints.",
			field: func(c *Config) any { return &c.Storage.StorageDriver.UseFIPS },
		}, {
			Path: driverPath + "cafile", Allowed: "the path of a PEM file", Example: `"/etc/berth/ca.pem"`,
			Doc:   "Authorities that are trusted besides the system's.",
			field: func(c *Config) any { return &c.Storage.StorageDriver.CAFile },
		},
	}
}

// cacheDriverKeys are where the dedupe index lies.
func cacheDriverKeys() []Key {
	const path = "storage.cacheDriver."
	all := []Key{
		{
			Path: path + "name", Allowed: `"dynamodb"`, Example: `"dynamodb"`, oneOf: []string{"", DynamoDB},
			Doc:   "With `storage.remoteCache`, the dedupe index is a table of DynamoDB. berth makes the table where it is missing, reads single items, updates and deletes them, and makes no other call. The other drivers of the reference registry are not in this build: without this key the index is on the local disk.",
			field: func(c *Config) any { return &c.Storage.CacheDriver.Name },
		}, {
			Path: path + "endpoint", Allowed: "an address with http:// or https://", Example: `"http://127.0.0.1:4566"`,
			Doc:   "The service's address. Without it, AWS's in the region.",
			field: func(c *Config) any { return &c.Storage.CacheDriver.Endpoint },
		}, {
			Path: path + "region", Allowed: "a region's name", Example: `"us-east-2"`,
			Doc:   "The table's region. Needed.",
			field: func(c *Config) any { return &c.Storage.CacheDriver.Region },
		}, {
			Path: path + "cacheTablename", Allowed: "a table's name", Example: `"BerthBlobs"`,
			Doc:   "The table. Needed, by this key or `tableName`. Its hash key is `Digest`, a string; a table that the reference registry has made will do, and what is in it stays as it is.",
			field: func(c *Config) any { return &c.Storage.CacheDriver.CacheTablename },
		}, {
			Path: path + "tableName", Allowed: "a table's name", Example: `"BerthBlobs"`,
			Doc:   "The same as `cacheTablename`.",
			field: func(c *Config) any { return &c.Storage.CacheDriver.TableName },
		}, {
			Path: path + "accesskey", Allowed: "an access key", Example: `"AKIAIOSFODNN7EXAMPLE"`,
			Doc:   "Without it, credentials are looked for as for `storage.storageDriver.accesskey`.",
			field: func(c *Config) any { return &c.Storage.CacheDriver.AccessKey },
		}, {
			Path: path + "secretkey", Allowed: "a secret key", Example: `"…"`, secret: true,
			Doc:   "The secret key of `accesskey`.",
			field: func(c *Config) any { return &c.Storage.CacheDriver.SecretKey },
		}, {
			Path: path + "sessiontoken", Allowed: "a session token", Example: `"…"`, secret: true,
			Doc:   "The session token of temporary keys.",
			field: func(c *Config) any { return &c.Storage.CacheDriver.SessionToken },
		},
	}
	unused := func(name string, field func(*CacheDriver) *string) {
		all = append(all, Key{
			Path: path + name, Allowed: "a table's name", Example: `"Table"`,
			Doc:   "Accepted because existing files carry it. berth keeps nothing in that table.",
			field: func(c *Config) any { return field(&c.Storage.CacheDriver) },
		})
	}
	unused("repoMetaTablename", func(d *CacheDriver) *string { return &d.RepoMetaTablename })
	unused("manifestDataTablename", func(d *CacheDriver) *string { return &d.ManifestDataTablename })
	unused("imageMetaTablename", func(d *CacheDriver) *string { return &d.ImageMetaTablename })
	unused("versionTablename", func(d *CacheDriver) *string { return &d.VersionTablename })
	unused("userDataTablename", func(d *CacheDriver) *string { return &d.UserDataTablename })
	unused("apiKeyTablename", func(d *CacheDriver) *string { return &d.APIKeyTablename })
	return all
}
