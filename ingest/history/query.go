package history

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"strings"

	"evenkeel.dev/bus"
)

// query asks for [from, to) over POST /api/v1/query with a range selector, which gives raw samples: name{…}[2h] at the end of the slice.
func (p *Prometheus) query(ctx context.Context, ss []bus.Selector, from, to bus.Time) (*slice, error) {
	header := http.Header{"Content-Type": {"application/x-www-form-urlencoded"}, "Accept": {"application/json"}}
	s := newSlice(from, to, p.config.SliceBytes)
	for i, sel := range ss {
		part := newSlice(from, to, 0) // an answer is taken whole or not at all
		form := url.Values{
			// Since Prometheus 3 a range is open at its old end, before it was closed; what is older than the slice is left out.
			"query": {fmt.Sprintf("%s[%dms]", promQL(sel), int64(to-from))},
			"time":  {seconds(to - 1)},
		}
		err := p.client.post(ctx, "/api/v1/query", header, []byte(form.Encode()), func(resp *http.Response) error {
			part.limit = s.limit - s.bytes
			part.empty()
			return part.readMatrix(resp.Body)
		})
		if err != nil {
			return nil, limited(err)
		}
		if err := s.adopt(part, i); err != nil {
			return nil, err
		}
	}
	return s, nil
}

// adopt takes over the columns of an answer that no query before has given.
func (s *slice) adopt(part *slice, query int) error {
	s.histograms += part.histograms
	for _, c := range part.columns {
		own, err := s.columnOf(query, c.series.Labels, c.series.Flags)
		if err != nil {
			return err
		}
		if own == nil {
			continue
		}
		for _, k := range c.chunks {
			if err := s.addPlain(own, k.times, k.values); err != nil {
				return err
			}
		}
	}
	return nil
}

// seconds writes a time as Unix seconds with milliseconds.
func seconds(t bus.Time) string { return fmt.Sprintf("%d.%03d", t/1000, t%1000) }

// promQL writes a selector. Names that only newer versions know stand in quotes, as those versions want it.
func promQL(s bus.Selector) string {
	var b strings.Builder
	name := s.MetricName()
	inside := name == "" || !legacyName(name, true)
	if !inside {
		b.WriteString(name)
	}
	b.WriteByte('{')
	sep := ""
	if inside && name != "" {
		b.WriteString(quoteQL(name))
		sep = ","
	}
	skipped := name == ""
	for _, m := range s.Matchers() {
		if !skipped && m.Name == "__name__" && m.Type == bus.MatchEqual && m.Value == name {
			skipped = true
			continue
		}
		b.WriteString(sep)
		sep = ","
		if legacyName(m.Name, false) {
			b.WriteString(m.Name)
		} else {
			b.WriteString(quoteQL(m.Name))
		}
		b.WriteString(string(m.Type))
		b.WriteString(quoteQL(m.Value))
	}
	b.WriteByte('}')
	return b.String()
}

// quoteQL writes a string of PromQL, whose escapes are those of Go.
func quoteQL(s string) string { return strconv.Quote(s) }

func legacyName(s string, colon bool) bool {
	for i := range len(s) {
		c := s[i]
		letter := c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c == '_' || colon && c == ':'
		if !letter && (i == 0 || c < '0' || c > '9') {
			return false
		}
	}
	return s != ""
}

// errorText returns what Prometheus says in JSON, or the text as it is.
func errorText(body []byte) string {
	var e struct {
		ErrorType string `json:"errorType"`
		Error     string `json:"error"`
	}
	if json.Unmarshal(body, &e) == nil && e.Error != "" {
		return strings.TrimPrefix(e.ErrorType+": "+e.Error, ": ")
	}
	return string(body)
}

var errAnswer = errors.New("the answer is not what the HTTP API of Prometheus gives")
