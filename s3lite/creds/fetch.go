package creds

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"time"

	"berth/s3lite/sigv4"
	"berth/s3lite/wire"
)

// Bounds of one question.
const (
	attempts = 3
	stall    = 20 * time.Second
	// Where there is no such endpoint, its address may swallow what is sent.
	nearTimeout = 2 * time.Second
	maxAnswer   = 64 << 10
)

func newClient(transport http.RoundTripper, service string, clock wire.Clock) *wire.Client {
	return wire.New(wire.Options{
		RoundTripper: transport, Service: service, UserAgent: "berth", Fault: fault,
		Attempts: attempts, Stall: stall, Clock: clock,
	})
}

// fetch makes a request and returns the answer's text.
func fetch(ctx context.Context, c *wire.Client, op, method, address string, header http.Header, body *wire.Body) (text []byte, err error) {
	u, err := url.Parse(address)
	if err != nil || u.Host == "" {
		return nil, fmt.Errorf("%s: the address is none", op)
	}
	_, err = c.Do(ctx, &wire.Request{
		Op: op, Target: u.Host, Method: method, Header: header, Body: body,
		Place: func() wire.Place { return wire.Place{URL: *u} },
		Read: func(_ http.Header, answer io.Reader) error {
			text, err = io.ReadAll(io.LimitReader(answer, maxAnswer+1))
			if err == nil && len(text) > maxAnswer {
				err = errors.New("the answer is too long")
			}
			return err
		},
	})
	return text, err
}

// temporary is the JSON that endpoints on a machine answer with.
type temporary struct {
	Code            string
	AccessKeyID     string `json:"AccessKeyId"`
	SecretAccessKey string
	Token           string
	Expiration      time.Time
}

// parseTemporary reads it. Its errors quote nothing of the text.
func parseTemporary(text []byte, source string) (sigv4.Credentials, error) {
	var t temporary
	if err := json.Unmarshal(text, &t); err != nil {
		return sigv4.Credentials{}, errors.New("the answer is not the JSON of credentials")
	}
	switch {
	case t.Code != "" && t.Code != "Success":
		return sigv4.Credentials{}, fmt.Errorf("the answer has the code %q", t.Code)
	case t.AccessKeyID == "" || t.SecretAccessKey == "":
		return sigv4.Credentials{}, errors.New("the answer holds no keys")
	}
	c := credentials(t.AccessKeyID, t.SecretAccessKey, t.Token, source)
	c.Expires = t.Expiration
	return c, nil
}
