package creds

import (
	"log/slog"
	"net/http"
	"os"
	"path/filepath"

	"berth/s3lite/wire"
)

// Options say where to look. What is nil has the default that it names.
type Options struct {
	// Getenv is os.Getenv, or what a test has in its place.
	Getenv func(string) string
	// Home is the user's directory, for the files below .aws; "" for none.
	Home string
	// Region of the token service; "" for that of AWS_REGION.
	Region string
	// Near makes the connections to this machine's and container's endpoints,
	// Far those to the token service; those of package wire.
	Near, Far http.RoundTripper
	Clock     wire.Clock
	Log       *slog.Logger
}

// Default looks where AWS's own tools do, in their order: the environment's
// keys, a web identity, the shared files, the containers' endpoint, the
// instance's metadata. The first that is configured counts.
func Default(o Options) (*Cache, error) {
	var err error
	if o.Getenv == nil {
		o.Getenv = os.Getenv
	}
	if o.Clock == nil {
		o.Clock = wire.SystemClock{}
	}
	if o.Near == nil {
		if o.Near, err = wire.NewTransport(wire.TransportOptions{Direct: true, Conns: 1, DialTimeout: nearTimeout}); err != nil {
			return nil, err
		}
	}
	if o.Far == nil {
		if o.Far, err = wire.NewTransport(wire.TransportOptions{CAFile: o.Getenv("AWS_CA_BUNDLE"), Conns: 1}); err != nil {
			return nil, err
		}
	}
	if o.Region == "" {
		o.Region = first(o.Getenv("AWS_REGION"), o.Getenv("AWS_DEFAULT_REGION"), "us-east-1")
	}
	tokens := tokenService{o: o, endpoint: o.Getenv("AWS_ENDPOINT_URL_STS"), client: newClient(o.Far, "sts", o.Clock)}
	near := newClient(o.Near, "", o.Clock)
	shared := profile{
		name:        first(o.Getenv("AWS_PROFILE"), o.Getenv("AWS_DEFAULT_PROFILE"), "default"),
		chosen:      o.Getenv("AWS_PROFILE") != "" || o.Getenv("AWS_DEFAULT_PROFILE") != "",
		credentials: first(o.Getenv("AWS_SHARED_CREDENTIALS_FILE"), below(o.Home, "credentials")),
		config:      first(o.Getenv("AWS_CONFIG_FILE"), below(o.Home, "config")),
		tokens:      tokens,
	}
	identity := webIdentity{
		tokens: tokens, file: o.Getenv("AWS_WEB_IDENTITY_TOKEN_FILE"), role: o.Getenv("AWS_ROLE_ARN"), session: o.Getenv("AWS_ROLE_SESSION_NAME"),
	}
	sources := chain{environment(o.Getenv), identity, shared, container{o.Getenv, near}}
	if o.Getenv("AWS_EC2_METADATA_DISABLED") != "true" {
		sources = append(sources, instance{first(o.Getenv("AWS_EC2_METADATA_SERVICE_ENDPOINT"), metadataEndpoint), near})
	}
	return NewCache(sources, o.Clock, o.Log), nil
}

func below(home, name string) string {
	if home == "" {
		return ""
	}
	return filepath.Join(home, ".aws", name)
}

func first(texts ...string) string {
	for _, text := range texts {
		if text != "" {
			return text
		}
	}
	return ""
}
