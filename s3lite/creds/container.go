package creds

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/netip"
	"net/url"
	"os"
	"strings"

	"berth/s3lite/sigv4"
	"berth/s3lite/wire"
)

const containerEndpoint = "http://169.254.170.2"

// trusted are the addresses, besides loopback, that a token is sent to in the
// clear: the endpoints of ECS and of EKS.
var trusted = []string{"169.254.170.2", "169.254.170.23", "fd00:ec2::23"}

// container is the endpoint that ECS and EKS give to a container.
type container struct {
	getenv func(string) string
	client *wire.Client
}

// Name implements Source.
func (container) Name() string { return "the container's endpoint" }

// Retrieve implements Source.
func (c container) Retrieve(ctx context.Context) (sigv4.Credentials, error) {
	address, err := c.address()
	if err != nil {
		return sigv4.Credentials{}, err
	}
	token := c.getenv("AWS_CONTAINER_AUTHORIZATION_TOKEN")
	if file := c.getenv("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE"); file != "" {
		// It is written anew from time to time.
		text, err := readSmall(file)
		if err != nil {
			return sigv4.Credentials{}, err
		}
		token = strings.TrimSpace(string(text))
	}
	if strings.ContainsAny(token, "\r\n") {
		return sigv4.Credentials{}, errors.New("the authorization token has more than one line")
	}
	header := http.Header{}
	if token != "" {
		header.Set("Authorization", token)
	}
	text, err := fetch(ctx, c.client, "container credentials", http.MethodGet, address, header, nil)
	if err != nil {
		return sigv4.Credentials{}, err
	}
	return parseTemporary(text, c.Name())
}

// address is where to ask.
func (c container) address() (string, error) {
	if relative := c.getenv("AWS_CONTAINER_CREDENTIALS_RELATIVE_URI"); relative != "" {
		if !strings.HasPrefix(relative, "/") {
			return "", errors.New("AWS_CONTAINER_CREDENTIALS_RELATIVE_URI does not begin with a slash")
		}
		return containerEndpoint + relative, nil
	}
	full := c.getenv("AWS_CONTAINER_CREDENTIALS_FULL_URI")
	if full == "" {
		return "", ErrNone
	}
	u, err := url.Parse(full)
	if err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" {
		return "", errors.New("AWS_CONTAINER_CREDENTIALS_FULL_URI is no URL")
	}
	if u.Scheme == "http" && !isTrusted(u.Hostname()) {
		return "", fmt.Errorf("AWS_CONTAINER_CREDENTIALS_FULL_URI: without TLS the host has to be loopback or one of %s, not %s",
			strings.Join(trusted, ", "), u.Hostname())
	}
	return full, nil
}

func isTrusted(host string) bool {
	if host == "localhost" {
		return true
	}
	address, err := netip.ParseAddr(host)
	if err != nil {
		return false
	}
	for _, text := range trusted {
		if address == netip.MustParseAddr(text) {
			return true
		}
	}
	return address.IsLoopback()
}

// maxFile bounds the files that are read here.
const maxFile = 256 << 10

// readSmall reads a file that must not be large.
func readSmall(name string) ([]byte, error) {
	info, err := os.Stat(name)
	if err != nil {
		return nil, err
	}
	if info.Size() > maxFile {
		return nil, fmt.Errorf("%s has %d bytes, more than such a file can have", name, info.Size())
	}
	return os.ReadFile(name)
}
