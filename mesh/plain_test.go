package mesh

import (
	"strings"
	"testing"
)

// A Sloth file would not be recognised, or two files of one service would take each other's place in the catalogue.
func TestPlainDocuments(t *testing.T) {
	for text, want := range map[string]string{
		`{"version":"prometheus/v1","service":"shop","slos":[{"name":"a"},{"name":"b"}]}`: "prometheus/v1 PrometheusServiceLevel default/shop--a",
		`{"version":"prometheus/v1","service":"shop","slos":[{"name":"b"}]}`:              "prometheus/v1 PrometheusServiceLevel default/shop--b",
		`{"version":"prometheus/v2","service":"shop"}`:                                    "prometheus/v2 PrometheusServiceLevel default/shop---931477fb318a",
		`{"version":"prometheus/v1","service":"a--b","slos":[{"name":"c"}]}`:              "prometheus/v1 PrometheusServiceLevel default/a-b---284eb05e86de",
		`{"version":"prometheus/v1","service":"a","slos":[{"name":"b--c"}]}`:              "prometheus/v1 PrometheusServiceLevel default/a---f125c2f6343f",
		`{"version":"prometheus/v1","service":"_","slos":[{"name":"b"}]}`:                 "prometheus/v1 PrometheusServiceLevel default/service---64218256f2e4",
		`{"version":"prometheus/v1","slos":[]}`:                                           "service is missing",
		`{"version":"prometheus/v1","service":1}`:                                         "service is missing",
		`{"version":"prometheus/v1","kind":"X"}`:                                          "apiVersion is missing",
		`{"version":"1"}`:                                                                 "apiVersion is missing",
	} {
		root, err := ReadJSON([]byte(text))
		if err != nil {
			t.Fatal(err)
		}
		d, ps := NewDocument("a.json", text, root)
		got := d.APIVersion + " " + d.Ref().String()
		if len(ps) > 0 {
			got = ps[0].Message
		}
		if got != want {
			t.Errorf("%s: %s, want %s", text, got, want)
		}
	}
	long := plainName(strings.Repeat("s", 63), strings.Repeat("o", 63))
	if LabelHint(long) != "" || long == plainName(strings.Repeat("s", 63), "o") {
		t.Errorf("the name %q of a long service", long)
	}
}
