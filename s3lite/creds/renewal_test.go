package creds

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"
)

// service is what gives temporary credentials: each time others, for an hour,
// and only to who has the word of the day.
type service struct {
	word  string // that has to be given; "": any
	given int
	down  bool
}

// answer gives credentials by a form, to who gave a word.
func (s *service) answer(w http.ResponseWriter, word string, form func(key string) string) {
	switch {
	case s.down:
		w.WriteHeader(http.StatusInternalServerError)
	case s.word != "" && word != s.word:
		w.WriteHeader(http.StatusUnauthorized)
	default:
		s.given++
		fmt.Fprint(w, form(fmt.Sprint("AK", s.given)))
	}
}

// metadata is the instance's metadata service: the word is its token, which is
// good for one visit.
func (s *service) metadata(p *places) http.HandlerFunc {
	const roles = "/latest/meta-data/iam/security-credentials/"
	return func(w http.ResponseWriter, r *http.Request) {
		switch {
		case r.Method == http.MethodPut && r.URL.Path == "/latest/api/token":
			s.word = fmt.Sprint("visit-", len(p.requests))
			fmt.Fprint(w, s.word)
		case r.Header.Get("X-Aws-Ec2-Metadata-Token") != s.word:
			w.WriteHeader(http.StatusUnauthorized)
		case r.URL.Path == roles:
			fmt.Fprint(w, "my role")
		case r.URL.Path == roles+"my role":
			s.answer(w, s.word, func(key string) string { return temporaryJSON(key, p.clock.Now().Add(time.Hour)) })
		default:
			http.NotFound(w, r)
		}
	}
}

func (s *service) container(p *places) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		s.answer(w, r.Header.Get("Authorization"), func(key string) string { return temporaryJSON(key, p.clock.Now().Add(time.Hour)) })
	}
}

func (s *service) tokens(p *places) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		s.answer(w, r.PostFormValue("WebIdentityToken"), func(key string) string {
			return strings.Replace(fmt.Sprintf(assumed, p.clock.Now().Add(time.Hour).UTC().Format(time.RFC3339)), "AKW", key, 1)
		})
	}
}

// kinds are the places that temporary credentials come from. tokenFile is where
// the word of the day lies, "" where it is asked for.
var kinds = map[string]struct {
	serve     func(*service, *places) http.HandlerFunc
	env       map[string]string
	tokenFile string
}{
	"instance": {serve: (*service).metadata},
	"container": {serve: (*service).container, tokenFile: "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE",
		env: map[string]string{"AWS_CONTAINER_CREDENTIALS_FULL_URI": "http://169.254.170.23/v1/credentials"}},
	"web identity": {serve: (*service).tokens, tokenFile: "AWS_WEB_IDENTITY_TOKEN_FILE", env: map[string]string{"AWS_ROLE_ARN": "arn:x"}},
}

// TestRenewal: temporary credentials of every kind are renewed before they end,
// by a token that is read again each time; where that fails, those at hand go on
// until shortly before their end; and no secret comes into the log or an error.
func TestRenewal(t *testing.T) {
	for name, kind := range kinds {
		t.Run(name, func(t *testing.T) {
			p, s := nowhere(t), &service{}
			for key, value := range kind.env {
				p.env[key] = value
			}
			rotate := func(word string) {
				if kind.tokenFile != "" {
					s.word = word
					p.env[kind.tokenFile] = p.put(t, "token", word+"\n")
				}
			}
			p.serve = kind.serve(s, p)
			rotate("monday-word")
			c := p.look(t)
			gets(t, c, "AK1", "very-secret", "the-token")
			p.clock.Advance(54 * time.Minute)
			gets(t, c, "AK1", "very-secret", "the-token")
			rotate("tuesday-word")
			p.clock.Advance(2 * time.Minute)
			gets(t, c, "AK2", "very-secret", "the-token")
			s.down = true
			p.clock.Advance(56 * time.Minute)
			gets(t, c, "AK2", "very-secret", "the-token")
			p.clock.Advance(3*time.Minute + 50*time.Second)
			_, err := c.Get(context.Background())
			if err == nil || errors.Is(err, ErrNone) {
				t.Errorf("without a renewal, seconds before the end: %v", err)
			}
			hides(t, "the log", p.log.String())
			hides(t, "the error", fmt.Sprint(err))
			if !strings.Contains(p.log.String(), "not renewed") {
				t.Errorf("the log does not tell that the renewal failed: %s", p.log.String())
			}
			s.down = false
			gets(t, c, "AK3", "very-secret", "the-token")
		})
	}
}

// hides fails where a text has a secret in it: keys, and what they are asked for
// with.
func hides(t *testing.T, what, text string) {
	t.Helper()
	for _, secret := range []string{"very-secret", "the-token", "monday-word", "tuesday-word", "visit-"} {
		if strings.Contains(text, secret) || strings.Contains(text, url.QueryEscape(secret)) {
			t.Errorf("%s tells %q: %s", what, secret, text)
		}
	}
}

// TestSecretsInFailures: answers that make no sense are not repeated in errors,
// whatever is in them.
func TestSecretsInFailures(t *testing.T) {
	answers := []string{
		`{"AccessKeyId":"AK","SecretAccessKey":"very-secret","Token":"the-token"`,
		`{"SecretAccessKey":"very-secret","Token":["the-token"]}`,
		`{"Code":"Success","SecretAccessKey":"very-secret","Token":"the-token"}`,
		`{"AccessKeyId":"AK","SecretAccessKey":"very-secret","Expiration":"the-token"}`,
		strings.Replace(fmt.Sprintf(assumed, "the-token"), "AKW", "AK", 1),
		strings.TrimSuffix(fmt.Sprintf(assumed, "x"), "</AssumeRoleWithWebIdentityResponse>"),
		"very-secret the-token",
	}
	for name, kind := range kinds {
		for _, text := range answers {
			for _, status := range []int{http.StatusOK, http.StatusBadRequest} {
				p, s := nowhere(t), &service{}
				for key, value := range kind.env {
					p.env[key] = value
				}
				if kind.tokenFile != "" {
					p.env[kind.tokenFile] = p.put(t, "token", "monday-word")
				}
				well := kind.serve(s, p)
				p.serve = func(w http.ResponseWriter, r *http.Request) {
					if name == "instance" && !strings.HasSuffix(r.URL.Path, "role") {
						well(w, r)
						return
					}
					w.WriteHeader(status)
					fmt.Fprint(w, text)
				}
				_, err := p.look(t).Get(context.Background())
				if err == nil {
					t.Errorf("%s: %q is taken for credentials", name, text)
				}
				hides(t, name, fmt.Sprint(err)+p.log.String())
			}
		}
	}
}

// TestInstanceHopLimit: in a container the token's answer may never come. Then
// there are no credentials here, and the error tells why.
func TestInstanceHopLimit(t *testing.T) {
	p := nowhere(t)
	asked := make(chan struct{})
	p.serve = func(_ http.ResponseWriter, r *http.Request) {
		asked <- struct{}{}
		<-r.Context().Done()
	}
	failed := make(chan error)
	c := p.look(t)
	go func() { _, err := c.Get(context.Background()); failed <- err }()
	for {
		select {
		case <-asked:
			p.clock.Advance(stall)
			continue
		case err := <-failed:
			if !errors.Is(err, ErrNone) || !strings.Contains(err.Error(), "hop limit") {
				t.Errorf("error is %v", err)
			}
		}
		break
	}
	if slices.ContainsFunc(p.requests, func(r string) bool { return !strings.HasPrefix(r, "PUT ") }) {
		t.Errorf("without a token was asked: %q", p.requests)
	}
}

// TestInstanceWithoutVersion1: nothing is asked for without a token, also where
// the service would answer.
func TestInstanceWithoutVersion1(t *testing.T) {
	p, s := nowhere(t), &service{}
	well := s.metadata(p)
	p.serve = func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodPut {
			w.WriteHeader(http.StatusForbidden)
			return
		}
		well(w, r)
	}
	if _, err := p.look(t).Get(context.Background()); !errors.Is(err, ErrNone) || len(p.requests) != 1 || s.given > 0 {
		t.Errorf("error is %v, requests are %q", err, p.requests)
	}
}
