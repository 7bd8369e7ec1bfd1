package creds

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"strings"

	"berth/s3lite/sigv4"
	"berth/s3lite/wire"
)

const metadataEndpoint = "http://169.254.169.254"

// instance is the metadata service of EC2, version 2: a token first.
type instance struct {
	endpoint string
	client   *wire.Client
}

// Name implements Source.
func (instance) Name() string { return "the instance's metadata" }

// Retrieve implements Source. Where nobody answers, this is no instance.
func (i instance) Retrieve(ctx context.Context) (sigv4.Credentials, error) {
	token, err := fetch(ctx, i.client, "instance metadata token", http.MethodPut, i.at("/latest/api/token"),
		http.Header{"X-Aws-Ec2-Metadata-Token-Ttl-Seconds": {"300"}}, nil)
	if errors.Is(err, wire.ErrStalled) {
		// The answer's packets are not to leave the machine.
		err = fmt.Errorf("%w; in a container the instance's metadata need a hop limit of 2", err)
	}
	if err != nil {
		return sigv4.Credentials{}, absent(ctx, err)
	}
	header := http.Header{"X-Aws-Ec2-Metadata-Token": {string(token)}}
	const roles = "/latest/meta-data/iam/security-credentials/"
	list, err := fetch(ctx, i.client, "instance role", http.MethodGet, i.at(roles), header, nil)
	if err != nil {
		return sigv4.Credentials{}, absent(ctx, err)
	}
	role, _, _ := strings.Cut(strings.TrimSpace(string(list)), "\n")
	if role == "" {
		return sigv4.Credentials{}, ErrNone
	}
	text, err := fetch(ctx, i.client, "instance credentials", http.MethodGet, i.at(roles+sigv4.Encode(role, false)), header, nil)
	if err != nil {
		return sigv4.Credentials{}, err
	}
	return parseTemporary(text, "the instance's role "+role)
}

func (i instance) at(path string) string { return strings.TrimRight(i.endpoint, "/") + path }

// absent makes ErrNone of an error that says that there is no such service, or
// no role.
func absent(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return err
	}
	e, ok := errors.AsType[*wire.Error](err)
	_, unreachable := errors.AsType[*net.OpError](err)
	if unreachable || errors.Is(err, wire.ErrStalled) || ok && (e.Status == http.StatusNotFound || e.Status == http.StatusForbidden) {
		return &absence{err}
	}
	return err
}

// absence is an ErrNone that was found out in some way.
type absence struct{ cause error }

func (a *absence) Error() string { return ErrNone.Error() + ": " + a.cause.Error() }

// Unwrap returns ErrNone and how it was found out.
func (a *absence) Unwrap() []error { return []error{ErrNone, a.cause} }
