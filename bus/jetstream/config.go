package jetstream

import (
	"errors"
	"fmt"
	"log/slog"
	"time"
)

// Config says where the log is and how large it may grow. Either Server or URL is set.
type Config struct {
	Server      *Server
	URL         string // nats://host:port, several separated by commas
	Credentials Credentials
	Name        string      // of this process, for the server's listings; default "evenkeel"
	Replicas    int         // of each stream: 1 (default) or 3
	Sizes       Sizes       // bounds of the streams
	Stages      []StageInfo // those that are enabled anywhere: retention waits for each partition of them
	// Attach leaves the streams to another process and only waits until they are there: for roles that may not create them.
	Attach bool
	Logger *slog.Logger
}

// A StageInfo names an enabled stage.
type StageInfo struct {
	Name       string
	Partitions int
}

// Credentials open an external server: one way of those below, and TLS where a file is set or the URL begins with tls://.
type Credentials struct {
	User, Password            string
	Token                     string
	CredsFile                 string // JWT and seed in one file, as nsc writes it
	NKeySeedFile              string
	CAFile, CertFile, KeyFile string
}

// Sizes are the bounds of the streams. Zero means the default.
type Sizes struct {
	LogBytes      int64         // default 4 GiB, and no more than the disk has free less its reserve
	EventsAge     time.Duration // default 30 days
	EventsBytes   int64         // default 1 GiB
	LedgerAge     time.Duration // default 400 days
	LedgerBytes   int64         // default 4 GiB
	DetailBytes   int64         // default 1 GiB
	SnapshotBytes int64         // default 4 GiB
	ReserveAge    time.Duration // LOG keeps messages this long after the last one needed them; default 10 minutes ...
	ReserveBytes  int64         // ... or this many bytes of them, if that is less; default 64 MiB
	CacheBytes    int64         // recent messages kept decoded for the readers of this process; default 64 MiB
}

// minLogBytes is room for a few messages of the largest size and the reserve for commits.
const minLogBytes = 1 << 20

func (c Config) withDefaults() (Config, error) {
	if (c.Server == nil) == (c.URL == "") {
		return c, errors.New("log: set either an embedded server or a URL")
	}
	if c.Replicas == 0 {
		c.Replicas = 1
	}
	if c.Replicas != 1 && c.Replicas != 3 {
		return c, fmt.Errorf("log: %d replicas; it must be 1 or 3", c.Replicas)
	}
	if c.Name == "" {
		c.Name = "evenkeel"
	}
	c.Logger = logger(c.Logger)
	var err error
	c.Sizes, err = c.Sizes.withDefaults()
	return c, err
}

func (s Sizes) withDefaults() (Sizes, error) {
	const gib, day = 1 << 30, 24 * time.Hour
	for _, b := range []struct {
		v    *int64
		def  int64
		name string
		min  int64
	}{
		{&s.LogBytes, 4 * gib, "log bytes", minLogBytes}, {&s.EventsBytes, gib, "events bytes", 64 << 10}, {&s.LedgerBytes, 4 * gib, "ledger bytes", 64 << 10},
		{&s.DetailBytes, gib, "detail bytes", 64 << 10}, {&s.SnapshotBytes, 4 * gib, "snapshot bytes", 1 << 20},
		{&s.ReserveBytes, 64 << 20, "reserve bytes", 0}, {&s.CacheBytes, 64 << 20, "cache bytes", 64 << 10},
	} {
		if *b.v == 0 {
			*b.v = b.def
		}
		if *b.v < b.min {
			return s, fmt.Errorf("log: %s is %d; it must be at least %d", b.name, *b.v, b.min)
		}
	}
	for _, d := range []struct {
		v   *time.Duration
		def time.Duration
	}{{&s.EventsAge, 30 * day}, {&s.LedgerAge, 400 * day}, {&s.ReserveAge, 10 * time.Minute}} {
		if *d.v == 0 {
			*d.v = d.def
		}
		if *d.v < 0 {
			return s, fmt.Errorf("log: age %s is below zero", *d.v)
		}
	}
	return s, nil
}
