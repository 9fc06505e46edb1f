package app

import (
	"cmp"
	"slices"
	"strings"

	"evenkeel.dev/console"
	"evenkeel.dev/mesh"
	"evenkeel.dev/mesh/gns"
	"evenkeel.dev/mesh/member"
)

// A Tried is what definitions of global namespaces and groups would make of an inventory.
type Tried struct {
	member.Membership
	Groups []TriedGroup `json:"groups"` // by global namespace and name
}

// A TriedGroup is a resource group with what it would hold.
type TriedGroup struct {
	Name            string            `json:"name"`
	GlobalNamespace string            `json:"globalNamespace,omitempty"` // "" is the whole organisation
	Kind            string            `json:"kind"`
	Resources       []member.Resource `json:"resources"`
}

// Try decides who of an inventory, which is one file, would belong to what, by definitions that were checked. Problems are those of the inventory.
func Try(definitions []mesh.Definition, inventory []console.File) (*Tried, []mesh.Problem, error) {
	docs, problems := parse(inventory)
	if len(docs)+len(problems) == 0 {
		problems = []mesh.Problem{{File: inventory[0].Name, Message: "there is no inventory in the file", Hint: "write apiVersion, kind: Inventory, metadata and spec.clusters"}}
	}
	inv, ps := gns.Inventory(docs)
	if problems = mesh.SortProblems(append(problems, ps...)); len(problems) > 0 {
		return nil, problems, nil
	}
	spaces, groups, err := gns.Decode(definitions)
	if err != nil {
		return nil, nil, err
	}
	t := &Tried{Membership: member.MembersOf(spaces, inv), Groups: []TriedGroup{}}
	for i := range groups {
		g := &groups[i]
		t.Groups = append(t.Groups, TriedGroup{g.Name, g.GlobalNamespace, g.Kind, g.Of(inv, &t.Membership)})
	}
	slices.SortFunc(t.Groups, func(a, b TriedGroup) int {
		return cmp.Or(strings.Compare(a.GlobalNamespace, b.GlobalNamespace), strings.Compare(a.Name, b.Name))
	})
	return t, nil, nil
}
