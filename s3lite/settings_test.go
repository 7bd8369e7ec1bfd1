package s3lite

import (
	"fmt"
	"maps"
	"strings"
	"testing"

	"berth/s3lite/creds"
)

// guideExample is the storage driver of the reference registry's guide, as
// text.
var guideExample = map[string]string{
	"name": "s3", "rootdirectory": "/zot", "region": "us-east-2", "bucket": "zot-storage", "secure": "true", "skipverify": "false",
}

func with(more map[string]string) map[string]string {
	all := maps.Clone(guideExample)
	maps.Copy(all, more)
	return all
}

func TestSettings(t *testing.T) {
	s, err := ParseSettings(guideExample)
	if err != nil {
		t.Fatal(err)
	}
	if s.Bucket != "zot-storage" || s.Region != "us-east-2" || s.RootDirectory != "zot" || s.PlainHTTP || s.SkipVerify || !s.PathStyle || !s.Quiet ||
		s.ChunkSize != 10<<20 || s.CopyThreshold != 32<<20 || s.CopyConcurrency != 8 || s.ACL != "" || s.StorageClass != "" {
		t.Errorf("settings are %+v", s)
	}
	s, err = ParseSettings(with(map[string]string{
		"accesskey": "AK", "secretkey": "hidden", "sessiontoken": "also-hidden", "regionendpoint": "s3.local:9000", "forcepathstyle": "false",
		"encrypt": "true", "keyid": "k", "secure": "false", "skipverify": "true", "v4auth": "true", "chunksize": "5242880",
		"multipartcopychunksize": "6000000", "multipartcopymaxconcurrency": "3", "multipartcopythresholdsize": "7000000", "rootdirectory": "a/b/",
		"storageclass": "STANDARD_IA", "useragent": "x/1", "objectacl": "bucket-owner-read", "loglevel": "debug", "cafile": "/ca.pem",
	}))
	if err != nil {
		t.Fatal(err)
	}
	if s.AccessKey != "AK" || s.SecretKey.Reveal() != "hidden" || s.Endpoint != "s3.local:9000" || s.PathStyle || !s.Encrypt || s.KMSKey != "k" ||
		!s.PlainHTTP || !s.SkipVerify || s.ChunkSize != MinPart || s.CopyChunkSize != 6000000 || s.CopyConcurrency != 3 || s.CopyThreshold != 7000000 ||
		s.RootDirectory != "a/b" || s.StorageClass != "STANDARD_IA" || s.UserAgent != "x/1" || s.ACL != "bucket-owner-read" || !s.LogRequests || s.Quiet || s.CAFile != "/ca.pem" {
		t.Errorf("settings are %+v", s)
	}
	if text := fmt.Sprintf("%v %+v %#v", s, s, s); strings.Contains(text, "hidden") {
		t.Errorf("settings show a secret: %s", text)
	}
	s, err = ParseSettings(with(map[string]string{"accelerate": "true", "usedualstack": "true", "keyid": "ignored"}))
	if err != nil || s.PathStyle || !s.Accelerate || !s.DualStack || s.KMSKey != "" {
		t.Errorf("settings are %+v, %v", s, err)
	}
}

func TestSettingsRefused(t *testing.T) {
	for name, c := range map[string]struct {
		values map[string]string
		want   []string
	}{
		"nothing":      {map[string]string{}, []string{"name: is required", "bucket: is required", "region: is required"}},
		"other driver": {with(map[string]string{"name": "gcs"}), []string{`name: "gcs" is refused`}},
		"version 2":    {with(map[string]string{"v4auth": "false"}), []string{`v4auth: "false" is refused: version 4`}},
		"unknown":      {with(map[string]string{"chunksise": "1"}), []string{"chunksise: is no attribute"}},
		"chunk":        {with(map[string]string{"chunksize": "1048576", "multipartcopychunksize": "x"}), []string{"chunksize:", "multipartcopychunksize:"}},
		"half a pair":  {with(map[string]string{"accesskey": "a"}), []string{"secretkey"}},
		"acl":          {with(map[string]string{"objectacl": "everybody"}), []string{"objectacl:"}},
		"class":        {with(map[string]string{"storageclass": "GLACIER"}), []string{"restored"}},
		"log":          {with(map[string]string{"loglevel": "debugwithsigning"}), []string{"signatures are not written"}},
		"boolean":      {with(map[string]string{"secure": "yes"}), []string{"secure:"}},
		"accelerate":   {with(map[string]string{"accelerate": "true", "forcepathstyle": "true"}), []string{"acceleration"}},
		"dual stack":   {with(map[string]string{"usedualstack": "true", "regionendpoint": "x"}), []string{"AWS's own"}},
		"root":         {with(map[string]string{"rootdirectory": "/a/../b"}), []string{"rootdirectory:"}},
		"concurrency":  {with(map[string]string{"multipartcopymaxconcurrency": "0"}), []string{"multipartcopymaxconcurrency:"}},
		"agent":        {with(map[string]string{"useragent": "a\nb"}), []string{"useragent:"}},
	} {
		_, err := ParseSettings(c.values)
		for _, want := range c.want {
			if err == nil || !strings.Contains(err.Error(), want) {
				t.Errorf("%s: error is %v, want one that says %q", name, err, want)
			}
		}
	}
}

// TestDefaults: the table says what ParseSettings does.
func TestDefaults(t *testing.T) {
	plain, err := ParseSettings(guideExample)
	if err != nil {
		t.Fatal(err)
	}
	plain.UserAgent = "berth"
	for _, row := range Attributes() {
		if row.Doc == "" || row.Required && row.Default != "" {
			t.Errorf("row %+v", row)
		}
		if row.Default == "" {
			continue
		}
		s, err := ParseSettings(with(map[string]string{row.Name: row.Default, "useragent": "berth"}))
		if err != nil || fmt.Sprint(s) != fmt.Sprint(plain) {
			t.Errorf("%s = %s changes the settings to %+v, %v", row.Name, row.Default, s, err)
		}
	}
}

func TestSettingsConnect(t *testing.T) {
	p := connect(t, sessionServer)
	values := with(map[string]string{
		"bucket": p.server.Bucket(), "region": "us-east-1", "regionendpoint": p.server.URL(),
		"accesskey": "AKIDTEST", "secretkey": "secret-of-the-test", "sessiontoken": "token-of-the-test",
	})
	for _, environment := range []bool{false, true} {
		env := map[string]string{}
		if environment {
			env = map[string]string{"AWS_ACCESS_KEY_ID": "AKIDTEST", "AWS_SECRET_ACCESS_KEY": "secret-of-the-test", "AWS_SESSION_TOKEN": "token-of-the-test"}
			for _, name := range []string{"accesskey", "secretkey", "sessiontoken"} {
				delete(values, name)
			}
		}
		s, err := ParseSettings(values)
		if err != nil {
			t.Fatal(err)
		}
		c, err := s.Connect(creds.Options{Getenv: func(name string) string { return env[name] }}, nil)
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		wants(t, fmt.Sprintf("HEAD, environment %v", environment), c.HeadBucket(t.Context()), nil)
	}
}
