package sigv4

import (
	"log/slog"
	"time"
)

// Secret is text that must not be seen. Whatever prints, logs or encodes a
// value that holds one shows an address or "[redacted]".
type Secret struct {
	// A pointer, because fmt calls no String method on unexported fields, and
	// prints the fields themselves; below the top it leaves pointers alone.
	text *string
}

const redacted = "[redacted]"

// NewSecret hides a text.
func NewSecret(text string) Secret { return Secret{&text} }

// Reveal returns the text, for the one use that it is for.
func (s Secret) Reveal() string {
	if s.text == nil {
		return ""
	}
	return *s.text
}

// IsEmpty tells whether there is no text.
func (s Secret) IsEmpty() bool { return s.Reveal() == "" }

func (s Secret) String() string { return redacted }

// GoString is what %#v shows.
func (s Secret) GoString() string { return redacted }

// MarshalText is what JSON and the like hold.
func (s Secret) MarshalText() ([]byte, error) { return []byte(redacted), nil }

// Credentials is what a request is signed with. The zero value is none, and
// leaves requests unsigned.
type Credentials struct {
	AccessKeyID string
	SecretKey   Secret
	// SessionToken belongs to temporary credentials; empty for others.
	SessionToken Secret
	// Expires is when temporary credentials end; zero for never.
	Expires time.Time
	// Source says where they were found, for people.
	Source string
}

// IsZero tells whether there are no credentials.
func (c Credentials) IsZero() bool { return c.AccessKeyID == "" && c.SecretKey.IsEmpty() }

func (c Credentials) String() string { return "credentials from " + c.Source }

// GoString is what %#v shows.
func (c Credentials) GoString() string { return c.String() }

// LogValue shows where the credentials come from and when they end.
func (c Credentials) LogValue() slog.Value {
	return slog.GroupValue(slog.String("source", c.Source), slog.Time("expires", c.Expires))
}
