package s3lite

import (
	"context"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
)

// ListOptions say what is listed.
type ListOptions struct {
	Prefix string
	// Delimiter joins the keys that have it behind the prefix, up to it.
	Delimiter string
	// StartAfter leaves out all keys up to this one.
	StartAfter string
	// Token goes on where a page ended.
	Token string
	// Max keys and prefixes on a page; 0 for a thousand.
	Max int
}

// Page is a part of a list, in the order of the keys' bytes.
type Page struct {
	// Objects have no content type and no metadata.
	Objects  []Info
	Prefixes []string
	// Next is the token of the next page; "" after the last one.
	Next string
}

// ListObjects returns a page of the bucket's list (ListObjectsV2).
func (c *Client) ListObjects(ctx context.Context, o ListOptions) (Page, error) {
	q := url.Values{"list-type": {"2"}, "encoding-type": {"url"}}
	for name, value := range map[string]string{
		"prefix": o.Prefix, "delimiter": o.Delimiter, "start-after": o.StartAfter, "continuation-token": o.Token,
	} {
		if value != "" {
			q.Set(name, value)
		}
	}
	if o.Max > 0 {
		q.Set("max-keys", strconv.Itoa(o.Max))
	}
	var l lister
	err := c.run(ctx, call{op: "ListObjectsV2", method: http.MethodGet, query: q, read: func(_ http.Header, body io.Reader) error {
		l = lister{}
		if err := readXML(body, l.element); err != nil {
			return err
		}
		return l.finish()
	}})
	return l.page, err
}

// lister makes a page of the elements of an answer.
type lister struct {
	page      Page
	object    Info
	truncated bool
	encoded   bool
}

func (l *lister) element(path, text string) (err error) {
	switch path {
	case "ListBucketResult/EncodingType":
		l.encoded = text == "url"
	case "ListBucketResult/IsTruncated":
		l.truncated = text == "true"
	case "ListBucketResult/NextContinuationToken":
		l.page.Next = text
	case "ListBucketResult/Contents/Key":
		l.object.Key = text
	case "ListBucketResult/Contents/ETag":
		l.object.ETag = text
	case "ListBucketResult/Contents/Size":
		l.object.Size, err = strconv.ParseInt(text, 10, 64)
	case "ListBucketResult/Contents/LastModified":
		l.object.Modified = parseTime(text)
	case "ListBucketResult/Contents":
		l.page.Objects, l.object = append(l.page.Objects, l.object), Info{}
	case "ListBucketResult/CommonPrefixes/Prefix":
		l.page.Prefixes = append(l.page.Prefixes, text)
	}
	return err
}

// finish decodes the keys: whether they are encoded may come behind them.
func (l *lister) finish() (err error) {
	if !l.truncated {
		l.page.Next = ""
	}
	if !l.encoded {
		return nil
	}
	for i := range l.page.Objects {
		if l.page.Objects[i].Key, err = decodeKey(l.page.Objects[i].Key); err != nil {
			return err
		}
	}
	for i := range l.page.Prefixes {
		if l.page.Prefixes[i], err = decodeKey(l.page.Prefixes[i]); err != nil {
			return err
		}
	}
	return nil
}

func decodeKey(key string) (string, error) {
	if strings.IndexByte(key, '%') < 0 && strings.IndexByte(key, '+') < 0 {
		return key, nil
	}
	return url.QueryUnescape(key)
}

// Walk calls each for every object behind a prefix, a page in memory at a
// time. It ends with the error of each.
func (c *Client) Walk(ctx context.Context, prefix, startAfter string, each func(Info) error) error {
	o := ListOptions{Prefix: prefix, StartAfter: startAfter}
	for {
		page, err := c.ListObjects(ctx, o)
		if err != nil {
			return err
		}
		for _, info := range page.Objects {
			if err := each(info); err != nil {
				return err
			}
		}
		if page.Next == "" {
			return nil
		}
		o.Token = page.Next
	}
}

// ListMultipartUploads calls each for every upload under a prefix that is
// neither complete nor aborted. It ends with the error of each.
func (c *Client) ListMultipartUploads(ctx context.Context, prefix string, each func(Upload) error) error {
	q := url.Values{"uploads": {""}, "encoding-type": {"url"}}
	if prefix != "" {
		q.Set("prefix", prefix)
	}
	for {
		var l uploadLister
		err := c.run(ctx, call{op: "ListMultipartUploads", method: http.MethodGet, query: q, read: func(_ http.Header, body io.Reader) error {
			l = uploadLister{}
			return readXML(body, l.element)
		}})
		if err != nil {
			return err
		}
		for _, u := range l.uploads {
			if l.encoded {
				if u.Key, err = decodeKey(u.Key); err != nil {
					return err
				}
			}
			if err := each(u); err != nil {
				return err
			}
		}
		if l.encoded {
			if l.key, err = decodeKey(l.key); err != nil {
				return err
			}
		}
		if !l.truncated || l.key == q.Get("key-marker") && l.id == q.Get("upload-id-marker") {
			return nil
		}
		q.Set("key-marker", l.key)
		q.Set("upload-id-marker", l.id)
	}
}

type uploadLister struct {
	uploads            []Upload
	upload             Upload
	key, id            string // where the next page begins
	truncated, encoded bool
}

func (l *uploadLister) element(path, text string) error {
	switch path {
	case "ListMultipartUploadsResult/EncodingType":
		l.encoded = text == "url"
	case "ListMultipartUploadsResult/IsTruncated":
		l.truncated = text == "true"
	case "ListMultipartUploadsResult/NextKeyMarker":
		l.key = text
	case "ListMultipartUploadsResult/NextUploadIdMarker":
		l.id = text
	case "ListMultipartUploadsResult/Upload/Key":
		l.upload.Key = text
	case "ListMultipartUploadsResult/Upload/UploadId":
		l.upload.ID = text
	case "ListMultipartUploadsResult/Upload/Initiated":
		l.upload.Initiated = parseTime(text)
	case "ListMultipartUploadsResult/Upload":
		l.uploads, l.upload = append(l.uploads, l.upload), Upload{}
	}
	return nil
}
