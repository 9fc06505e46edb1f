package scrape

import (
	"errors"
	"fmt"
	"hash/fnv"
	"net"
	"net/url"
	"strings"
	"time"

	"evenkeel.dev/bus"
)

// A target is one address with its labels.
type target struct {
	job    *job
	key    string // job, URL and labels
	url    *url.URL
	labels bus.Labels // for all of its series: job, instance, and those of its group
}

func checkAddress(address string) error {
	switch {
	case address == "":
		return errors.New("a target's address is empty; write host:port")
	case len(address) > 512 || strings.ContainsAny(address, "/@?# \t\n\\"):
		return fmt.Errorf("%q is no address of a target; write host:port", cut(address, 64))
	}
	return nil
}

func (j *job) target(address string, labels map[string]string) (*target, error) {
	if err := checkAddress(address); err != nil {
		return nil, err
	}
	u := &url.URL{Scheme: j.config.Scheme, Host: address, Path: j.config.Path}
	query := url.Values{}
	ls := bus.Labels{}
	for name, value := range labels {
		parameter, isParameter := strings.CutPrefix(name, "__param_")
		switch {
		case name == "__scheme__":
			u.Scheme = value
		case name == "__metrics_path__":
			u.Path = value
		case isParameter:
			query.Set(parameter, value)
		case strings.HasPrefix(name, "__") && name != "__replica__":
		default:
			ls = append(ls, bus.Label{Name: name, Value: value})
		}
	}
	if u.Scheme != "http" && u.Scheme != "https" || !strings.HasPrefix(u.Path, "/") || net.ParseIP(u.Hostname()) == nil && u.Hostname() == "" {
		return nil, fmt.Errorf("target %q: scheme %q and path %q do not make an address", cut(address, 64), cut(u.Scheme, 16), cut(u.Path, 64))
	}
	u.RawQuery = query.Encode()
	for name, value := range map[string]string{"job": j.config.Name, "instance": address} {
		if ls.Sort().Get(name) == "" {
			ls = append(ls, bus.Label{Name: name, Value: value})
		}
	}
	ls = ls.Sort()
	return &target{job: j, key: j.config.Name + "\x00" + u.String() + "\x00" + string(ls.Append(nil)), url: u, labels: ls}, nil
}

// shown is the target's URL without its query, which may hold what is nobody's business.
func (t *target) shown() string {
	u := *t.url
	u.RawQuery = ""
	return u.String()
}

// wait returns how long it is until the target's next turn: turns are at offset + n * interval since the epoch.
func (t *target) wait(now time.Time) time.Duration {
	h := fnv.New64a()
	h.Write([]byte(t.key))
	interval := t.job.config.Interval
	offset := time.Duration(h.Sum64() % uint64(interval))
	past := (time.Duration(now.UnixNano()%int64(interval)) - offset + interval) % interval
	return interval - past
}

// next returns how long it is to the turn after the one that began at begun and took so long, and how many turns were missed
// meanwhile. A timer that is a little early does not make a turn happen twice.
func (t *target) next(begun time.Time, took time.Duration) (wait time.Duration, missed int) {
	interval := t.job.config.Interval
	wait = interval/2 + t.wait(begun.Add(interval/2)) - took
	for wait <= 0 {
		wait += interval
		missed++
	}
	return wait, missed
}

// cut keeps what is shown of foreign text short.
func cut(s string, most int) string {
	if len(s) <= most {
		return s
	}
	return strings.ToValidUTF8(s[:most], "") + "…"
}
