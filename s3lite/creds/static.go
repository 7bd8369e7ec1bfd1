package creds

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"berth/s3lite/sigv4"
)

// Static gives the same credentials always.
type Static struct{ sigv4.Credentials }

// Name implements Source.
func (s Static) Name() string { return s.Source }

// Retrieve implements Source. Neither half alone is of use.
func (s Static) Retrieve(context.Context) (sigv4.Credentials, error) {
	switch {
	case s.IsZero():
		return sigv4.Credentials{}, ErrNone
	case s.AccessKeyID == "" || s.SecretKey.IsEmpty():
		return sigv4.Credentials{}, errors.New("access key and secret key come together, and one of them is missing")
	}
	return s.Credentials, nil
}

// Keys are credentials that the configuration holds; token may be empty.
func Keys(accessKey, secretKey, token string) Static {
	return Static{credentials(accessKey, secretKey, token, "the configuration")}
}

func credentials(accessKey, secretKey, token, source string) sigv4.Credentials {
	c := sigv4.Credentials{AccessKeyID: accessKey, SecretKey: sigv4.NewSecret(secretKey), Source: source}
	if token != "" {
		c.SessionToken = sigv4.NewSecret(token)
	}
	return c
}

// environment finds AWS_ACCESS_KEY_ID and its like.
func environment(getenv func(string) string) Static {
	return Static{credentials(getenv("AWS_ACCESS_KEY_ID"), getenv("AWS_SECRET_ACCESS_KEY"), getenv("AWS_SESSION_TOKEN"), "the environment")}
}

// chain asks one source after the other.
type chain []Source

// Name implements Source.
func (c chain) Name() string { return "the usual places" }

// Retrieve implements Source: the first source that has something, or fails.
func (c chain) Retrieve(ctx context.Context) (sigv4.Credentials, error) {
	var names []string
	for _, source := range c {
		found, err := source.Retrieve(ctx)
		if err == nil {
			return found, nil
		}
		if !errors.Is(err, ErrNone) {
			return found, fmt.Errorf("%s: %w", source.Name(), err)
		}
		name := source.Name()
		if absent, ok := errors.AsType[*absence](err); ok {
			name += " (" + absent.cause.Error() + ")"
		}
		names = append(names, name)
	}
	return sigv4.Credentials{}, fmt.Errorf("%w: looked into %s", ErrNone, strings.Join(names, ", "))
}
