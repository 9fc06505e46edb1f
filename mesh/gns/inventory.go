package gns

import (
	"fmt"

	"evenkeel.dev/mesh"
	"evenkeel.dev/mesh/member"
)

// KindInventory is the kind of a file that says what there is. It is no definition: nothing keeps it.
var KindInventory = mesh.Kind{APIVersion: mesh.KindGlobalNamespace.APIVersion, Kind: "Inventory"}

type inventoryObject struct {
	APIVersion string        `json:"apiVersion"`
	Kind       string        `json:"kind"`
	Metadata   mesh.Metadata `json:"metadata"`
	Spec       struct {
		Clusters []member.Cluster `json:"clusters"`
	} `json:"spec"`
}

// Inventory reads the one document of an inventory file.
func Inventory(docs []mesh.Document) (member.Inventory, []mesh.Problem) {
	var inv member.Inventory
	if len(docs) == 0 {
		return inv, nil
	}
	r, d := &run{}, &docs[0]
	r.Turn(d)
	if (mesh.Kind{APIVersion: d.APIVersion, Kind: d.Kind}) != KindInventory {
		r.Wrong("kind", fmt.Sprintf("%s of %s is no inventory", d.Kind, d.APIVersion), "write apiVersion: "+KindInventory.APIVersion+" and kind: Inventory")
		return inv, r.Problems
	}
	if len(docs) > 1 {
		r.Problems = append(r.Problems, docs[1].Problem("", "an inventory is one document", "join their clusters"))
	}
	var o inventoryObject
	r.Problems = append(r.Problems, d.Decode("", &o)...)
	if d.Value("spec.clusters") == nil {
		r.Missing("spec.clusters", "write for example clusters: [{name: eu-1, namespaces: [{name: shop}]}]")
	}
	names := uniques{r, d, map[string]bool{}}
	for i := range o.Spec.Clusters {
		names.cluster(fmt.Sprintf("spec.clusters[%d]", i), &o.Spec.Clusters[i])
	}
	inv.Clusters = o.Spec.Clusters
	return inv, mesh.SortProblems(r.Problems)
}

// uniques checks the names of an inventory: each thing has one, and another one than its neighbours.
type uniques struct {
	*run
	d     *mesh.Document
	taken map[string]bool
}

func (u *uniques) name(path, what, around, name string) {
	at := path + ".name"
	if !u.Text(at, "each has a name") {
		return
	}
	key := what + "\x00" + around + "\x00" + name
	if u.taken[key] {
		u.Wrong(at, fmt.Sprintf("the %s %q stands twice", what, name), "join them, or rename one")
	}
	u.taken[key] = true
}

func (u *uniques) cluster(path string, c *member.Cluster) {
	u.name(path, "cluster", "", c.Name)
	for i := range c.Nodes {
		u.name(fmt.Sprintf("%s.nodes[%d]", path, i), "node", c.Name, c.Nodes[i].Name)
	}
	for i := range c.Namespaces {
		at, ns := fmt.Sprintf("%s.namespaces[%d]", path, i), &c.Namespaces[i]
		u.name(at, "namespace", c.Name, ns.Name)
		for j := range ns.Services {
			u.name(fmt.Sprintf("%s.services[%d]", at, j), "service", c.Name+"/"+ns.Name, ns.Services[j].Name)
		}
	}
}
