package mesh

import (
	"crypto/sha256"
	"encoding/hex"
	"strings"
)

// KindPlain is the kind of a document that says none: a file of Sloth as its command line reads it, with "version: prometheus/v1",
// service and slos where a definition has apiVersion, kind and metadata.
const KindPlain = "PrometheusServiceLevel"

const plainVersions = "prometheus/"

// isPlain reports whether a map is such a document. One that has an apiVersion or a kind is a definition, and told what it lacks.
func isPlain(root *Node) bool {
	v := root.Get("version")
	return root.Get("apiVersion") == nil && root.Get("kind") == nil && v != nil && v.Kind == NodeString && strings.HasPrefix(v.Text, plainVersions)
}

// plainHeader fills in what identifies a plain document. Its version is its API version. Its name is made of its service and of its
// first SLO: several files of one service are usual, and one must not quietly take the place of the other.
func (d *Document) plainHeader() []Problem {
	d.APIVersion, d.Kind = d.Root.Get("version").Text, KindPlain
	service := d.Node("service")
	if service == nil || service.Kind != NodeString || service.Text == "" {
		return []Problem{d.Problem("service", "service is missing", "name the service whose SLOs these are")}
	}
	first := ""
	if n := d.Node("slos[0].name"); n != nil && n.Kind == NodeString {
		first = n.Text
	}
	d.Name = plainName(service.Text, first)
	return nil
}

// digestLength is how many digits of a digest tell apart what has no plain name: 48 bits.
const digestLength = 12

// plainName returns the name under which the catalogue keeps a plain document: "<service>--<first SLO>". Where those are no DNS labels
// or too long together it is "<service, as far as it goes>---<digest>". Different pairs have different names.
func plainName(service, first string) string {
	if name := service + "--" + first; LabelHint(name) == "" && single(service) && single(first) {
		return name
	}
	sum := sha256.Sum256([]byte(service + "\x00" + first))
	digest := hex.EncodeToString(sum[:])[:digestLength]
	slug := Slug(service)
	slug = strings.TrimRight(slug[:min(len(slug), 63-len("---")-digestLength)], "-")
	if slug == "" {
		slug = "service"
	}
	return slug + "---" + digest
}

// single reports whether s is a DNS label without "--", which separates two of them.
func single(s string) bool { return LabelHint(s) == "" && !strings.Contains(s, "--") }
