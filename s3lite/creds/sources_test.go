package creds

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"
)

func TestNone(t *testing.T) {
	p := nowhere(t)
	_, err := p.look(t).Get(context.Background())
	if !errors.Is(err, ErrNone) || !strings.Contains(err.Error(), "the instance's metadata") {
		t.Errorf("error is %v", err)
	}
	p = nowhere(t)
	p.env["AWS_EC2_METADATA_DISABLED"] = "true"
	if _, err = p.look(t).Get(context.Background()); !errors.Is(err, ErrNone) || len(p.requests) > 0 {
		t.Errorf("error is %v, requests %q", err, p.requests)
	}
}

func TestEnvironment(t *testing.T) {
	p := nowhere(t)
	p.env = map[string]string{"AWS_ACCESS_KEY_ID": "AK", "AWS_SECRET_ACCESS_KEY": "very-secret", "AWS_SESSION_TOKEN": "tok"}
	p.put(t, ".aws/credentials", "[default]\naws_access_key_id=other\naws_secret_access_key=x\n")
	gets(t, p.look(t), "AK", "very-secret", "tok")
	delete(p.env, "AWS_SECRET_ACCESS_KEY")
	if _, err := p.look(t).Get(context.Background()); err == nil || errors.Is(err, ErrNone) || !strings.Contains(err.Error(), "environment") {
		t.Errorf("half a pair of keys: %v", err)
	}
}

const sharedFile = `
# comment
[default]
aws_access_key_id = AKDEF
aws_secret_access_key = very-secret
s3 =
  max_concurrent_requests = 20
[test-account]
aws_access_key_id=AKTEST ; which one
aws_secret_access_key=se#cret;1
aws_session_token=t=o=k==

[broken]
aws_access_key_id = AKBROKEN
[role]
role_arn = arn:aws:iam::1:role/x
source_profile = default
[process]
credential_process = /bin/x
`

func TestSharedFiles(t *testing.T) {
	for name, want := range map[string][3]string{"": {"AKDEF", "very-secret", ""}, "test-account": {"AKTEST", "se#cret;1", "t=o=k=="}, "in-config": {"AKCONF", "conf-secret", ""}} {
		p := nowhere(t)
		p.env["AWS_PROFILE"] = name
		p.put(t, ".aws/credentials", sharedFile)
		p.put(t, ".aws/config", "[profile in-config]\nregion = x\naws_access_key_id = AKCONF\naws_secret_access_key = conf-secret\n")
		gets(t, p.look(t), want[0], want[1], want[2])
	}
	for name, want := range map[string]string{
		"missing": "names the profile missing", "broken": "one of them is missing", "role": "source_profile", "process": "starts no other program",
	} {
		p := nowhere(t)
		p.env["AWS_PROFILE"] = name
		p.put(t, ".aws/credentials", sharedFile)
		_, err := p.look(t).Get(context.Background())
		if err == nil || !strings.Contains(err.Error(), want) || errors.Is(err, ErrNone) || strings.Contains(err.Error(), "AKBROKEN") {
			t.Errorf("%s: error is %v, want one that says %q", name, err, want)
		}
	}
	p := nowhere(t)
	p.env["AWS_SHARED_CREDENTIALS_FILE"] = p.put(t, "elsewhere", "no section\n")
	if _, err := p.look(t).Get(context.Background()); err == nil || errors.Is(err, ErrNone) || !strings.Contains(err.Error(), "elsewhere: line 1") {
		t.Errorf("broken file: error is %v", err)
	}
}

func TestInstance(t *testing.T) {
	p := nowhere(t)
	p.serve = func(w http.ResponseWriter, r *http.Request) {
		switch token := r.Header.Get("X-Aws-Ec2-Metadata-Token"); {
		case r.URL.Path == "/latest/api/token" && r.Method == "PUT" && r.Header.Get("X-Aws-Ec2-Metadata-Token-Ttl-Seconds") != "":
			fmt.Fprint(w, "TOKEN")
		case token != "TOKEN":
			w.WriteHeader(401)
		case r.URL.Path == "/latest/meta-data/iam/security-credentials/":
			fmt.Fprint(w, "my-role\n")
		case r.URL.Path == "/latest/meta-data/iam/security-credentials/my-role":
			fmt.Fprint(w, temporaryJSON("AKI", p.clock.Now().Add(time.Hour)))
		default:
			http.NotFound(w, r)
		}
	}
	gets(t, p.look(t), "AKI", "very-secret", "the-token")
	if len(p.requests) != 3 || !strings.HasPrefix(p.requests[0], "PUT http://169.254.169.254/") {
		t.Errorf("requests are %q", p.requests)
	}
	p.serve = func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, `{"Code":"Failed"}`) }
	if _, err := p.look(t).Get(context.Background()); err == nil || errors.Is(err, ErrNone) || !strings.Contains(err.Error(), `"Failed"`) {
		t.Errorf("error is %v", err)
	}
}

func TestContainer(t *testing.T) {
	p := nowhere(t)
	var sent string
	p.serve = func(w http.ResponseWriter, r *http.Request) {
		sent = r.Header.Get("Authorization")
		fmt.Fprint(w, temporaryJSON("AKC", p.clock.Now().Add(time.Hour)))
	}
	for _, c := range []struct{ env, value, tokenFile, url, authorization string }{
		{"AWS_CONTAINER_CREDENTIALS_RELATIVE_URI", "/v2/x", "", "http://169.254.170.2/v2/x", ""},
		{"AWS_CONTAINER_CREDENTIALS_FULL_URI", "http://169.254.170.23/v1/credentials", "Basic abc\n", "http://169.254.170.23/v1/credentials", "Basic abc"},
		{"AWS_CONTAINER_CREDENTIALS_FULL_URI", "http://[fd00:ec2::23]/c", "", "http://[fd00:ec2::23]/c", ""},
		{"AWS_CONTAINER_CREDENTIALS_FULL_URI", "http://127.0.0.1:80/c", "", "http://127.0.0.1:80/c", ""},
		{"AWS_CONTAINER_CREDENTIALS_FULL_URI", "https://creds.example/c", "", "https://creds.example/c", ""},
	} {
		p.env = map[string]string{c.env: c.value}
		if c.tokenFile != "" {
			p.env["AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE"] = p.put(t, "token", c.tokenFile)
		}
		gets(t, p.look(t), "AKC", "very-secret", "the-token")
		if last := p.requests[len(p.requests)-1]; last != "GET "+c.url || sent != c.authorization {
			t.Errorf("%s: request is %s with %q", c.value, last, sent)
		}
	}
	p.requests = nil
	for value, token := range map[string]string{
		"http://creds.example/c": "", "http://169.254.169.254/c": "", "ftp://127.0.0.1/": "", "/c": "", "http://127.0.0.1.example/": "", "http://127.0.0.1/": "two\nlines",
	} {
		p.env = map[string]string{"AWS_CONTAINER_CREDENTIALS_FULL_URI": value, "AWS_CONTAINER_AUTHORIZATION_TOKEN": token}
		if _, err := p.look(t).Get(context.Background()); err == nil || errors.Is(err, ErrNone) {
			t.Errorf("%s: error is %v", value, err)
		}
	}
	if len(p.requests) > 0 {
		t.Errorf("refused, and asked: %q", p.requests)
	}
}

const assumed = `<AssumeRoleWithWebIdentityResponse xmlns="https://sts.amazonaws.com/doc/2011-06-15/"><AssumeRoleWithWebIdentityResult>
<SubjectFromWebIdentityToken>s</SubjectFromWebIdentityToken><Credentials><SessionToken>the-token</SessionToken><SecretAccessKey>very-secret</SecretAccessKey>
<Expiration>%s</Expiration><AccessKeyId>AKW</AccessKeyId></Credentials></AssumeRoleWithWebIdentityResult></AssumeRoleWithWebIdentityResponse>`

func TestWebIdentity(t *testing.T) {
	p := nowhere(t)
	var form url.Values
	p.serve = func(w http.ResponseWriter, r *http.Request) {
		text, _ := io.ReadAll(r.Body)
		form, _ = url.ParseQuery(string(text))
		if form.Get("WebIdentityToken") != "jwt" {
			w.WriteHeader(400)
			fmt.Fprint(w, "<ErrorResponse><Error><Code>InvalidIdentityToken</Code><Message>no</Message></Error></ErrorResponse>")
			return
		}
		fmt.Fprintf(w, assumed, p.clock.Now().Add(time.Hour).UTC().Format(time.RFC3339))
	}
	file := p.put(t, "token", "jwt\n")
	p.env = map[string]string{"AWS_WEB_IDENTITY_TOKEN_FILE": file, "AWS_ROLE_ARN": "arn:x", "AWS_ROLE_SESSION_NAME": "me"}
	gets(t, p.look(t), "AKW", "very-secret", "the-token")
	if form.Get("RoleArn") != "arn:x" || form.Get("RoleSessionName") != "me" || form.Get("Action") != "AssumeRoleWithWebIdentity" {
		t.Errorf("form is %v", form)
	}
	if want := []string{"POST https://sts.eu-west-1.amazonaws.com/"}; !slices.Equal(p.requests, want) {
		t.Errorf("requests are %q, want %q", p.requests, want)
	}
	p.env = map[string]string{}
	p.put(t, ".aws/config", "[default]\nweb_identity_token_file = "+file+"\nrole_arn = arn:y\n")
	gets(t, p.look(t), "AKW", "very-secret", "the-token")
	if form.Get("RoleArn") != "arn:y" {
		t.Errorf("form is %v", form)
	}
	p.put(t, "token", "other")
	if _, err := p.look(t).Get(context.Background()); err == nil || !strings.Contains(err.Error(), "InvalidIdentityToken") || strings.Contains(err.Error(), "other") {
		t.Errorf("error is %v", err)
	}
	p.env = map[string]string{"AWS_WEB_IDENTITY_TOKEN_FILE": file}
	if _, err := p.look(t).Get(context.Background()); err == nil || !strings.Contains(err.Error(), "AWS_ROLE_ARN") {
		t.Errorf("without a role: error is %v", err)
	}
}

func TestKeys(t *testing.T) {
	gets(t, NewCache(Keys("a", "very-secret", "t"), nil, nil), "a", "very-secret", "t")
	if _, err := NewCache(Keys("a", "", ""), nil, nil).Get(context.Background()); err == nil {
		t.Error("half a pair of keys is taken")
	}
}

func FuzzINI(f *testing.F) {
	f.Add(sharedFile)
	f.Add("\ufeff[ profile  x ] # y\na=b\n c = d\n[")
	f.Fuzz(func(_ *testing.T, text string) {
		sections, err := parseINI(text)
		for name, values := range sections {
			if strings.Contains(name, "]") || err != nil {
				panic("a section that is none: " + name)
			}
			for key := range values {
				if strings.ContainsAny(key, "=\n") {
					panic("a name that is none: " + key)
				}
			}
		}
	})
}

func FuzzAnswers(f *testing.F) {
	f.Add(temporaryJSON("a", time.Unix(1, 0)))
	f.Add(fmt.Sprintf(assumed, "2026-01-01T00:00:00Z"))
	f.Fuzz(func(t *testing.T, text string) {
		if c, err := parseTemporary([]byte(text), "x"); err == nil && (c.AccessKeyID == "" || c.SecretKey.IsEmpty()) {
			t.Errorf("%q gives half a pair", text)
		}
		if c, err := parseAssumed([]byte(text), "x"); err == nil && (c.AccessKeyID == "" || c.SecretKey.IsEmpty()) {
			t.Errorf("%q gives half a pair", text)
		}
	})
}
