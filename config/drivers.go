package config

import (
	"fmt"
	"strconv"
	"time"
)

// Attr is one attribute of a driver, printed as text; "" where it is not set.
// Which values are good the driver knows.
type Attr string

// Secret is an attribute that must not be seen: whatever prints a
// configuration shows that there is one, and not what it is.
type Secret string

func (s Secret) String() string {
	if s == "" {
		return ""
	}
	return "[redacted]"
}

// GoString is what %#v shows.
func (s Secret) GoString() string { return strconv.Quote(s.String()) }

// MarshalText is what JSON and the like hold.
func (s Secret) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// Reveal returns the text, for the one use that it is for.
func (s Secret) Reveal() string { return string(s) }

// StorageDriver is storage.storageDriver: where a root lies that is no
// directory. The zero value is a directory.
type StorageDriver struct {
	Name, AccessKey                                                Attr
	SecretKey, SessionToken                                        Secret
	Region, RegionEndpoint, ForcePathStyle, Bucket                 Attr
	Encrypt, KeyID, Secure, SkipVerify, V4Auth                     Attr
	ChunkSize, MultipartCopyChunkSize                              Attr
	MultipartCopyMaxConcurrency, MultipartCopyThresholdSize        Attr
	RootDirectory, StorageClass, UserAgent                         Attr
	UseDualStack, Accelerate, ObjectACL, LogLevel, UseFIPS, CAFile Attr
}

// IsSet tells whether the root lies elsewhere than in a directory.
func (d StorageDriver) IsSet() bool { return d != StorageDriver{} }

// Attributes returns those that are set, by their names in lower case, secrets
// among them: it is for the driver, and for nobody who prints it.
func (d StorageDriver) Attributes() map[string]string {
	all := map[string]string{}
	scratch := &Config{}
	scratch.Storage.StorageDriver = d
	for _, k := range storageDriverKeys() {
		_, name := splitPath(k.Path)
		switch f := k.field(scratch).(type) {
		case *Attr:
			if *f != "" {
				all[name] = string(*f)
			}
		case *Secret:
			if *f != "" {
				all[name] = f.Reveal()
			}
		}
	}
	return all
}

// maxIndexAge bounds storage.indexMaxAge: what another berth deleted is gone for
// everybody after it.
const maxIndexAge = time.Hour

// DynamoDB is the value of storage.cacheDriver.name for an index in a table.
const DynamoDB = "dynamodb"

// CacheDriver is storage.cacheDriver: where the dedupe index lies with
// storage.remoteCache.
type CacheDriver struct {
	Name, Endpoint, Region    string
	CacheTablename, TableName string // see Table
	AccessKey                 string
	SecretKey, SessionToken   Secret

	// What follows names tables that berth has no use for.
	RepoMetaTablename, ManifestDataTablename, ImageMetaTablename string
	VersionTablename, UserDataTablename, APIKeyTablename         string
}

// Table is the name of the table, by whichever key it was set.
func (d CacheDriver) Table() string {
	if d.CacheTablename != "" {
		return d.CacheTablename
	}
	return d.TableName
}

// attrKind is what an attribute is before it is printed.
type attrKind int

const (
	attrText attrKind = iota
	attrBool
	attrNumber
	attrSize // a number of bytes, or a string with a unit
)

// toAttr prints an attribute.
func (k Key) toAttr(value any) (string, error) {
	if s, ok := value.(text); ok && s == "" {
		return "", nil
	}
	switch k.kind {
	case attrBool:
		b, err := toBool(value)
		return strconv.FormatBool(b), err
	case attrNumber:
		n, err := toInt(value)
		return strconv.FormatInt(n, 10), err
	case attrSize:
		n, err := k.toBytes(value)
		return strconv.FormatInt(n, 10), err
	}
	return k.toString(value)
}

// checkDrivers finds what is wrong with the drivers of a root, whose keys begin
// with a path.
func checkDrivers(path string, r Root) (key, message string) {
	d := r.CacheDriver
	switch {
	case d.CacheTablename != "" && d.TableName != "" && d.CacheTablename != d.TableName:
		return path + "cacheDriver.tableName", "cacheTablename, which is the same, has another value"
	case r.RemoteCache && d.Name != DynamoDB:
		return path + "remoteCache", fmt.Sprintf("cacheDriver.name is %s: an index that is not on this machine needs a cacheDriver with the name %q", quote(d.Name), DynamoDB)
	case r.RemoteCache && d.Region == "":
		return path + "cacheDriver.region", "is missing: requests to DynamoDB are signed for a region"
	case r.RemoteCache && d.Table() == "":
		return path + "cacheDriver.cacheTablename", "is missing: it names the table"
	case (d.AccessKey == "") != (d.SecretKey == ""):
		return path + "cacheDriver.accesskey", "accesskey and secretkey come together, and one of them is missing"
	}
	return "", ""
}

// allDrivers is checkDrivers of every root.
func allDrivers(s Storage) (key, message string) {
	if key, message = checkDrivers("storage.", s.Root); key != "" {
		return key, message
	}
	for _, sub := range s.SubPaths {
		if key, message = checkDrivers(sub.Key(""), sub.Root); key != "" {
			return key, message
		}
	}
	return "", ""
}
