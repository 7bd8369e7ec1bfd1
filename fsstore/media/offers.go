package media

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"path/filepath"
	"time"

	"berth/fsstore/archive"
	"berth/oci"

	"golang.org/x/sys/unix"
)

// fileState tells whether a file was changed.
type fileState struct {
	id    identity
	size  int64
	mtime unix.Timespec
}

func lookAt(path string) fileState {
	var st unix.Stat_t
	if unix.Stat(path, &st) != nil {
		return fileState{}
	}
	return fileState{identity{uint64(st.Dev), st.Ino}, st.Size, st.Mtim}
}

// job is what a preparation needs to know of a medium. It runs beside the
// watcher, so that it shares nothing with it.
type job struct {
	medium  *medium // its name, path and probe only
	served  map[offer]bool
	failed  map[offer]failure
	changed bool // the medium was changed since failed was found out
	verify  bool
	log     *slog.Logger
}

// prepared is what a preparation found.
type prepared struct {
	medium  *medium
	looked  *survey
	all     map[offer]bool // what is on the medium
	ready   map[offer]oci.Store
	failed  map[offer]failure
	skipped map[string]string // why, by path
	err     error             // the medium could not be looked through
}

// run looks through a medium, and makes and checks the stores of what is not
// served yet.
func (j *job) run(ctx context.Context) *prepared {
	p := &prepared{
		medium: j.medium, all: map[offer]bool{}, ready: map[offer]oci.Store{},
		failed: map[offer]failure{}, skipped: map[string]string{},
	}
	if j.medium.archive {
		p.looked = &survey{}
		p.all[offer{j.medium.name, j.medium.path, true}] = true
	} else {
		if p.looked, p.err = newSurvey(ctx, j.medium.path); p.err != nil {
			return p
		}
		p.list()
	}
	for o := range p.all {
		if ctx.Err() != nil {
			break
		}
		if !j.served[o] {
			j.prepare(ctx, p, o)
		}
	}
	return p
}

// prepare makes the store of one offer.
func (j *job) prepare(ctx context.Context, p *prepared, o offer) {
	before, failedBefore := j.failed[o]
	if failedBefore && before.final && before.stays() && (o.archive || !j.changed) {
		p.failed[o] = before
		return
	}
	s, err := j.medium.storeOf(o, j.log)
	if err == nil && j.verify && p.looked.beingWritten(o.path, time.Now()) {
		p.failed[o] = failure{reason: "it was changed just now"}
		return
	}
	if err == nil && j.verify {
		err = verify(ctx, s)
	}
	if err == nil {
		p.ready[o] = s
		return
	}
	f := failure{reason: err.Error(), watch: o.watch(err)}
	f.state = lookAt(f.watch)
	f.final = failedBefore && before.watch == f.watch && before.state == f.state
	p.failed[o] = f
}

// watch returns the file on whose account an offer failed.
func (o offer) watch(err error) string {
	var bad *badBlob
	switch {
	case o.archive:
		return o.path
	case errors.As(err, &bad):
		return filepath.Join(o.path, "blobs", string(bad.digest.Algorithm()), bad.digest.Encoded())
	}
	return filepath.Join(o.path, "index.json")
}

// list makes offers of what a survey found. Of two with one name, the first
// is offered.
func (p *prepared) list() {
	m := p.medium
	taken := map[string]string{}
	add := func(name, rel string, archive bool, err error) {
		if other, ok := taken[name]; err == nil && ok {
			err = fmt.Errorf("%s has the name %q already", other, name)
		}
		if err != nil {
			p.skipped[filepath.Join(m.path, rel)] = err.Error()
			return
		}
		taken[name] = rel
		p.all[offer{name, filepath.Join(m.path, rel), archive}] = true
	}
	for _, rel := range p.looked.layouts {
		name, err := oci.ParseRepo(filepath.ToSlash(filepath.Join(m.name, rel)))
		add(string(name), rel, false, err)
	}
	for _, rel := range p.looked.archives {
		name, err := archiveName(m.name, rel)
		add(name, rel, true, err)
	}
	if p.looked.cut {
		p.skipped[m.path] = fmt.Sprintf("only %d directories, %d deep, are looked through", maxDirs, maxDepth)
	}
}

// archiveName is the repository name of a tar file on a medium: its directory
// as it is, and its own name made to fit.
func archiveName(prefix, rel string) (string, error) {
	base, err := archive.Name(filepath.Base(rel))
	if err != nil {
		return "", err
	}
	if dir := filepath.Dir(rel); dir != "." {
		prefix += "/" + filepath.ToSlash(dir)
	}
	repo, err := oci.ParseRepo(prefix + "/" + string(base))
	return string(repo), err
}
