package s3test

import (
	"encoding/base64"
	"encoding/xml"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"
)

type listedObject struct {
	Key          string
	LastModified time.Time
	ETag         string
	Size         int
	StorageClass string
}

type listedPrefix struct{ Prefix string }

// listing is the answer to ListObjectsV2.
type listing struct {
	XMLName               xml.Name `xml:"http://s3.amazonaws.com/doc/2006-03-01/ ListBucketResult"`
	Name, Prefix          string
	Contents              []listedObject
	CommonPrefixes        []listedPrefix
	EncodingType          string `xml:",omitempty"`
	IsTruncated           bool
	KeyCount              int
	NextContinuationToken string `xml:",omitempty"`
}

func (s *Server) list(w http.ResponseWriter, r *request) *failure {
	q := r.query
	limit := s.o.PageSize
	if text := q.Get("max-keys"); text != "" {
		n, err := strconv.Atoi(text)
		if err != nil || n < 1 {
			return &failure{Status: 400, Code: "InvalidArgument", Message: "max-keys"}
		}
		limit = min(limit, n)
	}
	after := q.Get("start-after")
	if token := q.Get("continuation-token"); token != "" {
		text, err := base64.StdEncoding.DecodeString(token)
		if err != nil {
			return &failure{Status: 400, Code: "InvalidArgument", Message: "continuation-token"}
		}
		after = string(text)
	}
	encode := func(key string) string { return key }
	answer := listing{Name: s.o.Bucket, Prefix: q.Get("prefix")}
	if q.Get("encoding-type") == "url" {
		answer.EncodingType = "url"
		encode = func(key string) string { return strings.ReplaceAll(url.QueryEscape(key), "%2F", "/") }
	}
	last := after
	for _, key := range slices.Sorted(maps.Keys(s.objects)) {
		rest, ok := strings.CutPrefix(key, answer.Prefix)
		group := ""
		if delimiter := q.Get("delimiter"); delimiter != "" {
			if head, _, found := strings.Cut(rest, delimiter); found {
				group = answer.Prefix + head + delimiter
			}
		}
		// What a group ended a page with stands for all of it.
		if !ok || key <= after || group != "" && group <= last {
			continue
		}
		if answer.KeyCount == limit {
			answer.IsTruncated = true
			answer.NextContinuationToken = base64.StdEncoding.EncodeToString([]byte(last))
			break
		}
		answer.KeyCount++
		if group != "" {
			last = group
			answer.CommonPrefixes = append(answer.CommonPrefixes, listedPrefix{encode(group)})
			continue
		}
		last = key
		o := s.objects[key]
		answer.Contents = append(answer.Contents, listedObject{encode(key), o.Modified.UTC().Truncate(time.Millisecond), o.ETag, len(o.Data), "STANDARD"})
	}
	writeXML(w, http.StatusOK, answer)
	return nil
}

func (s *Server) listUploads(w http.ResponseWriter, r *request) *failure {
	type listed struct {
		Key       string
		UploadID  string `xml:"UploadId"`
		Initiated time.Time
	}
	var answer struct {
		XMLName            xml.Name `xml:"http://s3.amazonaws.com/doc/2006-03-01/ ListMultipartUploadsResult"`
		Upload             []listed
		NextKeyMarker      string
		NextUploadIDMarker string `xml:"NextUploadIdMarker"`
		IsTruncated        bool
	}
	var all []*upload
	for _, u := range s.uploads {
		if strings.HasPrefix(u.key, r.query.Get("prefix")) {
			all = append(all, u)
		}
	}
	order := func(key, id string) string { return key + "\x00" + id }
	slices.SortFunc(all, func(a, b *upload) int { return strings.Compare(order(a.key, a.id), order(b.key, b.id)) })
	after := ""
	if q := r.query; q.Get("key-marker") != "" {
		after = order(q.Get("key-marker"), q.Get("upload-id-marker"))
	}
	for _, u := range all {
		if order(u.key, u.id) <= after {
			continue
		}
		if len(answer.Upload) == s.o.PageSize {
			answer.IsTruncated = true
			break
		}
		answer.Upload = append(answer.Upload, listed{u.key, u.id, u.initiated.UTC()})
		answer.NextKeyMarker, answer.NextUploadIDMarker = u.key, u.id
	}
	writeXML(w, http.StatusOK, answer)
	return nil
}
