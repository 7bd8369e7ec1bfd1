package s3lite

import (
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"

	"berth/s3lite/creds"
	"berth/s3lite/sigv4"
)

// Settings is what the attributes of a storage driver come to: the client's
// options, and what is for the store above it.
type Settings struct {
	Options
	// AccessKey and its like are empty where credentials are to be looked for.
	AccessKey               string
	SecretKey, SessionToken sigv4.Secret
	// RootDirectory begins every key, without slashes at its ends.
	RootDirectory string
	// ChunkSize is that of the parts of an upload, in bytes.
	ChunkSize int64
	// CopyThreshold is the size above which objects are copied in parts of
	// CopyChunkSize bytes, CopyConcurrency at a time.
	CopyThreshold, CopyChunkSize int64
	CopyConcurrency              int
}

// ParseSettings reads the attributes by their names, in lower case; values are
// as a configuration prints them. The error joins one for each that is wrong,
// missing or refused, and each names its attribute.
func ParseSettings(values map[string]string) (Settings, error) {
	s := Settings{ChunkSize: 10 << 20, CopyThreshold: 32 << 20, CopyChunkSize: 32 << 20, CopyConcurrency: 8}
	s.PathStyle, s.Quiet = true, true
	var errs []error
	rows := Attributes()
	for _, row := range rows {
		value, given := values[row.Name]
		switch {
		case given:
			if err := row.set(&s, value); err != nil {
				errs = append(errs, fmt.Errorf("%s: %w", row.Name, err))
			}
		case row.Required:
			errs = append(errs, fmt.Errorf("%s: is required", row.Name))
		}
	}
	for name := range values {
		if !slices.ContainsFunc(rows, func(row Attribute) bool { return row.Name == name }) {
			errs = append(errs, fmt.Errorf("%s: is no attribute of the s3 driver", name))
		}
	}
	if _, given := values["forcepathstyle"]; s.Accelerate && !given {
		s.PathStyle = false // the default gives way
	}
	if !s.Encrypt {
		s.KMSKey = ""
	}
	if (s.AccessKey == "") != s.SecretKey.IsEmpty() {
		errs = append(errs, errors.New("accesskey and secretkey come together, and one of them is missing"))
	}
	if len(errs) == 0 {
		if _, err := newEndpoint(s.Options); err != nil {
			errs = append(errs, err)
		}
	}
	slices.SortFunc(errs, func(a, b error) int { return strings.Compare(a.Error(), b.Error()) })
	return s, errors.Join(errs...)
}

// Connect makes the client that the settings describe, with the credentials
// that they hold or that are found where from says. It sends nothing.
func (s Settings) Connect(from creds.Options, log *slog.Logger) (*Client, error) {
	o := s.Options
	o.Log = log
	if s.AccessKey != "" {
		o.Credentials = creds.NewCache(creds.Keys(s.AccessKey, s.SecretKey.Reveal(), s.SessionToken.Reveal()), o.Clock, log)
		return New(o)
	}
	if from.Region == "" {
		from.Region = s.Region
	}
	if from.Log == nil {
		from.Log = log
	}
	found, err := creds.Default(from)
	if err != nil {
		return nil, err
	}
	o.Credentials = found
	return New(o)
}
