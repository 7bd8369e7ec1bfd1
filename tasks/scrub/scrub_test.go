package scrub_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"berth/fsstore"
	"berth/oci"
	"berth/oci/ocitest"
	"berth/oci/registry"
	"berth/tasks/scrub"
)

// short is a digest as the tests' texts have it.
func short(d oci.Digest) string { return d.String()[:14] }

func TestNothingIsDamaged(t *testing.T) {
	d := newDisk(t, fsstore.Options{Dedupe: true})
	a := d.image("a", "v1", "config", "layer", large("large", 3<<20))
	d.tag("a", "v2", a[0])
	r := d.scrub(scrub.Options{})
	if r.Affected+r.Healed+r.Omitted+r.Transient != 0 || r.Repositories != 1 || r.Manifests != 1 || r.Blobs != 4 {
		t.Errorf("%+v", r)
	}
	d.is("table", d.table(r), "a v1 ok\na v2 ok")
	kept := note[scrub.Report](d, "scrub/report.json")
	if kept.Round != r.Round || kept.Blobs != 4 || kept.Ended.IsZero() {
		t.Errorf("kept is %+v", kept)
	}
}

// TestEachCopyIsReadOnce, however many names it has.
func TestEachCopyIsReadOnce(t *testing.T) {
	d := newDisk(t, fsstore.Options{Dedupe: true})
	layer := large("shared", 100_000)
	var all []oci.Digest
	for i := range 5 {
		repo := oci.Repo(fmt.Sprintf("r%d", i))
		if i > 0 {
			for _, digest := range all[1:] {
				d.ok(d.LinkBlob(d.ctx(), "r0", repo, digest))
			}
		}
		all = d.image(repo, "v1", "config", layer, "small")
		d.image(repo, "v2", "config", "small", layer) // another manifest, the same blobs
	}
	d.counted()
	d.scrub(scrub.Options{})
	reads, _ := d.counted()
	for _, digest := range all[1:] {
		if reads[digest] != 1 {
			t.Errorf("%s was read %d times", short(digest), reads[digest])
		}
	}
	d.scrub(scrub.Options{}) // the next round reads all again
	if reads, _ := d.counted(); reads[all[2]] != 1 {
		t.Errorf("in the next round it was read %d times", reads[all[2]])
	}
}

// TestSeparateCopiesAreReadEach, and the good one heals the bad one at once.
func TestSeparateCopiesAreReadEach(t *testing.T) {
	d := newDisk(t, fsstore.Options{})
	layer := large("apart", 100_000)
	a, b := d.image("a", "v1", "config", layer), d.image("b", "v1", "config", layer)
	d.counted()
	d.scrub(scrub.Options{})
	if reads, _ := d.counted(); reads[a[2]] != 2 {
		t.Errorf("two copies were read %d times", reads[a[2]])
	}
	d.flip("b", b[2], 99_999)
	r := d.scrub(scrub.Options{})
	d.is("problems", problems(r), "b "+short(b[2])+" rot healed")
	d.is("table", d.table(r), "a v1 ok\nb v1 healed "+short(b[2])+" rot")
	if r.Affected != 0 || r.Healed != 1 {
		t.Errorf("%+v", r)
	}
	r = d.scrub(scrub.Options{})
	d.is("problems after", problems(r), "")
}

// wrecks is one repository for each kind of damage, and a good one.
type wrecks struct {
	good, flipped, gone, json, top []oci.Digest
	cut, cutManifest               oci.Digest // by sha512
}

// nonsense and sizes are digests of content that is right and means nothing.
var (
	nonsense = oci.SHA256.FromString("[1,2]")
	nothing  = oci.SHA256.FromString("")
	sizes    = oci.SHA256.FromString("twelve bytes")
)

func wreck(d *disk) (w wrecks) {
	d.t.Helper()
	w.good = d.image("good", "v1", "config")
	w.flipped = d.image("flipped", "v1", "config of flipped", large("flipped", 70_000))
	d.flip("flipped", w.flipped[2], 66_000)
	w.cut = d.blob("cut", oci.SHA512, large("cut", 5000))
	body := fmt.Sprintf(`{"schemaVersion":2,"mediaType":%q,"config":%s,"layers":[%s]}`, oci.MediaTypeManifest,
		descriptor("application/x", w.cut, 5000), descriptor(layerType, w.cut, 5000))
	w.cutManifest = d.put("cut", body)
	d.tag("cut", "", w.cutManifest)
	d.ok(os.Truncate(d.path("cut", w.cut), 4999))
	w.gone = d.image("gone", "v1", "config of gone", "a layer that will go")
	d.tag("gone", "v2", w.gone[0])
	d.ok(errors.Join(os.Remove(d.path("gone", w.gone[2])), os.Remove(d.path("gone", w.gone[1]))))
	w.json = d.image("json", "v1", "config of json")
	d.flip("json", w.json[0], 3)
	body = fmt.Sprintf(`{"schemaVersion":2,"mediaType":%q,"config":%s,"layers":[]}`, oci.MediaTypeManifest,
		descriptor("application/x", d.blob("sizes", oci.SHA256, "twelve bytes"), 13))
	d.tag("sizes", "v1", d.put("sizes", body))
	for repo, content := range map[oci.Repo]string{"nonsense": "[1,2]", "zero": ""} {
		d.blob(repo, oci.SHA256, "x")
		d.tag(repo, "v1", d.put(repo, content))
	}
	d.image("list", "v1", "config")
	d.ok(os.WriteFile(filepath.Join(d.dir, "list/index.json"), []byte(`{"manifests":`), 0o644))
	d.image("layout", "v1", "config")
	d.ok(os.Remove(filepath.Join(d.dir, "layout/oci-layout")))
	w.top = d.image("top", "v1", "config of top")
	d.ok(os.Remove(d.path("top", w.top[0])))
	return w
}

// TestKindsOfDamage: what each looks like in the report and in the table.
func TestKindsOfDamage(t *testing.T) {
	d := newDisk(t, fsstore.Options{Dedupe: true})
	w := wreck(d)
	r := d.scrub(scrub.Options{})
	d.is("problems", problems(r), sorted(
		"cut "+short(w.cut)+" rot quarantined",
		"flipped "+short(w.flipped[2])+" rot quarantined",
		"gone "+short(w.gone[1])+" missing",
		"gone "+short(w.gone[2])+" missing",
		"json "+short(w.json[0])+" rot quarantined",
		"layout - layout",
		"list - index",
		"nonsense "+short(nonsense)+" invalid",
		"sizes "+short(sizes)+" size",
		"top "+short(w.top[0])+" missing",
		"zero "+short(nothing)+" invalid",
	))
	d.is("table", d.table(r), strings.Join([]string{
		"cut " + short(w.cutManifest) + " affected " + short(w.cut) + " rot",
		"flipped v1 affected " + short(w.flipped[2]) + " rot",
		"gone v1 affected " + short(w.gone[1]) + " missing",
		"gone v1 affected " + short(w.gone[2]) + " missing",
		"gone v2 affected " + short(w.gone[1]) + " missing",
		"gone v2 affected " + short(w.gone[2]) + " missing",
		"good v1 ok",
		"json v1 affected " + short(w.json[0]) + " rot",
		"list - affected  index",
		"nonsense v1 affected " + short(nonsense) + " invalid",
		"sizes v1 affected " + short(sizes) + " size",
		"top v1 affected " + short(w.top[0]) + " missing",
		"zero v1 affected " + short(nothing) + " invalid",
		"layout - affected  layout",
	}, "\n"))
	if r.Affected != 11 || len(d.lost) != 3 {
		t.Errorf("%d affected, lost %v", r.Affected, d.lost)
	}
}

// TestDamageIsNotServed, is still told in the next round, and no more when the
// content was pushed elsewhere.
func TestDamageIsNotServed(t *testing.T) {
	d := newDisk(t, fsstore.Options{Dedupe: true})
	w := wreck(d)
	d.scrub(scrub.Options{})
	for repo, digest := range map[oci.Repo]oci.Digest{"cut": w.cut, "flipped": w.flipped[2], "json": w.json[0]} {
		if _, err := d.StatBlob(d.ctx(), repo, digest); !errors.Is(err, oci.ErrBlobUnknown) {
			t.Errorf("%s is served: %v", repo, err)
		}
	}
	if _, err := d.StatBlob(d.ctx(), "good", w.good[1]); err != nil {
		t.Error(err)
	}
	r := d.scrub(scrub.Options{})
	if got := problems(r); !strings.Contains(got, "flipped "+short(w.flipped[2])+" missing quarantined") {
		t.Errorf("the round after:\n%s", got)
	}
	d.blob("elsewhere", oci.SHA256, large("flipped", 70_000))
	if r = d.scrub(scrub.Options{}); strings.Contains(problems(r), "flipped") {
		t.Errorf("after it was pushed elsewhere:\n%s", problems(r))
	}
}

// sorted joins lines in their order.
func sorted(lines ...string) string {
	slices.Sort(lines)
	return strings.Join(lines, "\n")
}

// TestSharedDamage: all repositories that share a copy lose it, and get it again.
func TestSharedDamage(t *testing.T) {
	d := newDisk(t, fsstore.Options{Dedupe: true})
	layer := large("shared", 80_000)
	a := d.image("a", "v1", "config", layer)
	d.ok(d.LinkBlob(d.ctx(), "a", "b", a[2]))
	d.image("b", "v1", "config of b", layer)
	d.flip("a", a[2], 5)
	r := d.scrub(scrub.Options{})
	d.is("problems", problems(r), "a "+short(a[2])+" rot quarantined\nb "+short(a[2])+" missing quarantined")
	d.is("table", d.table(r), "a v1 affected "+short(a[2])+" rot\nb v1 affected "+short(a[2])+" missing")
	d.is("lost", strings.Join(d.lost, ", "), "a "+short(a[2])+", b "+short(a[2]))
	d.blob("c", oci.SHA256, layer)
	r = d.scrub(scrub.Options{})
	d.is("problems after", problems(r), "")
}

// TestSparse: what may be missing is no damage.
func TestSparse(t *testing.T) {
	for _, sparse := range []registry.Sparse{"", registry.SparseNone, registry.SparseIndex, registry.SparseAll} {
		d := newDisk(t, fsstore.Options{})
		here := d.manifest("a", "config", "layer")
		absent := oci.SHA256.FromString("not here")
		foreign := fmt.Sprintf(`{"schemaVersion":2,"mediaType":%q,"config":%s,"layers":[%s,%s]}`, oci.MediaTypeManifest,
			descriptor("application/x", here[1], 6),
			descriptor("application/vnd.oci.image.layer.nondistributable.v1.tar", absent, 5),
			`{"mediaType":"`+layerType+`","digest":"`+absent.String()+`","size":5,"urls":["https://example.com/x"]}`)
		d.tag("a", "foreign", d.put("a", foreign))
		d.tag("a", "subject", d.put("a", strings.Replace(foreign, `"layers"`, `"subject":`+descriptor(oci.MediaTypeManifest, absent, 7)+`,"layers"`, 1)))
		d.tag("a", "index", d.put("a", fmt.Sprintf(`{"schemaVersion":2,"mediaType":%q,"manifests":[%s,%s]}`, oci.MediaTypeIndex,
			descriptor(oci.MediaTypeManifest, here[0], len(foreign)), descriptor(oci.MediaTypeManifest, absent, 9))))
		d.ok(os.Remove(d.path("a", here[2])))
		r := d.scrub(scrub.Options{Sparse: sparse})
		missing := strings.Count(problems(r), " missing")
		wantMissing := map[registry.Sparse]int{registry.SparseNone: 2, registry.SparseIndex: 1, "": 1, registry.SparseAll: 0}[sparse]
		if missing != wantMissing {
			t.Errorf("sparse %q: %d missing:\n%s", sparse, missing, problems(r))
		}
		if table := d.table(r); !strings.Contains(table, "a foreign ok\na subject ok\n") {
			t.Errorf("sparse %q:\n%s", sparse, table)
		}
	}
}

// TestReportOnly changes nothing, and looks twice all the same.
func TestReportOnly(t *testing.T) {
	d := newDisk(t, fsstore.Options{})
	a := d.image("a", "v1", "config", "layer")
	d.flip("a", a[2], 1)
	d.ok(d.Close())
	d.reopen(fsstore.Options{ReadOnly: true})
	before := tree(t, d.dir)
	for _, only := range []bool{true, false} { // a store that refuses is the same
		d.counted()
		r := d.scrub(scrub.Options{ReportOnly: only})
		d.is("problems", problems(r), "a "+short(a[2])+" rot")
		if reads, _ := d.counted(); reads[a[2]] != 2 {
			t.Errorf("read %d times", reads[a[2]])
		}
	}
	d.is("files", tree(t, d.dir), before)
	if _, err := d.StatBlob(d.ctx(), "a", a[2]); err != nil {
		t.Error(err)
	}
}

// tree lists every file with its size.
func tree(t *testing.T, dir string) string {
	t.Helper()
	var lines []string
	err := filepath.Walk(dir, func(path string, info os.FileInfo, err error) error {
		if err == nil {
			lines = append(lines, fmt.Sprint(path, info.Size(), info.ModTime()))
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return strings.Join(lines, "\n")
}

// TestReplacedMeanwhile: what is pushed, or deleted, while it is read is not
// taken away.
func TestReplacedMeanwhile(t *testing.T) {
	for _, c := range []string{"replaced", "deleted", "untagged and deleted"} {
		t.Run(c, func(t *testing.T) {
			d := newDisk(t, fsstore.Options{})
			layer := large("replaced", 3<<20)
			a := d.image("a", "v1", "config", layer)
			d.image("a", "v2", "another config")
			d.flip("a", a[2], 2<<20)
			once := false
			d.hook = func(repo oci.Repo, digest oci.Digest) {
				if once || digest != a[2] {
					return
				}
				once = true
				switch c {
				case "replaced":
					d.ok(d.DeleteBlob(d.ctx(), "a", digest))
					d.blob("a", oci.SHA256, layer)
				case "deleted":
					d.ok(d.DeleteBlob(d.ctx(), "a", digest))
				default:
					data, version, err := d.LoadIndex(d.ctx(), "a", "")
					d.ok(err)
					index, err := oci.ParseIndex(data)
					d.ok(err)
					_, err = d.SwapIndex(d.ctx(), "a", version, index.DeleteManifest(a[0]).JSON())
					d.ok(err)
					d.ok(d.DeleteBlob(d.ctx(), "a", digest))
				}
			}
			r := d.scrub(scrub.Options{})
			want := ""
			if c == "deleted" {
				want = "a " + short(a[2]) + " missing"
			}
			d.is("problems", problems(r), want)
			if _, err := d.StatBlob(d.ctx(), "a", a[2]); (err == nil) != (c == "replaced") {
				t.Errorf("afterwards: %v", err)
			}
		})
	}
}

// TestInMemory: a store with none of the capabilities but a quarantine.
func TestInMemory(t *testing.T) {
	m := ocitest.NewMemory()
	reg := registry.New(m, registry.Options{})
	ctx := t.Context()
	config := oci.SHA512.FromString("{}")
	if err := reg.PushBlob(ctx, "a", config, strings.NewReader("{}")); err != nil {
		t.Fatal(err)
	}
	body := []byte(fmt.Sprintf(`{"schemaVersion":2,"mediaType":%q,"config":%s,"layers":[]}`, oci.MediaTypeManifest, descriptor("application/x", config, 2)))
	pushed, err := reg.PushManifest(ctx, "a", registry.ManifestPush{Ref: oci.Reference{Tag: "v1"}, Content: body})
	if err != nil {
		t.Fatal(err)
	}
	if err := m.PutBlob(ctx, "a", config, []byte("[]")); err != nil {
		t.Fatal(err)
	}
	if err := m.PutBlob(ctx, "a", pushed.Digest, append(body, ' ')); err != nil {
		t.Fatal(err)
	}
	if _, err := reg.Manifest(ctx, "a", oci.Reference{Tag: "v1"}); err != nil {
		t.Fatalf("it is in memory: %v", err)
	}
	r, err := scrub.New(m, scrub.Options{Lost: reg.Forget}).Run(ctx, nil)
	if err != nil || problems(r) != "a "+short(pushed.Digest)+" rot quarantined" {
		t.Errorf("%v:\n%s", err, problems(r))
	}
	if _, err := reg.Manifest(ctx, "a", oci.Reference{Tag: "v1"}); !errors.Is(err, oci.ErrManifestUnknown) {
		t.Errorf("the manifest is served from memory: %v", err)
	}
	if err := m.PutBlob(ctx, "b", pushed.Digest, body); err != nil {
		t.Fatal(err)
	}
	if r, err = scrub.New(m, scrub.Options{}).Run(ctx, nil); err != nil || problems(r) != "a "+short(config)+" rot quarantined" {
		t.Errorf("%v:\n%s", err, problems(r))
	}
}

// TestUnavailable: a medium that goes away ends the round and condemns nothing.
func TestUnavailable(t *testing.T) {
	f := ocitest.NewFaults(ocitest.NewMemory())
	ctx := t.Context()
	reg := registry.New(f, registry.Options{})
	if err := reg.PushBlob(ctx, "a", oci.SHA256.FromString("{}"), strings.NewReader("{}")); err != nil {
		t.Fatal(err)
	}
	body := fmt.Sprintf(`{"schemaVersion":2,"mediaType":%q,"config":%s,"layers":[]}`, oci.MediaTypeManifest, descriptor("application/x", oci.SHA256.FromString("{}"), 2))
	if _, err := reg.PushManifest(ctx, "a", registry.ManifestPush{Ref: oci.Reference{Tag: "v1"}, Content: []byte(body)}); err != nil {
		t.Fatal(err)
	}
	for _, method := range []string{"WalkRepos", "LoadIndex", "StatBlob", "OpenBlob"} {
		f.Once(method, ocitest.Before, oci.ErrUnavailable)
		r, err := scrub.New(f, scrub.Options{}).Run(ctx, nil)
		if !errors.Is(err, oci.ErrUnavailable) || r.Affected != 0 {
			t.Errorf("%s: %v, %+v", method, err, r)
		}
		f.Once(method, ocitest.Before, errors.New("disk error"))
		r, err = scrub.New(f, scrub.Options{}).Run(ctx, nil)
		if method == "WalkRepos" {
			if err == nil {
				t.Error("a walk that fails is no end of a round")
			}
			continue
		}
		wantAffected := int64(1)
		if method == "OpenBlob" { // the second look is good
			wantAffected = 0
		}
		if err != nil || r.Affected != wantAffected || r.Transient != 1-wantAffected {
			t.Errorf("%s: %v, %+v", method, err, r)
		}
	}
	canceled, cancel := context.WithCancel(ctx)
	cancel()
	if _, err := scrub.New(f, scrub.Options{}).Run(canceled, nil); !errors.Is(err, context.Canceled) {
		t.Errorf("canceled: %v", err)
	}
}

// TestReportsAreKept for a while.
func TestReportsAreKept(t *testing.T) {
	d := newDisk(t, fsstore.Options{})
	d.image("a", "v1", "config")
	c := &clock{at: time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)}
	var rounds []string
	for range 7 {
		rounds = append(rounds, d.scrub(scrub.Options{Now: c.now}).Round)
		c.advance(24 * time.Hour)
	}
	for ago, name := range []string{"report.json", "report.1.json", "report.2.json", "report.3.json", "report.4.json"} {
		if got := note[scrub.Report](d, "scrub/"+name); got.Round != rounds[6-ago] {
			t.Errorf("%s is of round %s, want %s", name, got.Round, rounds[6-ago])
		}
	}
	entries, err := os.ReadDir(filepath.Join(d.dir, ".berth/scrub"))
	if err != nil || len(entries) != 6 {
		t.Errorf("%v, %v", entries, err)
	}
}
