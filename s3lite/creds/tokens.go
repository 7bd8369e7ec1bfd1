package creds

import (
	"bytes"
	"context"
	"errors"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"berth/s3lite/sigv4"
	"berth/s3lite/wire"
	"berth/s3lite/xmlscan"
)

// tokenService is AWS's Security Token Service, which turns an identity into
// temporary credentials.
type tokenService struct {
	o        Options
	endpoint string // "" for AWS's own in the region
	client   *wire.Client
}

func (t tokenService) address() string {
	if t.endpoint != "" {
		return t.endpoint
	}
	domain := ".amazonaws.com"
	if strings.HasPrefix(t.o.Region, "cn-") {
		domain += ".cn"
	}
	return "https://sts." + t.o.Region + domain + "/"
}

// assume asks for a role's credentials by the token of a web identity.
func (t tokenService) assume(ctx context.Context, role, session, token string) (sigv4.Credentials, error) {
	form := url.Values{
		"Action": {"AssumeRoleWithWebIdentity"}, "Version": {"2011-06-15"}, "RoleArn": {role},
		"RoleSessionName": {first(session, "berth-"+strconv.FormatInt(t.o.Clock.Now().Unix(), 10))}, "WebIdentityToken": {token},
	}
	text, err := fetch(ctx, t.client, "AssumeRoleWithWebIdentity", http.MethodPost, t.address(),
		http.Header{"Content-Type": {"application/x-www-form-urlencoded"}}, wire.Bytes([]byte(form.Encode())))
	if err != nil {
		return sigv4.Credentials{}, err
	}
	return parseAssumed(text, "role "+role)
}

// parseAssumed reads the token service's answer.
func parseAssumed(text []byte, source string) (sigv4.Credentials, error) {
	var t temporary
	var timeErr error
	err := xmlscan.Scan(bytes.NewReader(text), maxAnswer, func(path, value []byte) error {
		name, ok := strings.CutPrefix(string(path), "AssumeRoleWithWebIdentityResponse/AssumeRoleWithWebIdentityResult/Credentials/")
		switch {
		case !ok:
		case name == "AccessKeyId":
			t.AccessKeyID = string(value)
		case name == "SecretAccessKey":
			t.SecretAccessKey = string(value)
		case name == "SessionToken":
			t.Token = string(value)
		case name == "Expiration":
			t.Expiration, timeErr = time.Parse(time.RFC3339, string(value))
		}
		return nil
	})
	if err != nil {
		return sigv4.Credentials{}, err
	}
	if timeErr != nil || t.AccessKeyID == "" || t.SecretAccessKey == "" {
		return sigv4.Credentials{}, errors.New("the answer holds no credentials")
	}
	c := credentials(t.AccessKeyID, t.SecretAccessKey, t.Token, source)
	c.Expires = t.Expiration
	return c, nil
}

// fault reads the token service's failures; other endpoints have none to read.
func fault(_ http.Header, body []byte) (f wire.Fault) {
	_ = xmlscan.Scan(bytes.NewReader(body), maxAnswer, func(path, text []byte) error {
		switch string(path) {
		case "ErrorResponse/Error/Code":
			f.Code = string(text)
		case "ErrorResponse/Error/Message":
			f.Message = string(text)
		case "ErrorResponse/RequestId":
			f.RequestID = string(text)
		}
		return nil
	})
	return f
}

// webIdentity is a role that is assumed by a token in a file, as Kubernetes
// gives it to a pod.
type webIdentity struct {
	tokens              tokenService
	file, role, session string
}

// Name implements Source.
func (webIdentity) Name() string { return "the web identity" }

// Retrieve implements Source.
func (w webIdentity) Retrieve(ctx context.Context) (sigv4.Credentials, error) {
	switch {
	case w.file == "":
		return sigv4.Credentials{}, ErrNone
	case w.role == "":
		return sigv4.Credentials{}, errors.New("a token file is set, and no role to assume with it (AWS_ROLE_ARN, role_arn)")
	}
	token, err := readSmall(w.file)
	if err != nil {
		return sigv4.Credentials{}, err
	}
	return w.tokens.assume(ctx, w.role, w.session, strings.TrimSpace(string(token)))
}
