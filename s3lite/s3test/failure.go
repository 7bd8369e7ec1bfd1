package s3test

import (
	"encoding/xml"
	"net/http"
	"strings"
)

// failure is an answer that says why not.
type failure struct {
	XMLName   xml.Name `xml:"Error"`
	Status    int      `xml:"-"`
	Code      string
	Message   string
	Region    string `xml:",omitempty"`
	Location  string `xml:"-"`
	RequestID string `xml:"RequestId"`
}

var (
	noSuchKey    = &failure{Status: 404, Code: "NoSuchKey"}
	noSuchUpload = &failure{Status: 404, Code: "NoSuchUpload"}
	precondition = &failure{Status: 412, Code: "PreconditionFailed"}
)

func (f *failure) write(w http.ResponseWriter, r *http.Request) {
	out := *f
	out.RequestID = "REQUEST"
	if out.Message == "" {
		out.Message = "this test's server says " + out.Code
	}
	if f.Region != "" {
		w.Header().Set("X-Amz-Bucket-Region", f.Region)
	}
	if f.Location != "" {
		w.Header().Set("Location", f.Location)
	}
	if f.Status == http.StatusNotModified || r.Method == http.MethodHead {
		w.WriteHeader(f.Status)
		return
	}
	writeXML(w, f.Status, out)
}

func writeXML(w http.ResponseWriter, status int, answer any) {
	var b strings.Builder
	b.WriteString(xml.Header)
	if err := xml.NewEncoder(&b).Encode(answer); err != nil {
		panic(err) // an answer's type that cannot be encoded
	}
	w.Header().Set("Content-Type", "application/xml")
	w.WriteHeader(status)
	_, _ = w.Write([]byte(b.String()))
}
