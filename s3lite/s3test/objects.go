package s3test

import (
	"crypto/md5"
	"encoding/hex"
	"encoding/xml"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Object is what is stored at a key.
type Object struct {
	Data        []byte
	ETag        string // with its quotes
	ContentType string
	Metadata    map[string]string // names in lower case
	Modified    time.Time
	// Settings are the headers of storage class, ACL and encryption.
	Settings map[string]string
}

// Object returns what is stored at a key.
func (s *Server) Object(key string) (Object, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	o, ok := s.objects[key]
	return o, ok
}

// Keys returns all keys in order.
func (s *Server) Keys() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Sorted(maps.Keys(s.objects))
}

// Put stores an object, as somebody else may have done.
func (s *Server) Put(key string, data []byte, metadata map[string]string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.objects[key] = Object{
		Data: slices.Clone(data), ETag: etagOf(data), ContentType: "binary/octet-stream",
		Metadata: maps.Clone(metadata), Modified: s.o.Now(),
	}
}

// Delete removes an object, as somebody else may have done.
func (s *Server) Delete(key string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.objects, key)
}

func etagOf(data []byte) string {
	sum := md5.Sum(data)
	return `"` + hex.EncodeToString(sum[:]) + `"`
}

// settings are the headers that are stored beside an object.
var settings = []string{"x-amz-storage-class", "x-amz-acl", "x-amz-server-side-encryption", "x-amz-server-side-encryption-aws-kms-key-id"}

// described makes an object without data of a request's headers.
func (s *Server) described(h http.Header) Object {
	o := Object{ContentType: h.Get("Content-Type"), Metadata: map[string]string{}, Settings: map[string]string{}, Modified: s.o.Now()}
	if o.ContentType == "" {
		o.ContentType = "binary/octet-stream"
	}
	for name := range h {
		lower := strings.ToLower(name)
		if rest, ok := strings.CutPrefix(lower, "x-amz-meta-"); ok {
			o.Metadata[rest] = h.Get(name)
		}
		if slices.Contains(settings, lower) {
			o.Settings[lower] = h.Get(name)
		}
	}
	return o
}

func (s *Server) get(w http.ResponseWriter, r *request) *failure {
	o, ok := s.objects[r.key]
	if !ok {
		return noSuchKey
	}
	if match := r.Header.Get("If-Match"); match != "" && match != "*" && match != o.ETag {
		return precondition
	}
	h := w.Header()
	h.Set("Etag", o.ETag)
	if match := r.Header.Get("If-None-Match"); match == "*" || match != "" && match == o.ETag {
		return &failure{Status: 304, Code: "NotModified"}
	}
	h.Set("Last-Modified", o.Modified.UTC().Format(http.TimeFormat))
	h.Set("Accept-Ranges", "bytes")
	h.Set("Content-Type", o.ContentType)
	if t := r.query.Get("response-content-type"); t != "" {
		h.Set("Content-Type", t)
	}
	for name, value := range o.Metadata {
		h.Set("X-Amz-Meta-"+name, value)
	}
	data, status := o.Data, http.StatusOK
	if text := r.Header.Get("Range"); text != "" {
		from, to, ok := cutRange(text, int64(len(data)))
		if !ok {
			return &failure{Status: 416, Code: "InvalidRange"}
		}
		h.Set("Content-Range", fmt.Sprintf("bytes %d-%d/%d", from, to-1, len(data)))
		data, status = data[from:to], http.StatusPartialContent
	}
	h.Set("Content-Length", strconv.Itoa(len(data)))
	w.WriteHeader(status)
	if r.Method == http.MethodHead {
		return nil
	}
	_, _ = w.Write(data)
	return nil
}

// cutRange reads "bytes=a-b", "bytes=a-" or "bytes=-n" for an object of a size.
func cutRange(text string, size int64) (from, to int64, ok bool) {
	first, last, ok := strings.Cut(strings.TrimPrefix(text, "bytes="), "-")
	if first == "" {
		n, err := strconv.ParseInt(last, 10, 64)
		return max(0, size-n), size, err == nil && n > 0 && size > 0
	}
	from, err := strconv.ParseInt(first, 10, 64)
	to = size
	if last != "" {
		end, lastErr := strconv.ParseInt(last, 10, 64)
		ok = ok && lastErr == nil && end >= from
		to = min(size, end+1)
	}
	return from, to, ok && err == nil && from < size
}

// permitted checks the conditions of a write.
func (s *Server) permitted(r *request) *failure {
	match, noneMatch := r.Header.Get("If-Match"), r.Header.Get("If-None-Match")
	o, exists := s.objects[r.key]
	switch {
	case match == "" && noneMatch == "", s.o.Conditions == Ignored:
		return nil
	case s.o.Conditions == Refused, noneMatch != "" && noneMatch != "*":
		return &failure{Status: 501, Code: "NotImplemented"}
	case noneMatch != "" && exists:
		return precondition
	case match != "" && !exists:
		return noSuchKey
	case match != "" && match != o.ETag:
		return precondition
	}
	return nil
}

func (s *Server) put(w http.ResponseWriter, r *request) *failure {
	if failed := s.permitted(r); failed != nil {
		return failed
	}
	o := s.described(r.Header)
	o.Data, o.ETag = r.body, etagOf(r.body)
	s.objects[r.key] = o
	w.Header().Set("Etag", o.ETag)
	return nil
}

// copied is the answer to both kinds of copies.
type copied struct {
	XMLName      xml.Name
	LastModified time.Time
	ETag         string
}

// source returns the object that a copy is of.
func (s *Server) source(r *request) (key string, o Object, failed *failure) {
	key, failed = s.sourceKey(r)
	if failed != nil {
		return key, o, failed
	}
	o, ok := s.objects[key]
	match := r.Header.Get("X-Amz-Copy-Source-If-Match")
	switch {
	case !ok:
		return key, o, noSuchKey
	case match != "" && match != o.ETag:
		return key, o, precondition
	}
	return key, o, nil
}

func (s *Server) copy(w http.ResponseWriter, r *request) *failure {
	key, from, failed := s.source(r)
	if failed != nil {
		return failed
	}
	o := s.described(r.Header)
	replace := r.Header.Get("X-Amz-Metadata-Directive") == "REPLACE"
	if !replace {
		o.ContentType, o.Metadata = from.ContentType, maps.Clone(from.Metadata)
	}
	if key == r.key && !replace {
		return &failure{Status: 400, Code: "InvalidRequest", Message: "a copy onto itself that changes nothing"}
	}
	o.Data, o.ETag = from.Data, etagOf(from.Data)
	s.objects[r.key] = o
	writeXML(w, http.StatusOK, copied{XMLName: xml.Name{Local: "CopyObjectResult"}, LastModified: o.Modified.UTC(), ETag: o.ETag})
	return nil
}

func (s *Server) delete(w http.ResponseWriter, r *request) *failure {
	if failed := s.permitted(r); failed != nil {
		return failed
	}
	delete(s.objects, r.key)
	w.WriteHeader(http.StatusNoContent)
	return nil
}

func (s *Server) deleteMany(w http.ResponseWriter, r *request) *failure {
	if r.Header.Get("Content-Md5") == "" {
		return &failure{Status: 400, Code: "InvalidRequest", Message: "no Content-MD5"}
	}
	var asked struct {
		Object []struct{ Key string }
	}
	if err := xml.Unmarshal(r.body, &asked); err != nil || len(asked.Object) == 0 || len(asked.Object) > 1000 {
		return &failure{Status: 400, Code: "MalformedXML"}
	}
	type failedKey struct{ Key, Code, Message string }
	var answer struct {
		XMLName xml.Name `xml:"http://s3.amazonaws.com/doc/2006-03-01/ DeleteResult"`
		Error   []failedKey
	}
	for _, object := range asked.Object {
		if strings.HasPrefix(object.Key, Undeletable) {
			answer.Error = append(answer.Error, failedKey{object.Key, "AccessDenied", "Access Denied"})
			continue
		}
		delete(s.objects, object.Key)
	}
	writeXML(w, http.StatusOK, answer)
	return nil
}

// Undeletable begins the keys that DeleteObjects does not remove.
const Undeletable = "undeletable/"

func (s *Server) location(w http.ResponseWriter) *failure {
	region := s.o.Region
	if region == "us-east-1" {
		region = ""
	}
	writeXML(w, http.StatusOK, struct {
		XMLName xml.Name `xml:"http://s3.amazonaws.com/doc/2006-03-01/ LocationConstraint"`
		Region  string   `xml:",chardata"`
	}{Region: region})
	return nil
}
