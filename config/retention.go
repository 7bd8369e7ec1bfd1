package config

import (
	"fmt"
	"time"
)

// Retention is storage.retention: which tags stay.
type Retention struct {
	DryRun   bool
	Delay    time.Duration // below 0: that of garbage collection
	Policies []RetentionPolicy
}

// RetentionPolicy is one entry of storage.retention.policies.
type RetentionPolicy struct {
	Repositories    []string // patterns; none: every repository
	DeleteReferrers *bool    // nil: as garbage collection does anyhow
	DeleteUntagged  *bool    // nil: as garbage collection does anyhow
	DeleteUnnamed   bool
	KeepTags        []KeepTags
}

// KeepTags is one entry of a policy's keepTags.
type KeepTags struct {
	Patterns                []string // regular expressions; none: every tag
	MostRecentlyPushedCount int64
	MostRecentlyPulledCount int64
	PushedWithin            time.Duration
	PulledWithin            time.Duration
}

// Budget is how many bytes some repositories may take.
type Budget struct {
	MaxBytes Amount
	// HighWatermark and LowWatermark are in percent of MaxBytes.
	HighWatermark, LowWatermark int64
	Keep                        []string // patterns of repositories, or repository:tag
	EvictPushed                 bool
}

// RepoBudget is one entry of storage.budgets.
type RepoBudget struct {
	Repositories []string // patterns
	Budget
}

// Amount is a number of bytes, or of percent of a file system. The zero value
// is no limit.
type Amount struct {
	Bytes   int64
	Percent int64 // 0: Bytes counts
}

// None tells that nothing is limited.
func (a Amount) None() bool { return a == Amount{} }

// toAmount takes a size, or a string such as "80%".
func (k Key) toAmount(value any) (Amount, error) {
	s, ok := word(value)
	if n := len(s) - 1; ok && n > 0 && s[n] == '%' {
		percent, err := toInt(s[:n])
		if err != nil || percent < 1 || percent > 100 {
			return Amount{}, fmt.Errorf("a share is a whole number from 1%% to 100%%")
		}
		return Amount{Percent: percent}, nil
	}
	if ok && s == "" {
		return Amount{}, nil
	}
	n, err := k.toBytes(value)
	return Amount{Bytes: n}, err
}

const (
	allowedDuration = `a duration such as "720h"`
	allowedPatterns = `a list of patterns, such as ["infra/*", "tmp/**"]`
)

// toRetention takes the table storage.retention.
func toRetention(value any) (Retention, error) {
	out := Retention{Delay: -1}
	if s, ok := word(value); ok && s == "" {
		return out, nil
	}
	root := entry{line: func() int { return 0 }, value: value}
	err := takeMembers("", root, []member{
		{name: "dryRun", key: Key{Allowed: "true or false"}, to: &out.DryRun},
		{name: "delay", key: Key{Allowed: allowedDuration}, to: &out.Delay},
		{name: "policies", take: func(path string, e entry) error {
			return takeList(path, e, func(path string, e entry) error {
				out.Policies = append(out.Policies, RetentionPolicy{})
				return takePolicy(path, e, &out.Policies[len(out.Policies)-1])
			})
		}},
	})
	return out, err
}

func takePolicy(path string, e entry, p *RetentionPolicy) error {
	flag := func(to **bool) member {
		return member{take: func(path string, e entry) error {
			*to = new(bool)
			return member{key: Key{Allowed: "true or false"}, to: *to}.assign(path, e)
		}}
	}
	untagged, referrers := flag(&p.DeleteUntagged), flag(&p.DeleteReferrers)
	untagged.name, referrers.name = "deleteUntagged", "deleteReferrers"
	return takeMembers(path, e, []member{
		untagged, referrers,
		{name: "repositories", key: Key{Allowed: allowedPatterns}, to: &p.Repositories},
		{name: "deleteUnnamed", key: Key{Allowed: "true or false"}, to: &p.DeleteUnnamed},
		{name: "keepTags", take: func(path string, e entry) error {
			return takeList(path, e, func(path string, e entry) error {
				p.KeepTags = append(p.KeepTags, KeepTags{})
				return takeKeepTags(path, e, &p.KeepTags[len(p.KeepTags)-1])
			})
		}},
	})
}

func takeKeepTags(path string, e entry, k *KeepTags) error {
	count := Key{Allowed: "a number; 0: there is no such rule", max: 1 << 30}
	within := Key{Allowed: allowedDuration, min: 1}
	return takeMembers(path, e, []member{
		{name: "patterns", key: Key{Allowed: `a list of regular expressions, such as ["v2.*"]`}, to: &k.Patterns},
		{name: "mostRecentlyPushedCount", key: count, to: &k.MostRecentlyPushedCount},
		{name: "mostRecentlyPulledCount", key: count, to: &k.MostRecentlyPulledCount},
		{name: "pushedWithin", key: within, to: &k.PushedWithin},
		{name: "pulledWithin", key: within, to: &k.PulledWithin},
	})
}

// toBudgets takes the list storage.budgets.
func toBudgets(value any) (out []RepoBudget, err error) {
	if s, ok := word(value); ok && s == "" {
		return nil, nil
	}
	root := entry{line: func() int { return 0 }, value: value}
	err = takeList("", root, func(path string, e entry) error {
		b := RepoBudget{Budget: Budget{HighWatermark: defaultHigh, LowWatermark: defaultLow}}
		if e.line == nil {
			e.line = root.line
		}
		err := takeMembers(path, e, []member{
			{name: "repositories", key: Key{Allowed: allowedPatterns}, to: &b.Repositories},
			{name: "maxBytes", key: maxBytesKey(), to: &b.MaxBytes},
			{name: "highWatermark", key: watermarkKey(), to: &b.HighWatermark},
			{name: "lowWatermark", key: watermarkKey(), to: &b.LowWatermark},
			{name: "keep", key: Key{Allowed: allowedPatterns}, to: &b.Keep},
			{name: "evictPushed", key: Key{Allowed: "true or false"}, to: &b.EvictPushed},
		})
		switch {
		case err != nil:
			return err
		case len(b.Repositories) == 0:
			return &memberError{path, e, "repositories is missing"}
		case b.MaxBytes.None():
			return &memberError{path, e, "maxBytes is missing"}
		case b.LowWatermark > b.HighWatermark:
			return &memberError{path, e, markOrder(b.Budget)}
		}
		out = append(out, b)
		return nil
	})
	return out, err
}

// markOrder says that the watermarks are the wrong way round.
func markOrder(b Budget) string {
	return fmt.Sprintf("lowWatermark is %d, above highWatermark, which is %d", b.LowWatermark, b.HighWatermark)
}

// checkBudgets finds watermarks that are the wrong way round.
func checkBudgets(c *Config) (key, message string) {
	wrong := func(b Budget, high, low string) bool {
		key, message = low, markOrder(b)
		if c.Problem(low, "").Line == 0 {
			key = high
		}
		return b.LowWatermark > b.HighWatermark
	}
	if wrong(c.Storage.Budget, "storage.highWatermark", "storage.lowWatermark") {
		return key, message
	}
	for _, sub := range c.Storage.SubPaths {
		if wrong(sub.Budget, sub.Key("highWatermark"), sub.Key("lowWatermark")) {
			return key, message
		}
	}
	return "", ""
}
