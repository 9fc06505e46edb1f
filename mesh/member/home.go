package member

import (
	"slices"
	"strings"
)

// Home returns the global namespace that a namespace of a cluster, or with svc a service in it, is a member of, or "". It is what
// [MembersOf] says of that place, without looking at others.
func Home(gs []GlobalNamespace, c *Cluster, ns *Namespace, svc *Service) string {
	s := site{c, ns, svc}
	home := ""
	for i := range gs {
		v := gs[i].judge(&s)
		if v == nil || v.Reason != ReasonAccepted {
			continue
		}
		if home != "" {
			return "" // contested
		}
		home = gs[i].Name
	}
	return home
}

// Admits reports whether a resource is in the group.
func (g *Group) Admits(x *Resource) bool {
	return x.Kind == g.Kind && (g.GlobalNamespace == "" || slices.Contains(x.GlobalNamespaces, g.GlobalNamespace)) && g.Rules.Holds(x)
}

// Compare orders resources by kind, cluster, namespace and name.
func (x *Resource) Compare(o *Resource) int {
	return strings.Compare(x.path(), o.path())
}

func (x *Resource) path() string {
	return strings.Join([]string{x.Kind, x.Cluster, x.Namespace, x.Name}, "\x00")
}
