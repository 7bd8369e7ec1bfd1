package cache

import (
	"fmt"
	"strings"
	"sync/atomic"

	"github.com/dgraph-io/badger/v4"
	"github.com/dgraph-io/badger/v4/options"
)

const (
	memTableSize = 2 << 20
	valueLogSize = 1 << 20
	maxLevels    = 7
)

// badgerOptions are the least memory that Badger works with.
func badgerOptions(dir string, log badger.Logger) badger.Options {
	o := badger.DefaultOptions(dir)
	o.Logger = log
	o.MetricsEnabled = false
	o.NumGoroutines = 1
	o.MemTableSize = memTableSize
	o.NumMemtables = 1
	o.NumLevelZeroTables = 2
	o.NumLevelZeroTablesStall = 4
	o.NumCompactors = 2
	o.MaxLevels = maxLevels
	o.BaseTableSize = 1 << 20
	o.BaseLevelSize = 4 << 20
	o.ValueLogFileSize = valueLogSize
	o.ValueThreshold = 16 << 10
	o.Compression = options.None
	o.BlockCacheSize = 0
	o.IndexCacheSize = 1 << 20
	o.ChecksumVerificationMode = options.OnTableAndBlockRead
	o.DetectConflicts = false // there is one writer
	o.SyncWrites = true
	return o
}

// errorSink hands on what Badger reports as an error from its own goroutines;
// the rest of what it says is of no use to an operator.
type errorSink struct {
	failed func(error)
	muted  atomic.Bool // the Badger it belongs to is no longer in use
}

func (s *errorSink) Errorf(format string, args ...any) {
	if s.muted.Load() {
		return
	}
	s.failed(fmt.Errorf("badger: %s", strings.TrimSpace(fmt.Sprintf(format, args...))))
}

func (*errorSink) Warningf(string, ...any) {}
func (*errorSink) Infof(string, ...any)    {}
func (*errorSink) Debugf(string, ...any)   {}
