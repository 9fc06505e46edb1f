package discovery

import (
	"cmp"
	"hash/fnv"
	"net/netip"
	"slices"
	"strings"
	"time"

	"evenkeel.dev/bus"
	"evenkeel.dev/mesh/member"
)

// Config bounds answers. Zero fields are the defaults.
type Config struct {
	TTL        time.Duration // 5 s; of what there is not, too
	DropAfter  time.Duration // 2 min: how long what was last known of a dark cluster is answered
	MaxRecords int           // 20: with it an answer fits into 1,232 bytes
	Enough     int           // 2: nearer places alone are answered when they have so many addresses
}

// A Table answers questions about one [View]. Make a new one when the view or the definitions change; it is read only.
type Table struct {
	cfg        Config
	domains    map[string]string // domain to global namespace
	services   map[string]map[string]*Service
	membership *member.Membership
	clusters   map[string]*Cluster
}

// NewTable returns one.
func NewTable(gs []member.GlobalNamespace, m *member.Membership, v *View, c Config) *Table {
	c.TTL, c.DropAfter = cmp.Or(c.TTL, 5*time.Second), cmp.Or(c.DropAfter, DropAfter)
	c.MaxRecords, c.Enough = cmp.Or(c.MaxRecords, 20), cmp.Or(c.Enough, 2)
	t := &Table{cfg: c, domains: map[string]string{}, services: map[string]map[string]*Service{}, membership: m, clusters: map[string]*Cluster{}}
	for i := range gs {
		t.domains[gs[i].Domain] = gs[i].Name
		t.services[gs[i].Name] = map[string]*Service{}
	}
	for i := range v.Clusters {
		t.clusters[v.Clusters[i].Name] = &v.Clusters[i]
	}
	found := Services(gs, m, v)
	for i := range found {
		t.services[found[i].GlobalNamespace][found[i].Name] = &found[i]
	}
	return t
}

// Types of a question that have answers; of all others there is nothing.
const (
	TypeA    = "A"
	TypeAAAA = "AAAA"
	TypeSRV  = "SRV"
)

// A Viewer is who asks: what is answered, and what stands first, depends on it.
type Viewer struct {
	Place  member.Place // its cluster and namespace, and its service where that is known
	Region string
	Zone   string
}

// Codes of an [Answer].
const (
	CodeNoError  = "NOERROR"
	CodeNXDomain = "NXDOMAIN" // there is no such name, nor one below it
	CodeNotOurs  = "NotOurs"  // the name is of no global namespace: ask on as if there were none
)

// Reasons of an [Answer] without records.
const (
	ReasonNoSuchService  = "NoSuchService"
	ReasonNoSuchPort     = "NoSuchPort"
	ReasonNoSuchInstance = "NoSuchInstance"
	ReasonNoneReady      = "NoneReady"            // the service is there, and nothing of it can be called from here
	ReasonOther          = "OtherGlobalNamespace" // who asks is no member: to him the name does not exist
	ReasonNoSuchType     = "NoSuchType"           // the name has records of other types
)

// An Answer is what is answered. NOERROR without records is NODATA.
type Answer struct {
	Code    string
	Reason  string        // of no records
	TTL     time.Duration // of all records, or of there being none
	Records []Record
	Left    int // addresses that the bound kept out
}

// A Record is one of DNS.
type Record struct {
	Name     string
	Type     string
	Value    string // an address, or the target of an SRV
	Priority int    // of an SRV: 0 the same zone, 1 the same region, 2 the same cluster, 3 others
	Weight   int
	Port     int
}

// Resolve answers a question. The name may have capitals and a dot at its end.
func (t *Table) Resolve(name, kind string, by Viewer, now bus.Time) Answer {
	name = strings.ToLower(strings.TrimSuffix(name, "."))
	domain, labels, ok := t.split(name)
	if !ok {
		return Answer{Code: CodeNotOurs}
	}
	gns := t.domains[domain]
	home := cmp.Or(t.membership.Of(by.Place), t.membership.Of(member.Place{Cluster: by.Place.Cluster, Namespace: by.Place.Namespace}))
	if home != gns {
		return t.none(CodeNXDomain, ReasonOther)
	}
	if len(labels) == 0 {
		return t.none(CodeNoError, ReasonNoSuchType)
	}
	s := t.services[gns][labels[len(labels)-1]]
	if s == nil {
		return t.none(CodeNXDomain, ReasonNoSuchService)
	}
	q := question{t, s, name, kind, by, now}
	switch rest := labels[:len(labels)-1]; {
	case len(rest) == 0:
		return q.addresses()
	case len(rest) == 1 && (rest[0] == "_tcp" || rest[0] == "_udp"):
		return t.none(CodeNoError, ReasonNoSuchType) // names stand below it
	case len(rest) == 1:
		return q.instance(rest[0])
	case len(rest) == 2 && strings.HasPrefix(rest[0], "_"):
		return q.ports(rest[0][1:], rest[1])
	}
	return t.none(CodeNXDomain, ReasonNoSuchInstance)
}

// split finds the longest domain that a name is in, and the labels before it.
func (t *Table) split(name string) (domain string, labels []string, ok bool) {
	for rest := name; ; {
		if _, ok := t.domains[rest]; ok {
			if before := strings.TrimSuffix(strings.TrimSuffix(name, rest), "."); before != "" {
				labels = strings.Split(before, ".")
			}
			return rest, labels, true
		}
		_, after, more := strings.Cut(rest, ".")
		if !more {
			return "", nil, false
		}
		rest = after
	}
}

func (t *Table) none(code, reason string) Answer {
	return Answer{Code: code, Reason: reason, TTL: t.cfg.TTL}
}

// A question is one about a service.
type question struct {
	*Table
	service *Service
	name    string
	kind    string
	by      Viewer
	now     bus.Time
}

// An endpoint is an address that the one who asks can call.
type endpoint struct {
	ip   netip.Addr
	tier int
	site *Site
	hash uint64 // orders equals, another way for each place that asks
}

// endpoints returns what is ready and can be reached, nearest first, each address once.
func (q *question) endpoints() []endpoint {
	var out []endpoint
	own := q.clusters[q.by.Place.Cluster]
	for i := range q.service.Sites {
		site := &q.service.Sites[i]
		c := site.Cluster
		lost := c != own && c.Lost(q.now, q.cfg.DropAfter) // who asks from it proves that it lives
		if lost || own != nil && !own.Reaches(c) {
			continue
		}
		for _, x := range site.Instances {
			if !Ready(x) {
				continue
			}
			ip, _ := netip.ParseAddr(x.IP)
			region, zone := c.Locality(x)
			out = append(out, endpoint{ip.Unmap(), q.tier(c, region, zone), site, q.hash(x.IP)})
		}
	}
	slices.SortFunc(out, func(a, b endpoint) int {
		return cmp.Or(cmp.Compare(a.tier, b.tier), cmp.Compare(a.hash, b.hash), a.ip.Compare(b.ip))
	})
	seen := map[netip.Addr]bool{}
	return slices.DeleteFunc(out, func(e endpoint) bool {
		twice := seen[e.ip]
		seen[e.ip] = true
		return twice
	})
}

func (q *question) tier(c *Cluster, region, zone string) int {
	switch {
	case zone != "" && zone == q.by.Zone && region == q.by.Region:
		return 0
	case region != "" && region == q.by.Region:
		return 1
	case c.Name == q.by.Place.Cluster:
		return 2
	}
	return 3
}

func (q *question) hash(ip string) uint64 {
	h := fnv.New64a()
	for _, part := range []string{q.by.Place.Cluster, q.by.Zone, q.by.Place.Namespace, q.by.Place.Service, q.service.Name, ip} {
		h.Write([]byte(part))
		h.Write([]byte{0})
	}
	x := h.Sum64()
	x = (x ^ x>>30) * 0xbf58476d1ce4e5b9 // the finalizer of splitmix64: FNV's last bytes reach the top bits too little
	x = (x ^ x>>27) * 0x94d049bb133111eb
	return x ^ x>>31
}

// addresses answers for the service itself: nearer places alone, when they have enough.
func (q *question) addresses() Answer {
	if q.kind != TypeA && q.kind != TypeAAAA {
		return q.none(CodeNoError, ReasonNoSuchType)
	}
	all := q.endpoints()
	es := slices.DeleteFunc(slices.Clone(all), func(e endpoint) bool { return e.ip.Is4() != (q.kind == TypeA) })
	switch {
	case len(es) == 0 && len(all) > 0:
		return q.none(CodeNoError, ReasonNoSuchType)
	case len(es) == 0:
		return q.none(CodeNoError, ReasonNoneReady)
	}
	n := len(es)
	for i := 1; i < len(es); i++ {
		if es[i].tier != es[i-1].tier && i >= q.cfg.Enough {
			n = i
			break
		}
	}
	a := Answer{Code: CodeNoError, TTL: q.cfg.TTL, Left: max(0, n-q.cfg.MaxRecords)}
	for _, e := range es[:min(n, q.cfg.MaxRecords)] {
		a.Records = append(a.Records, Record{Name: q.name, Type: q.kind, Value: e.ip.String()})
	}
	return a
}

// label returns the name of an address below its service.
func label(ip netip.Addr) string {
	if ip.Is4() {
		return strings.ReplaceAll(ip.String(), ".", "-")
	}
	return "v6-" + strings.ReplaceAll(ip.StringExpanded(), ":", "-")
}

// instance answers for one address by its label.
func (q *question) instance(name string) Answer {
	for _, e := range q.endpoints() {
		if label(e.ip) != name {
			continue
		}
		if e.ip.Is4() && q.kind == TypeA || !e.ip.Is4() && q.kind == TypeAAAA {
			return Answer{Code: CodeNoError, TTL: q.cfg.TTL, Records: []Record{{Name: q.name, Type: q.kind, Value: e.ip.String()}}}
		}
		return q.none(CodeNoError, ReasonNoSuchType)
	}
	return q.none(CodeNXDomain, ReasonNoSuchInstance)
}

// ports answers for a named port, with all places in the order of their nearness.
func (q *question) ports(port, protocol string) Answer {
	known := false
	a := Answer{Code: CodeNoError, TTL: q.cfg.TTL}
	for _, e := range q.endpoints() {
		if target := e.site.port(port, protocol); target > 0 {
			a.Records = append(a.Records, Record{Name: q.name, Type: TypeSRV, Value: label(e.ip) + "." + q.service.Hostname(), Priority: e.tier, Weight: 1, Port: target})
		}
	}
	for i := range q.service.Sites {
		known = known || q.service.Sites[i].port(port, protocol) >= 0
	}
	switch {
	case !known:
		return q.none(CodeNXDomain, ReasonNoSuchPort)
	case q.kind != TypeSRV:
		return q.none(CodeNoError, ReasonNoSuchType)
	case len(a.Records) == 0:
		return q.none(CodeNoError, ReasonNoneReady)
	}
	if a.Left = max(0, len(a.Records)-q.cfg.MaxRecords); a.Left > 0 {
		a.Records = a.Records[:q.cfg.MaxRecords]
	}
	return a
}

// port returns the instances' port behind a named one; -1 where there is none, 0 where its number is not known: the cluster names it otherwise.
func (s *Site) port(name, protocol string) int {
	for _, p := range s.Host.Ports {
		if strings.EqualFold(p.Name, name) && "_"+strings.ToLower(cmp.Or(p.Protocol, "TCP")) == protocol {
			return p.Target
		}
	}
	return -1
}
