package fsstore_test

import (
	"errors"

	"berth/oci"
	"berth/tasks/dedupe"
)

// sharing has the operations that link blobs to other repositories' copies.
func sharing() []operation {
	held := func(w *world) error { return errors.Join(existing(w), w.push("a", large)) }
	return []operation{
		{"push what another repository holds", held, func(w *world) error { return w.push("b/c", large) }},
		{"push beside a wrong copy", wrongCopy, func(w *world) error { return w.push("b", large) }},
		{"push a part of what another holds", held, func(w *world) error { return w.push("b", large[:20000]) }},
		{"chunks of what another repository holds", held, func(w *world) error { return chunks(w, "b") }},
		{"put what another repository holds", held, func(w *world) error { return w.put("b", small) }},
		{"delete one of two links", func(w *world) error {
			return errors.Join(held(w), w.link("a", "b", small))
		}, deleteSmall},
		{"mount and stay apart", func(w *world) error {
			w.apart = true
			return existing(w)
		}, func(w *world) error { return w.link("a", "b", small) }},
		{"link copies", copies, func(w *world) error {
			_, err := w.Relink(w.ctx(), digestOf(large), "a", "b")
			return err
		}},
		{"enforce", copies, enforce},
	}
}

// wrongCopy puts bytes of another program's where a holder is looked for.
func wrongCopy(w *world) error {
	err := errors.Join(existing(w), w.put("a", large))
	w.stop()
	k := key{"a", digestOf(large)}
	f, failed := w.fs.OpenWrite("a/blobs/sha256/" + k.digest.Encoded())
	if failed != nil {
		return failed
	}
	_, failed = f.WriteAt([]byte("wrong"), 33000)
	delete(w.blobs, k)
	delete(w.tried, k)
	w.wrong[k] = true
	err = errors.Join(err, failed, f.Sync(), f.Close())
	w.start()
	return err
}

// copies stores blobs apart in three repositories.
func copies(w *world) error {
	w.stop()
	w.apart = true
	w.start()
	var err error
	for _, repo := range []oci.Repo{"a", "b", "c"} {
		err = errors.Join(err, w.push(repo, large), w.put(repo, small), w.swap(repo, indexOf("apart")))
	}
	w.apart = false
	return err
}

// enforce links all copies. It fails where one is left.
func enforce(w *world) error {
	report, err := dedupe.Run(w.ctx(), w.Store, w.hints, dedupe.Options{All: true, Now: w.clock.now})
	if err == nil && report.Failed > 0 {
		err = errors.New("copies were left")
	}
	return err
}
