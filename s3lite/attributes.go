package s3lite

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"berth/s3lite/sigv4"
)

// Attribute is a row of the table of what an S3 storage driver is configured
// with. Each is honoured; the values that cannot be are refused by set, with
// the reason.
type Attribute struct {
	Name, Default, Doc string
	Required           bool
	set                func(*Settings, string) error
}

// Attributes is the table, in the order of the guide to the reference
// registry; behind its rows come those that are berth's own.
func Attributes() []Attribute {
	return []Attribute{
		{Name: "name", Doc: "the driver", Required: true, set: only("s3", "this is the driver of S3 alone")},
		{Name: "accesskey", Doc: "access key; without it, credentials are looked for where AWS's tools do", set: text(func(s *Settings) *string { return &s.AccessKey })},
		{Name: "secretkey", Doc: "secret key", set: secret(func(s *Settings) *sigv4.Secret { return &s.SecretKey })},
		{Name: "region", Doc: "the bucket's region", Required: true, set: text(func(s *Settings) *string { return &s.Region })},
		{Name: "regionendpoint", Doc: "address of a server that is not AWS", set: text(func(s *Settings) *string { return &s.Endpoint })},
		{Name: "forcepathstyle", Default: "true", Doc: "bucket in the path", set: boolean(func(s *Settings, v bool) { s.PathStyle = v })},
		{Name: "bucket", Doc: "the bucket", Required: true, set: text(func(s *Settings) *string { return &s.Bucket })},
		{Name: "encrypt", Default: "false", Doc: "ask for encryption at rest", set: boolean(func(s *Settings, v bool) { s.Encrypt = v })},
		{Name: "keyid", Doc: "key of KMS to encrypt with; without encrypt it is ignored", set: text(func(s *Settings) *string { return &s.KMSKey })},
		{Name: "secure", Default: "true", Doc: "HTTPS, where the endpoint names no scheme", set: boolean(func(s *Settings, v bool) { s.PlainHTTP = !v })},
		{Name: "skipverify", Default: "false", Doc: "take any certificate", set: boolean(func(s *Settings, v bool) { s.SkipVerify = v })},
		{Name: "v4auth", Default: "true", Doc: "signature version 4", set: only("true", "version 4 is the only signature that is built: AWS takes no other in regions opened since 2014, nor for buckets made since June 2020")},
		{Name: "chunksize", Default: "10485760", Doc: "bytes in a part of an upload", set: size(func(s *Settings) *int64 { return &s.ChunkSize })},
		{Name: "multipartcopychunksize", Default: "33554432", Doc: "bytes in a part of a copy", set: size(func(s *Settings) *int64 { return &s.CopyChunkSize })},
		{Name: "multipartcopymaxconcurrency", Default: "8", Doc: "parts that are copied at a time", set: concurrency},
		{Name: "multipartcopythresholdsize", Default: "33554432", Doc: "bytes above which a copy is made in parts", set: size(func(s *Settings) *int64 { return &s.CopyThreshold })},
		{Name: "rootdirectory", Doc: "what every key begins with", set: rootDirectory},
		{Name: "storageclass", Default: "STANDARD", Doc: "storage class of what is written", set: storageClass},
		{Name: "useragent", Default: "berth", Doc: "User-Agent of requests", set: userAgent},
		{Name: "usedualstack", Default: "false", Doc: "AWS's endpoints with IPv6", set: boolean(func(s *Settings, v bool) { s.DualStack = v })},
		{Name: "accelerate", Default: "false", Doc: "AWS's transfer acceleration", set: boolean(func(s *Settings, v bool) { s.Accelerate = v })},
		{Name: "objectacl", Default: "private", Doc: "canned ACL of what is written", set: objectACL},
		{Name: "loglevel", Default: "off", Doc: "what the client logs, at debug level", set: logLevel},

		{Name: "sessiontoken", Doc: "session token of temporary keys", set: secret(func(s *Settings) *sigv4.Secret { return &s.SessionToken })},
		{Name: "usefips", Default: "false", Doc: "AWS's FIPS endpoints", set: boolean(func(s *Settings, v bool) { s.FIPS = v })},
		{Name: "cafile", Doc: "PEM file of authorities that are trusted, too", set: text(func(s *Settings) *string { return &s.CAFile })},
	}
}

// only takes one value.
func only(value, why string) func(*Settings, string) error {
	return func(_ *Settings, v string) error {
		if v != value {
			return fmt.Errorf("%q is refused: %s", v, why)
		}
		return nil
	}
}

func text(field func(*Settings) *string) func(*Settings, string) error {
	return func(s *Settings, v string) error {
		*field(s) = v
		return nil
	}
}

func secret(field func(*Settings) *sigv4.Secret) func(*Settings, string) error {
	return func(s *Settings, v string) error {
		*field(s) = sigv4.NewSecret(v)
		return nil
	}
}

func boolean(assign func(*Settings, bool)) func(*Settings, string) error {
	return func(s *Settings, v string) error {
		if v != "true" && v != "false" {
			return fmt.Errorf("%q is neither true nor false", v)
		}
		assign(s, v == "true")
		return nil
	}
}

// size is that of a part, which AWS bounds.
func size(field func(*Settings) *int64) func(*Settings, string) error {
	return func(s *Settings, v string) error {
		n, err := strconv.ParseInt(v, 10, 64)
		if err != nil || n < MinPart || n > MaxPart {
			return fmt.Errorf("%q is refused: S3 takes parts of %d to %d bytes", v, MinPart, int64(MaxPart))
		}
		*field(s) = n
		return nil
	}
}

const maxConcurrency = 1000

func concurrency(s *Settings, v string) error {
	n, err := strconv.Atoi(v)
	if err != nil || n < 1 || n > maxConcurrency {
		return fmt.Errorf("%q is refused: it is a number from 1 to %d", v, maxConcurrency)
	}
	s.CopyConcurrency = n
	return nil
}

func rootDirectory(s *Settings, v string) error {
	root := strings.Trim(v, "/")
	for segment := range strings.SplitSeq(root, "/") {
		if root != "" && (segment == "" || segment == "." || segment == "..") {
			return fmt.Errorf("%q is refused: a part between two slashes is empty or made of dots", v)
		}
	}
	s.RootDirectory = root
	return nil
}

// storageClass refuses the classes from which an object cannot be read at
// once. Servers that are not AWS have others of their own.
func storageClass(s *Settings, v string) error {
	switch v {
	case "", "NONE", "STANDARD":
		s.StorageClass = ""
		return nil
	case "GLACIER", "DEEP_ARCHIVE":
		return fmt.Errorf("%q is refused: what lies there has to be restored before it can be pulled", v)
	case "EXPRESS_ONEZONE":
		return fmt.Errorf("%q is refused: directory buckets are signed with sessions of their own, which are not built", v)
	}
	if !isRegion(v) {
		return fmt.Errorf("%q is no name of a storage class", v)
	}
	s.StorageClass = v
	return nil
}

func userAgent(s *Settings, v string) error {
	for i := range len(v) {
		if v[i] < ' ' || v[i] > '~' {
			return errors.New("has characters that cannot stand in a header")
		}
	}
	s.UserAgent = v
	return nil
}

// objectACL leaves the default out: a bucket without ACLs refuses any.
func objectACL(s *Settings, v string) error {
	canned := []string{"private", "public-read", "public-read-write", "aws-exec-read", "authenticated-read", "bucket-owner-read", "bucket-owner-full-control"}
	if !slices.Contains(canned, v) {
		return fmt.Errorf("%q is refused: the ACLs of objects are %s", v, strings.Join(canned, ", "))
	}
	s.ACL = ""
	if v != "private" {
		s.ACL = v
	}
	return nil
}

func logLevel(s *Settings, v string) error {
	switch v {
	case "off", "debugwithrequestretries", "debugwithrequesterrors":
		s.LogRequests = false
	case "debug":
		s.LogRequests = true
	case "debugwithsigning":
		return fmt.Errorf("%q is refused: signatures are not written to a log", v)
	case "debugwithhttpbody":
		return fmt.Errorf("%q is refused: contents are not written to a log", v)
	default:
		return fmt.Errorf("%q is refused: it is off, debug, debugwithrequestretries or debugwithrequesterrors", v)
	}
	s.Quiet = v == "off"
	return nil
}
