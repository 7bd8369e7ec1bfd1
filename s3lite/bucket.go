package s3lite

import (
	"context"
	"io"
	"net/http"
	"net/url"
)

// HeadBucket asks whether the bucket is there and may be used, and learns its
// region. Errors: ErrNoSuchBucket, ErrAccessDenied.
func (c *Client) HeadBucket(ctx context.Context) error {
	err := c.run(ctx, call{op: "HeadBucket", method: http.MethodHead, read: func(h http.Header, _ io.Reader) error {
		if region := h.Get("X-Amz-Bucket-Region"); isRegion(region) {
			c.region.Store(&region)
		}
		return nil
	}})
	if e, ok := err.(*Error); ok && e.Kind == ErrNotFound {
		e.Kind = ErrNoSuchBucket // a HEAD's answer has no code
	}
	return err
}

// GetBucketLocation returns the bucket's region.
func (c *Client) GetBucketLocation(ctx context.Context) (region string, err error) {
	err = c.run(ctx, call{
		op: "GetBucketLocation", method: http.MethodGet, query: url.Values{"location": {""}},
		read: func(_ http.Header, body io.Reader) error {
			return readXML(body, func(path, text string) error {
				if path == "LocationConstraint" {
					region = text
				}
				return nil
			})
		},
	})
	switch {
	case err != nil:
		return "", err
	case region == "":
		return "us-east-1", nil
	case region == "EU":
		return "eu-west-1", nil
	}
	return region, nil
}
