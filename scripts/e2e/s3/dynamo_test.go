package s3

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"

	"github.com/opencontainers/go-digest"

	"berth/cache/dynamo"
	"berth/e2e/fixture"
	"berth/e2e/harness"
	"berth/e2e/wire"
	"berth/oci"
	"berth/s3lite/creds"
)

// table is an index in a table, whose notes are written until the test ends.
func table(t *testing.T, url, scope string) *dynamo.Index {
	t.Helper()
	x, err := dynamo.New(dynamo.Options{
		Endpoint: url, Region: "us-east-1", Table: "Berth-Blobs", Scope: scope,
		Credentials: creds.NewCache(creds.Keys("e2e-access", "e2e-secret", ""), nil, nil),
	})
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	ended := make(chan error)
	go func() { ended <- x.Run(ctx) }()
	t.Cleanup(func() {
		stop()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
	return x
}

// holds waits until an index has certain repositories for a digest.
func holds(t *testing.T, x *dynamo.Index, d digest.Digest, want ...oci.Repo) {
	t.Helper()
	harness.Eventually(t, fmt.Sprintf("the index has %v", want), func() error {
		got, err := x.Holders(t.Context(), oci.Digest(d), 0)
		if err == nil && !slices.Equal(got, want) {
			err = fmt.Errorf("it has %v", got)
		}
		return err
	})
}

// TestTable: the index makes its table, and all processes with one store see
// what any of them noted.
func TestTable(t *testing.T) {
	url := harness.StartDynalite(t)
	one, two, other := table(t, url, "one"), table(t, url, "one"), table(t, url, "other")
	d := digest.FromString("x")
	if err := errors.Join(one.Add(t.Context(), oci.Digest(d), "b", "a"), two.Add(t.Context(), oci.Digest(d), "c/d")); err != nil {
		t.Fatal(err)
	}
	for _, x := range []*dynamo.Index{one, two} {
		holds(t, x, d, "a", "b", "c/d")
	}
	holds(t, other, d)
	if err := errors.Join(one.Remove(t.Context(), oci.Digest(d), "a"), two.Remove(t.Context(), oci.Digest(d), "b"), two.Remove(t.Context(), oci.Digest(d), "never")); err != nil {
		t.Fatal(err)
	}
	for _, x := range []*dynamo.Index{one, two} {
		holds(t, x, d, "c/d")
	}
	if err := one.Remove(t.Context(), oci.Digest(d), "c/d"); err != nil {
		t.Fatal(err)
	}
	for _, x := range []*dynamo.Index{one, two} {
		holds(t, x, d)
	}
}

// TestRemoteCache: servers with one bucket tell one table what they hold.
func TestRemoteCache(t *testing.T) {
	gateway, url := harness.StartGateway(t), harness.StartDynalite(t)
	env := append(gateway.Env(), "BERTH_STORAGE_REMOTECACHE=true", "BERTH_STORAGE_CACHEDRIVER_NAME=dynamodb", "BERTH_STORAGE_CACHEDRIVER_ENDPOINT="+url,
		"BERTH_STORAGE_CACHEDRIVER_REGION=us-east-1", "BERTH_STORAGE_CACHEDRIVER_TABLENAME=Berth-Blobs",
		"BERTH_STORAGE_CACHEDRIVER_ACCESSKEY=e2e-access", "BERTH_STORAGE_CACHEDRIVER_SECRETKEY=e2e-secret")
	one := wire.New(t, harness.Start(t, harness.Config{Local: true, Env: env}).URL())
	two := wire.New(t, harness.Start(t, harness.Config{Local: true, Env: env}).URL())
	layer := fixture.Layer("table", 100_000)
	one.Push("app/one", "v1", fixture.Image(fixture.Options{}, layer))
	two.Push("app/two", "v1", fixture.Image(fixture.Options{}, layer))
	x := table(t, url, "s3://"+gateway.Bucket)
	holds(t, x, layer.Desc.Digest, "app/one", "app/two")
	one.Delete(wire.BlobPath("app/two", layer.Desc.Digest)).Want(202)
	holds(t, x, layer.Desc.Digest, "app/one")
}
