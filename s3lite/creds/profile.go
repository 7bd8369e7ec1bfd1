package creds

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"strings"

	"berth/s3lite/sigv4"
)

// profile is a section of AWS's shared files.
type profile struct {
	name                string
	chosen              bool   // by AWS_PROFILE: it has to be there then
	credentials, config string // paths; "" for none
	tokens              tokenService
}

// Name implements Source.
func (p profile) Name() string { return "the shared files of AWS" }

// refused are the settings of profiles that are not followed, by why not.
var refused = []struct{ key, why string }{
	{"source_profile", "to assume a role by another profile's keys is not built: use a web identity, or the role's own credentials"},
	{"credential_source", "to assume a role by other credentials is not built: use a web identity, or the role's own credentials"},
	{"credential_process", "berth starts no other program"},
	{"sso_session", "a single sign-on needs a person"},
	{"sso_start_url", "a single sign-on needs a person"},
	{"login_session", "a login needs a person"},
}

// Retrieve implements Source. The files are read each time: whoever changes
// the keys in them is heard when the old ones are refused.
func (p profile) Retrieve(ctx context.Context) (sigv4.Credentials, error) {
	keys, err := section(p.credentials, p.name)
	if err != nil {
		return sigv4.Credentials{}, err
	}
	name := "profile " + p.name
	if p.name == "default" {
		name = p.name
	}
	settings, err := section(p.config, name)
	if err == nil && settings == nil && p.name == "default" {
		settings, err = section(p.config, "profile default")
	}
	if err != nil {
		return sigv4.Credentials{}, err
	}
	if keys == nil && settings == nil {
		if p.chosen {
			return sigv4.Credentials{}, fmt.Errorf("AWS_PROFILE names the profile %s, which is in neither %s nor %s", p.name, p.credentials, p.config)
		}
		return sigv4.Credentials{}, ErrNone
	}
	return p.resolve(ctx, keys, settings)
}

// resolve finds the credentials that a profile leads to.
func (p profile) resolve(ctx context.Context, keys, settings map[string]string) (sigv4.Credentials, error) {
	setting := func(key string) string { return first(keys[key], settings[key]) }
	if file := setting("web_identity_token_file"); file != "" {
		identity := webIdentity{tokens: p.tokens, file: file, role: setting("role_arn"), session: setting("role_session_name")}
		return identity.Retrieve(ctx)
	}
	for _, row := range refused {
		if setting(row.key) != "" && (setting("aws_access_key_id") == "" || strings.Contains(row.key, "source")) {
			return sigv4.Credentials{}, fmt.Errorf("profile %s has %s: %s", p.name, row.key, row.why)
		}
	}
	for _, from := range []map[string]string{keys, settings} {
		found := credentials(from["aws_access_key_id"], from["aws_secret_access_key"], from["aws_session_token"], "the profile "+p.name)
		if !found.IsZero() {
			return Static{found}.Retrieve(ctx)
		}
	}
	if p.chosen {
		return sigv4.Credentials{}, fmt.Errorf("AWS_PROFILE names the profile %s, which has no keys", p.name)
	}
	return sigv4.Credentials{}, ErrNone
}

// section reads a section of a file; nil where either is not there.
func section(file, name string) (map[string]string, error) {
	if file == "" {
		return nil, nil
	}
	text, err := readSmall(file)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	sections, err := parseINI(string(text))
	if err != nil {
		return nil, fmt.Errorf("%s: %w", file, err)
	}
	return sections[name], nil
}
