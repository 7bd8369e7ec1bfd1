package sigv4

import (
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"
)

// The credentials, dates and requests of the examples in "Authenticating
// Requests (AWS Signature Version 4)" of the Amazon S3 API reference.
var (
	s3Example = Credentials{AccessKeyID: "AKIAIOSFODNN7EXAMPLE", SecretKey: NewSecret("wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY")}
	s3Scope   = Scope{Region: "us-east-1", Service: "s3"}
	s3Now     = time.Date(2013, 5, 24, 0, 0, 0, 0, time.UTC)
)

// The same of the test suite for Signature Version 4.
var (
	suiteExample = Credentials{AccessKeyID: "AKIDEXAMPLE", SecretKey: NewSecret("wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY")}
	suiteScope   = Scope{Region: "us-east-1", Service: "service"}
	suiteNow     = time.Date(2015, 8, 30, 12, 36, 0, 0, time.UTC)
)

func request(t *testing.T, method, target string, header ...string) *http.Request {
	t.Helper()
	u, err := url.Parse(target)
	if err != nil {
		t.Fatal(err)
	}
	r := &http.Request{Method: method, URL: u, Header: http.Header{}}
	for _, line := range header {
		name, value, _ := strings.Cut(line, ":")
		r.Header.Add(name, value)
	}
	return r
}

func signatureOf(r *http.Request) string {
	_, signature, _ := strings.Cut(r.Header.Get("Authorization"), "Signature=")
	return signature
}

func TestS3Examples(t *testing.T) {
	const host = "https://examplebucket.s3.amazonaws.com"
	for _, c := range []struct {
		name, method, target, payload, signed, want string
		header                                      []string
	}{
		{
			"GET object", "GET", host + "/test.txt", Empty, "host;range;x-amz-content-sha256;x-amz-date",
			"f0e8bdb87c964420e857bd35b5d6ed310bd44f0170aba48dd91039c6036bdb41", []string{"Range:bytes=0-9"},
		},
		{
			"PUT object", "PUT", host + "/test%24file.text", "44ce7dd67c959e0d3524ffac1771dfbba87d2b6b4b4e99e42034a8b803f8b072",
			"date;host;x-amz-content-sha256;x-amz-date;x-amz-storage-class",
			"98ad721746da40c64f1a55b78f14c238d841ea1380cd77a1b5971af0ece108bd",
			[]string{"Date:Fri, 24 May 2013 00:00:00 GMT", "x-amz-storage-class:REDUCED_REDUNDANCY"},
		},
		{
			"GET bucket lifecycle", "GET", host + "/?lifecycle", Empty, "host;x-amz-content-sha256;x-amz-date",
			"fea454ca298b7da1c68078a5d1bdbfbbe0d65c699e0f91ac7a200a0136783543", nil,
		},
		{
			"list objects", "GET", host + "/?max-keys=2&prefix=J", Empty, "host;x-amz-content-sha256;x-amz-date",
			"34b48302e7b5fa45bde8084f4b7868a86f0a534bc59db6670ed5711ef69dc6f7", nil,
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := request(t, c.method, c.target, c.header...)
			Sign(r, s3Example, s3Scope, c.payload, s3Now)
			want := "AWS4-HMAC-SHA256 Credential=AKIAIOSFODNN7EXAMPLE/20130524/us-east-1/s3/aws4_request, SignedHeaders=" +
				c.signed + ", Signature=" + c.want
			if got := r.Header.Get("Authorization"); got != want {
				t.Errorf("Authorization is\n%s, want\n%s", got, want)
			}
		})
	}
}

func TestPresignExample(t *testing.T) {
	u, _ := url.Parse("https://examplebucket.s3.amazonaws.com/test.txt")
	got := Presign("GET", u, s3Example, s3Scope, 24*time.Hour, s3Now)
	want := "https://examplebucket.s3.amazonaws.com/test.txt?X-Amz-Algorithm=AWS4-HMAC-SHA256" +
		"&X-Amz-Credential=AKIAIOSFODNN7EXAMPLE%2F20130524%2Fus-east-1%2Fs3%2Faws4_request" +
		"&X-Amz-Date=20130524T000000Z&X-Amz-Expires=86400&X-Amz-SignedHeaders=host" +
		"&X-Amz-Signature=aeeed9bbccd4d02ee5c0109b86d86835f995330da4c265957d157751f604d404"
	if got.String() != want {
		t.Errorf("URL is\n%s, want\n%s", got, want)
	}
}

// suiteCases are the requests of the suite by name.
var suiteCases = []struct {
	name, method, target, want string
	header                     []string
}{
	{"get-vanilla", "GET", "/", "5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31", nil},
	{"get-vanilla-empty-query-key", "GET", "/?Param1=value1", "a67d582fa61cc504c4bae71f336f98b97f1ea3c7a6bfe1b6e45aec72011b9aeb", nil},
	{"get-vanilla-query-order-key-case", "GET", "/?Param2=value2&Param1=value1", "b97d918cfa904a5beff61c982a1b6f458b799221646efd99d3219ec94cdf2500", nil},
	{"get-unreserved", "GET", "/-._~0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz", "07ef7494c76fa4850883e2b006601f940f8a34d404d0cfa977f52a65bbf5f24f", nil},
	{"get-utf8", "GET", "/%E1%88%B4", "8318018e0b0f223aa2bbf98705b62bb787dc9c0e678f255a891fd03141be5d85", nil},
	{"get-header-key-duplicate", "GET", "/", "c9d5ea9f3f72853aea855b47ea873832890dbdd183b4468f858259531a5138ea", []string{"My-Header1:value2", "My-Header1:value2", "My-Header1:value1"}},
	{"get-header-value-order", "GET", "/", "08c7e5a9acfcfeb3ab6b2185e75ce8b1deb5e634ec47601a50643f830c755c01", []string{"My-Header1:value4", "My-Header1:value1", "My-Header1:value3", "My-Header1:value2"}},
	{"get-header-value-trim", "GET", "/", "acc3ed3afb60bb290fc8d2dd0098b9911fcaa05412b367055dee359757a9c736", []string{"My-Header1: value1", "My-Header2: \"a   b   c\""}},
	{"post-vanilla", "POST", "/", "5da7c1a2acd57cee7505fc6676e4e544621c30862966e37dddb68e92efbe5d6b", nil},
	{"post-header-key-sort", "POST", "/", "c5410059b04c1ee005303aed430f6e6645f61f4dc9e1461ec8f8916fdf18852c", []string{"MY-HEADER1:value1"}},
	{"post-header-value-case", "POST", "/", "cdbc9802e29d2942e5e10b5bccfdd67c5f22c7c4e8ae67b53629efa58b974b7d", []string{"My-Header1:VALUE1"}},
	{"post-vanilla-query", "POST", "/?Param1=value1", "28038455d6de14eafc1f9222cf5aa6f1a96197d7deb8263271d420d138af7f11", nil},
	{"post-x-www-form-urlencoded", "POST", "/", "ff11897932ad3f4e8b18135d722051e5ac45fc38421b1da7b9d196a0fe09473a", []string{"Content-Type:application/x-www-form-urlencoded"}},
}

func TestSuite(t *testing.T) {
	for _, c := range suiteCases {
		t.Run(c.name, func(t *testing.T) {
			payload := Empty
			if c.name == "post-x-www-form-urlencoded" {
				payload = "9095672bbd1f56dfc5b65f3e153adc8731a4a654192329106275f4c7b24d0b6e" // of "Param1=value1"
			}
			r := request(t, c.method, "https://example.amazonaws.com"+c.target, c.header...)
			Sign(r, suiteExample, suiteScope, payload, suiteNow)
			if got := signatureOf(r); got != c.want {
				t.Errorf("signature is %s, want %s; %s", got, c.want, r.Header)
			}
		})
	}
}
