package config

import (
	"errors"
	"strings"
	"time"
)

// The checks of single keys get the value as it was written.

func notEmpty(value any) error {
	if s, _ := word(value); s == "" {
		return errors.New("it is empty")
	}
	return nil
}

// atLeastUnlessZero refuses sizes that are set but useless.
func atLeastUnlessZero(least int64) func(any) error {
	return func(value any) error {
		n, err := Key{min: int64(Auto)}.toBytes(value)
		if err == nil && n > 0 && n < least {
			return errKind
		}
		return nil
	}
}

// checkIdleExit refuses what would have berth leave all the time.
func checkIdleExit(value any) error {
	d, err := toDuration(value)
	if err == nil && d != 0 && time.Duration(d) < time.Second {
		return errKind
	}
	return nil
}

func checkRealm(value any) error {
	if s, _ := word(value); s == "" || strings.ContainsAny(s, `"\`) {
		return errKind
	}
	return nil
}

func checkAddresses(value any) error {
	addresses, err := Key{}.toList(value)
	if err != nil {
		return err
	}
	if len(addresses) == 0 {
		return errors.New("there is none")
	}
	for _, s := range addresses {
		if _, err := parseAddress(s, 0); err != nil {
			return err
		}
	}
	return nil
}

// checkTogether finds what is wrong with values that are right by themselves.
// It returns the key that a problem is best told of.
func checkTogether(c *Config) (key, message string) {
	switch tls := c.HTTP.TLS; {
	case tls.Cert != "" && tls.Key == "":
		return "http.tls.cert", "http.tls.key is missing: a certificate needs its private key"
	case tls.Key != "" && tls.Cert == "":
		return "http.tls.key", "http.tls.cert is missing: a private key needs its certificate"
	}
	_, set := c.origins["tasks.workers"]
	if t := c.Tasks; set && t.NumWorkers > 0 && t.NumWorkers != t.Workers {
		return "scheduler.numWorkers", "tasks.workers, which is the same, has another value"
	}
	seen := map[Address]bool{}
	for _, a := range c.Listen() {
		if seen[a] && !strings.HasSuffix(a.Addr, ":0") {
			return "http.address", a.Addr + " is there twice"
		}
		seen[a] = true
	}
	if key, message := checkBudgets(c); key != "" {
		return key, message
	}
	if key, message := allDrivers(c.Storage); key != "" {
		return key, message
	}
	return checkPlaces(c.Storage)
}
