package gns

import (
	"fmt"
	"strings"

	"golang.org/x/net/publicsuffix"

	"evenkeel.dev/mesh"
)

// special are top-level names that something else than DNS servers answers, each with what does.
var special = map[string]string{
	"local": "multicast DNS (RFC 6762), and Kubernetes' cluster.local", "localhost": "the machine itself (RFC 6761)", "invalid": "nobody (RFC 6761)", "onion": "Tor (RFC 7686)",
}

// maxDomain leaves room for the longest service name and a dot within the 253 characters of a DNS name.
const maxDomain = 253 - 64

// domain checks a domain and returns it as domains are compared, or "".
func (r *run) domain(d *mesh.Document, text string) string {
	const path = "spec.domain"
	if !r.Text(path, "write for example domain: shop.internal") {
		return ""
	}
	name := Domain(text)
	if len(name) > maxDomain {
		r.Wrong(path, fmt.Sprintf("the domain has %d characters; at most %d are taken", len(name), maxDomain), "")
		return ""
	}
	for label := range strings.SplitSeq(name, ".") {
		if hint := mesh.LabelHint(label); hint != "" {
			r.Wrong(path, fmt.Sprintf("%q is no domain: its part %q is not a DNS label", text, label), domainHint(label, hint))
			return ""
		}
	}
	r.public(d, path, name)
	return name
}

func domainHint(label, hint string) string {
	switch {
	case label == "":
		return "write names with one dot between them"
	case strings.ContainsFunc(label, func(c rune) bool { return c > 127 }):
		return "write it as it stands in DNS, with xn--"
	}
	return hint
}

// Domain returns a domain as it is compared: in lower case, without a dot at its end.
func Domain(text string) string { return strings.ToLower(strings.TrimSuffix(text, ".")) }

// public tells of a domain that is answered by somebody else.
func (r *run) public(d *mesh.Document, path, name string) {
	const hint = "take one that public DNS cannot resolve, for example shop.internal"
	top := name[strings.LastIndexByte(name, '.')+1:]
	if by := special[top]; by != "" {
		r.Warn(path, fmt.Sprintf("names under %s are answered by %s", top, by), hint)
		return
	}
	suffix, icann := publicsuffix.PublicSuffix(name)
	switch listed := icann || strings.Contains(suffix, "."); { // for what is not on the list it answers the last part
	case !listed:
	case suffix == name:
		r.Wrong(path, fmt.Sprintf("%s is a public suffix: the names of everybody under it would be taken", name), hint)
	default:
		r.Warn(path, fmt.Sprintf("%s is under the public suffix %s: public DNS may resolve it to something else", name, suffix), hint)
	}
}
