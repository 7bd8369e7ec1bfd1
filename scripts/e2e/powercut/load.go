package main

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"sync"
	"sync/atomic"

	"berth/e2e/fixture"
	"berth/e2e/wire"
)

const (
	workers  = 4
	mostTags = 8 // of a worker: beyond that it deletes
)

// load is the pushes and deletes that run when the power goes.
type load struct {
	ledger  *ledger
	upload  *upload
	round   int
	cutting atomic.Bool // the power is about to go: connections may break
	workers sync.WaitGroup

	mu   sync.Mutex // guards errs
	errs []error
}

// start lets the workers loose on a registry, until it is gone.
func (l *load) start(ctx context.Context, c *wire.Client, seed uint64) {
	for id := range workers {
		w := &worker{load: l, id: id, client: c, chance: rand.New(rand.NewPCG(seed, uint64(id)))}
		l.workers.Go(func() { l.until(ctx, w.step) })
	}
	l.workers.Go(func() { l.until(ctx, func() error { return l.upload.step(c) }) })
}

// until repeats a step until the power is gone. That connections break then is
// no error; any other failure is.
func (l *load) until(ctx context.Context, step func() error) {
	for ctx.Err() == nil {
		err := step()
		if err == nil {
			continue
		}
		var status *wire.StatusError
		if !l.cutting.Load() || errors.As(err, &status) {
			l.mu.Lock()
			l.errs = append(l.errs, fmt.Errorf("under load: %w", err))
			l.mu.Unlock()
		}
		return
	}
}

// wait waits for the workers, after the cut, and returns what they met before.
func (l *load) wait() error {
	l.workers.Wait()
	return errors.Join(l.errs...)
}

// worker pushes, moves and deletes tags that are its own, in repositories that
// it shares.
type worker struct {
	*load
	id     int
	client *wire.Client
	chance *rand.Rand
	made   int
}

func (w *worker) step() error {
	owned := w.ledger.owned(w.id)
	kind := w.chance.IntN(10)
	switch {
	case len(owned) > 0 && (len(owned) > mostTags || kind == 0):
		return w.remove(owned[w.chance.IntN(len(owned))])
	case kind == 1: // a tag that moves
		return w.push(fmt.Sprintf("cut/r%d", w.id%3), fmt.Sprintf("latest-%d", w.id))
	case kind == 2: // a repository that is made while the power goes
		return w.push(fmt.Sprintf("cut/round%d/w%d", w.round, w.id), fmt.Sprint("t", w.made))
	default:
		return w.push(fmt.Sprintf("cut/r%d", w.chance.IntN(3)), fmt.Sprintf("t%d-%d-%d", w.round, w.id, w.made))
	}
}

func (w *worker) push(repo, tag string) error {
	seed := fmt.Sprintf("%d/%d/%d", w.round, w.id, w.made)
	w.made++
	size := 1 + w.chance.IntN(40_000)
	if w.chance.IntN(8) == 0 {
		size = 300_000 + w.chance.IntN(1_200_000)
	}
	n := fixture.Image(fixture.Options{}, fixture.Layer(fmt.Sprint("base", w.chance.IntN(3)), 30_000), fixture.Layer(seed, size))
	w.ledger.begin(w.id, repo, tag, &n)
	if err := w.client.TryPush(repo, tag, n); err != nil {
		return err
	}
	w.ledger.acknowledge(repo, tag, &n)
	return nil
}

func (w *worker) remove(e entry) error {
	w.ledger.begin(w.id, e.repo, e.tag, nil)
	path := wire.ManifestPath(e.repo, e.now.Desc.Digest.String())
	if err := w.client.TryFor(wire.Request{Method: "DELETE", Path: path}, http.StatusAccepted); err != nil {
		return err
	}
	w.ledger.acknowledge(e.repo, e.tag, nil)
	return nil
}
