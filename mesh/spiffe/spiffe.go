// Package spiffe has the names of the SPIFFE standard: trust domains and the ids of workloads.
//
//	spiffe://shop.internal/ns/shop-prod/sa/cart
//	         trust domain  path
//
// The rules are those of "The SPIFFE Identity and Verifiable Identity Document", sections 2.1 to 2.3. They are kept strictly: the scheme and the
// trust domain are in lower case, nothing is escaped, and no two texts are the same id.
//
// A global namespace has a trust domain of its own, which is its domain. Domains are unique, and so are trust domains; both are compared in lower
// case and without a dot at the end.
package spiffe

import (
	"fmt"
	"strings"
)

// Bounds of the standard, in bytes.
const (
	MaxTrustDomain = 255
	MaxID          = 2048
)

const scheme = "spiffe://"

// A TrustDomain is the name of one; the zero value is none.
type TrustDomain struct{ name string }

// ParseTrustDomain reads a name such as "shop.internal", without a scheme.
func ParseTrustDomain(name string) (TrustDomain, error) {
	switch {
	case name == "":
		return TrustDomain{}, fmt.Errorf("spiffe: the trust domain is empty")
	case len(name) > MaxTrustDomain:
		return TrustDomain{}, fmt.Errorf("spiffe: the trust domain has %d bytes; at most %d are allowed", len(name), MaxTrustDomain)
	}
	for i := range len(name) {
		if c := name[i]; !(lower(c) || c >= '0' && c <= '9' || c == '.' || c == '-' || c == '_') {
			return TrustDomain{}, fmt.Errorf("spiffe: the trust domain has %q; lower-case letters, digits, \".\", \"-\" and \"_\" are allowed", c)
		}
	}
	return TrustDomain{name}, nil
}

// Of returns the trust domain of a global namespace by its domain.
func Of(domain string) (TrustDomain, error) {
	return ParseTrustDomain(strings.ToLower(strings.TrimSuffix(domain, ".")))
}

// String returns the name, without a scheme.
func (t TrustDomain) String() string { return t.name }

// ID returns the id of the trust domain itself, which a CA has.
func (t TrustDomain) ID() ID { return ID{domain: t} }

// Workload returns the id of a service account, as Istio forms it.
func (t TrustDomain) Workload(namespace, account string) (ID, error) {
	return ParseID(scheme + t.name + "/ns/" + namespace + "/sa/" + account)
}

// An ID is the identity of a workload; the zero value is none. Ids are comparable with ==.
type ID struct {
	domain TrustDomain
	path   string // "/ns/shop-prod/sa/cart", or "" of a trust domain
}

// ParseID reads an id.
func ParseID(text string) (ID, error) {
	rest, ok := strings.CutPrefix(text, scheme)
	switch {
	case len(text) > MaxID:
		return ID{}, fmt.Errorf("spiffe: the id has %d bytes; at most %d are allowed", len(text), MaxID)
	case !ok:
		return ID{}, fmt.Errorf("spiffe: the id does not begin with %s", scheme)
	}
	name, path := rest, ""
	if slash := strings.IndexByte(rest, '/'); slash >= 0 {
		name, path = rest[:slash], rest[slash:]
	}
	domain, err := ParseTrustDomain(name)
	if err != nil {
		return ID{}, err
	}
	if path != "" {
		for segment := range strings.SplitSeq(path[1:], "/") {
			if err := segmentError(segment); err != nil {
				return ID{}, err
			}
		}
	}
	return ID{domain, path}, nil
}

func segmentError(s string) error {
	switch s {
	case "":
		return fmt.Errorf("spiffe: the path has an empty segment, or a slash at its end")
	case ".", "..":
		return fmt.Errorf("spiffe: the path has a segment %q", s)
	}
	for i := range len(s) {
		if c := s[i]; !(lower(c) || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || c == '.' || c == '-' || c == '_') {
			return fmt.Errorf("spiffe: the path has %q; letters, digits, \".\", \"-\" and \"_\" are allowed", c)
		}
	}
	return nil
}

func lower(c byte) bool { return c >= 'a' && c <= 'z' }

// String returns the id, or "" of none.
func (i ID) String() string {
	if i.domain.name == "" {
		return ""
	}
	return scheme + i.domain.name + i.path
}

// TrustDomain returns whose id it is.
func (i ID) TrustDomain() TrustDomain { return i.domain }

// Principal returns the id as Istio's AuthorizationPolicy has it: without the scheme.
func (i ID) Principal() string { return strings.TrimPrefix(i.String(), scheme) }

// Workload returns the namespace and the service account of an id as Istio forms it.
func (i ID) Workload() (namespace, account string, ok bool) {
	parts := strings.Split(i.path, "/") // "", ns, shop-prod, sa, cart
	if len(parts) != 5 || parts[1] != "ns" || parts[3] != "sa" {
		return "", "", false
	}
	return parts[2], parts[4], true
}
