package s3lite

import (
	"context"
	"net/http"
	"net/url"
	"time"

	"berth/s3lite/sigv4"
)

// PresignOptions say what the answer to a presigned request looks like.
type PresignOptions struct {
	// ContentType takes the place of the object's own; "" keeps it.
	ContentType string
}

// PresignGetObject returns a URL with which anybody can read the object until
// expires has passed, or the credentials have expired. Nothing is asked of
// the service, and the object may be missing. Where requests are not signed,
// neither is the URL.
func (c *Client) PresignGetObject(ctx context.Context, key string, expires time.Duration, o PresignOptions) (string, error) {
	q := url.Values{}
	if o.ContentType != "" {
		q.Set("response-content-type", o.ContentType)
	}
	place := c.endpoint.place(c.Region(), key, q.Encode())
	if c.creds == nil {
		return place.URL.String(), nil
	}
	creds, err := c.creds.Get(ctx)
	if err != nil {
		return "", &Error{Op: "PresignGetObject", Target: c.endpoint.bucket + "/" + key, Err: err}
	}
	now := c.wire.Now()
	if !creds.Expires.IsZero() {
		expires = min(expires, creds.Expires.Sub(now))
	}
	signed := sigv4.Presign(http.MethodGet, &place.URL, creds, sigv4.Scope{Region: place.Region, Service: "s3"}, expires, now)
	return signed.String(), nil
}
