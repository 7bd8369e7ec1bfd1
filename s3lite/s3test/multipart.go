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

// upload is a multipart upload.
type upload struct {
	id, key   string
	initiated time.Time
	object    Object // what it becomes, without its data
	parts     map[int]part
}

type part struct {
	data     []byte
	etag     string
	modified time.Time
}

// Uploads returns the keys of all multipart uploads under way, in order.
func (s *Server) Uploads() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	var keys []string
	for _, u := range s.uploads {
		keys = append(keys, u.key)
	}
	slices.Sort(keys)
	return keys
}

func (s *Server) create(w http.ResponseWriter, r *request) *failure {
	s.nextID++
	u := &upload{id: fmt.Sprintf("upload+%06d/x", s.nextID), key: r.key, initiated: s.o.Now(), object: s.described(r.Header), parts: map[int]part{}}
	s.uploads[u.id] = u
	writeXML(w, http.StatusOK, struct {
		XMLName     xml.Name `xml:"http://s3.amazonaws.com/doc/2006-03-01/ InitiateMultipartUploadResult"`
		Bucket, Key string
		UploadID    string `xml:"UploadId"`
	}{Bucket: s.o.Bucket, Key: u.key, UploadID: u.id})
	return nil
}

// carryOutUpload is carryOut for what concerns one upload.
func (s *Server) carryOutUpload(w http.ResponseWriter, r *request) *failure {
	u, ok := s.uploads[r.query.Get("uploadId")]
	if !ok || u.key != r.key {
		return noSuchUpload
	}
	switch r.op {
	case "AbortMultipartUpload":
		delete(s.uploads, u.id)
		w.WriteHeader(http.StatusNoContent)
		return nil
	case "ListParts":
		return s.listParts(w, r, u)
	case "CompleteMultipartUpload":
		return s.complete(w, r, u)
	}
	number, err := strconv.Atoi(r.query.Get("partNumber"))
	if err != nil || number < 1 || number > 10000 {
		return &failure{Status: 400, Code: "InvalidArgument", Message: "part number"}
	}
	data := r.body
	if r.op == "UploadPartCopy" {
		_, from, failed := s.source(r)
		if failed != nil {
			return failed
		}
		data = from.Data
		if text := r.Header.Get("X-Amz-Copy-Source-Range"); text != "" {
			begin, end, ok := cutRange(text, int64(len(data)))
			if !ok || strings.HasSuffix(text, "-") {
				return &failure{Status: 400, Code: "InvalidArgument", Message: "copy source range"}
			}
			data = data[begin:end]
		}
	}
	p := part{data: data, etag: etagOf(data), modified: s.o.Now()}
	u.parts[number] = p
	if r.op == "UploadPartCopy" {
		writeXML(w, http.StatusOK, copied{XMLName: xml.Name{Local: "CopyPartResult"}, LastModified: p.modified.UTC(), ETag: p.etag})
		return nil
	}
	w.Header().Set("Etag", p.etag)
	return nil
}

func (s *Server) complete(w http.ResponseWriter, r *request, u *upload) *failure {
	var asked struct {
		Part []struct {
			PartNumber int
			ETag       string
		}
	}
	if err := xml.Unmarshal(r.body, &asked); err != nil || len(asked.Part) == 0 {
		return &failure{Status: 400, Code: "MalformedXML"}
	}
	if failed := s.permitted(r); failed != nil {
		return failed
	}
	var data []byte
	hash := md5.New()
	last := 0
	for i, named := range asked.Part {
		p, ok := u.parts[named.PartNumber]
		switch {
		case named.PartNumber <= last:
			return &failure{Status: 400, Code: "InvalidPartOrder"}
		case !ok || strings.Trim(named.ETag, `"`) != strings.Trim(p.etag, `"`):
			return &failure{Status: 400, Code: "InvalidPart"}
		case i < len(asked.Part)-1 && int64(len(p.data)) < s.o.MinPart:
			return &failure{Status: 400, Code: "EntityTooSmall"}
		}
		last = named.PartNumber
		data = append(data, p.data...)
		sum := md5.Sum(p.data)
		hash.Write(sum[:])
	}
	o := u.object
	o.Data, o.Modified = data, s.o.Now()
	o.ETag = fmt.Sprintf(`"%s-%d"`, hex.EncodeToString(hash.Sum(nil)), len(asked.Part))
	s.objects[u.key] = o
	delete(s.uploads, u.id)
	writeXML(w, http.StatusOK, struct {
		XMLName           xml.Name `xml:"http://s3.amazonaws.com/doc/2006-03-01/ CompleteMultipartUploadResult"`
		Bucket, Key, ETag string
	}{Bucket: s.o.Bucket, Key: u.key, ETag: o.ETag})
	return nil
}

func (s *Server) listParts(w http.ResponseWriter, r *request, u *upload) *failure {
	type listed struct {
		PartNumber   int
		LastModified time.Time
		ETag         string
		Size         int
	}
	var answer struct {
		XMLName              xml.Name `xml:"http://s3.amazonaws.com/doc/2006-03-01/ ListPartsResult"`
		UploadID             string   `xml:"UploadId"`
		IsTruncated          bool
		NextPartNumberMarker int
		Part                 []listed
	}
	answer.UploadID = u.id
	after, _ := strconv.Atoi(r.query.Get("part-number-marker"))
	for _, number := range slices.Sorted(maps.Keys(u.parts)) {
		if number <= after {
			continue
		}
		if len(answer.Part) == s.o.PageSize {
			answer.IsTruncated = true
			break
		}
		p := u.parts[number]
		answer.Part = append(answer.Part, listed{number, p.modified.UTC(), p.etag, len(p.data)})
		answer.NextPartNumberMarker = number
	}
	writeXML(w, http.StatusOK, answer)
	return nil
}
