package s3lite

import (
	"fmt"
	"net"
	"net/url"
	"strings"

	"berth/s3lite/sigv4"
	"berth/s3lite/wire"
)

// endpoint knows where a bucket's objects are.
type endpoint struct {
	scheme string
	host   string // of a server of one's own, with its port; "" for AWS
	base   string // path before all others, without a slash at its end
	bucket string
	// inPath puts the bucket in the path, not in front of the host.
	inPath                      bool
	dualStack, fips, accelerate bool
}

// newEndpoint checks the options of where a bucket is.
func newEndpoint(o Options) (endpoint, error) {
	e := endpoint{scheme: "https", bucket: o.Bucket, inPath: o.PathStyle, dualStack: o.DualStack, fips: o.FIPS, accelerate: o.Accelerate}
	if o.PlainHTTP {
		e.scheme = "http"
	}
	if err := checkBucket(o.Bucket, o.Endpoint == ""); err != nil {
		return e, err
	}
	if !isRegion(o.Region) {
		return e, fmt.Errorf("region %q is no name of a region, such as us-east-1", o.Region)
	}
	if o.Endpoint != "" {
		return e, e.custom(o)
	}
	switch {
	case o.Accelerate && o.PathStyle:
		return e, fmt.Errorf("transfer acceleration needs the bucket in the host name, and path style puts it in the path")
	case o.Accelerate && strings.Contains(o.Bucket, "."):
		return e, fmt.Errorf("transfer acceleration is not to be had for bucket %s: its name has a dot", o.Bucket)
	case o.Accelerate && o.FIPS:
		return e, fmt.Errorf("transfer acceleration has no FIPS endpoints")
	}
	// No certificate covers a bucket with a dot in front of the host.
	e.inPath = e.inPath || strings.Contains(o.Bucket, ".")
	return e, nil
}

// custom reads the address of a server of one's own.
func (e *endpoint) custom(o Options) error {
	if o.DualStack || o.FIPS || o.Accelerate {
		return fmt.Errorf("dual-stack, FIPS and accelerate endpoints are AWS's own: they do not go with endpoint %s", o.Endpoint)
	}
	text := o.Endpoint
	if !strings.Contains(text, "://") {
		text = e.scheme + "://" + text
	}
	u, err := url.Parse(text)
	switch {
	case err != nil:
		return fmt.Errorf("endpoint %q is no address", o.Endpoint)
	case u.Scheme != "http" && u.Scheme != "https":
		return fmt.Errorf("endpoint %q: the scheme is http or https", o.Endpoint)
	case u.Hostname() == "" || strings.ContainsAny(u.Host, " \t%@"):
		return fmt.Errorf("endpoint %q names no host", o.Endpoint)
	case u.User != nil:
		return fmt.Errorf("the endpoint at %s holds a user: keys have settings of their own", u.Host)
	case u.RawQuery != "" || u.Fragment != "" || u.ForceQuery:
		return fmt.Errorf("endpoint %q has more than scheme, host and path", o.Endpoint)
	case !o.PathStyle && net.ParseIP(u.Hostname()) != nil:
		return fmt.Errorf("endpoint %q is an IP address: no bucket can stand in front of it, so path style it has to be", o.Endpoint)
	}
	e.scheme, e.host, e.base = u.Scheme, u.Host, strings.TrimRight(u.EscapedPath(), "/")
	return nil
}

// checkBucket refuses what cannot be a bucket's name; AWS's rules are stricter
// than those of others.
func checkBucket(name string, aws bool) error {
	if len(name) < 3 || len(name) > 255 || aws && len(name) > 63 {
		return fmt.Errorf("bucket %q: a name has 3 to 63 characters", name)
	}
	for i := range len(name) {
		c := name[i]
		good := 'a' <= c && c <= 'z' || '0' <= c && c <= '9' || c == '-' || c == '.' || !aws && ('A' <= c && c <= 'Z' || c == '_')
		if !good {
			return fmt.Errorf("bucket %q: a name has lower-case letters, digits, dots and hyphens, not %q", name, c)
		}
	}
	if strings.Contains(name, "..") || strings.ContainsAny(name[:1]+name[len(name)-1:], ".-_") {
		return fmt.Errorf("bucket %q: a name begins and ends with a letter or digit and has no two dots in a row", name)
	}
	if aws && strings.HasSuffix(name, "--x-s3") {
		return fmt.Errorf("bucket %s is a directory bucket: these are signed with sessions of their own, which are not built", name)
	}
	return nil
}

func isRegion(name string) bool {
	for i := range len(name) {
		c := name[i]
		if !('a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9' || c == '-' || c == '_') {
			return false
		}
	}
	return name != "" && len(name) <= 64
}

// place is where a key's requests go in a region; key "" stands for the bucket.
func (e endpoint) place(region, key, query string) wire.Place {
	u := url.URL{Scheme: e.scheme, Host: e.hostIn(region), RawQuery: sigv4.CanonicalQuery(query)}
	path := e.base + "/"
	if e.inPath {
		path += e.bucket
		if key != "" {
			path += "/"
		}
	} else {
		u.Host = e.bucket + "." + u.Host
	}
	path += sigv4.Encode(key, true)
	u.RawPath = path
	if decoded, err := url.PathUnescape(path); err == nil {
		u.Path = decoded
	}
	return wire.Place{URL: u, Region: region}
}

// hostIn is the service's host, in front of which a bucket may stand.
func (e endpoint) hostIn(region string) string {
	if e.host != "" {
		return e.host
	}
	name := "s3"
	switch {
	case e.accelerate:
		name = "s3-accelerate"
	case e.fips:
		name = "s3-fips"
	}
	if e.dualStack {
		name += ".dualstack"
	}
	if !e.accelerate {
		name += "." + region
	}
	return name + "." + domainOf(region)
}

// domainOf is the domain of a region's partition.
func domainOf(region string) string {
	switch {
	case strings.HasPrefix(region, "cn-"):
		return "amazonaws.com.cn"
	case strings.HasPrefix(region, "us-iso-"):
		return "c2s.ic.gov"
	case strings.HasPrefix(region, "us-isob-"):
		return "sc2s.sgov.gov"
	}
	return "amazonaws.com"
}

// trusts tells whether a redirect's target may be sent a signed request: to
// AWS's hosts from AWS's, else to the same host, or one below it, and never
// from TLS to none.
func (e endpoint) trusts(u *url.URL, region string) bool {
	if u.Scheme != e.scheme && u.Scheme != "https" || u.User != nil {
		return false
	}
	own, _, err := net.SplitHostPort(e.host)
	if err != nil {
		own = e.host
	}
	if own == "" {
		own = domainOf(region)
	}
	host := u.Hostname()
	return host == own || strings.HasSuffix(host, "."+own) && net.ParseIP(own) == nil
}
