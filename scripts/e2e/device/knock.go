package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"sync"
	"time"

	"berth/e2e/vm"
)

// knocking is what clients met that connect anew for each request.
type knocking struct {
	answers int
	longest time.Duration
	err     error // the first failure
}

func knock(url string, stop <-chan struct{}) *knocking {
	k := &knocking{}
	c := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}, Timeout: 2 * time.Minute}
	for {
		select {
		case <-stop:
			return k
		default:
		}
		began := time.Now()
		if err := ask(context.Background(), c, url); err != nil {
			k.err = fmt.Errorf("connection %d during the upgrade: %w", k.answers+1, err)
			return k
		}
		k.answers++
		k.longest = max(k.longest, time.Since(began))
		time.Sleep(50 * time.Millisecond) // an emulated processor has more to do
	}
}

// firstAnswer is how long it takes from now until a registry answers somebody
// who asks once a second and waits for each answer.
func firstAnswer(url string) (time.Duration, error) {
	ctx, cancel := context.WithTimeout(context.Background(), vm.Patience)
	var askers sync.WaitGroup
	defer askers.Wait()
	defer cancel()
	c := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	answered := make(chan struct{}, 1)
	began := time.Now()
	for {
		askers.Go(func() {
			if ask(ctx, c, url) == nil {
				select {
				case answered <- struct{}{}:
				default:
				}
			}
		})
		select {
		case <-answered:
			return time.Since(began), nil
		case <-time.After(time.Second):
		case <-ctx.Done():
			return 0, fmt.Errorf("%s does not answer: %w", url, ctx.Err())
		}
	}
}

func ask(ctx context.Context, c *http.Client, url string) error {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return err
	}
	answer, err := c.Do(request)
	if err != nil {
		return err
	}
	if answer.StatusCode != http.StatusOK {
		err = fmt.Errorf("status %d", answer.StatusCode)
	}
	return errors.Join(err, answer.Body.Close())
}
