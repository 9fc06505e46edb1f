package main

import (
	"context"
	"fmt"
	"net/url"
	"slices"
	"strings"
	"time"

	"evenkeel.dev/console"
	"evenkeel.dev/mesh/inventory"
)

// meshLists are the words after "get" that show what runs, and not what is defined.
var meshLists = map[string]func(*cli, context.Context, *getFlags) error{
	"service": (*cli).getServices, "services": (*cli).getServices, "svc": (*cli).getServices,
	"instance": (*cli).getInstances, "instances": (*cli).getInstances, "pods": (*cli).getInstances,
	"cluster": (*cli).getClusters, "clusters": (*cli).getClusters,
	"gns": (*cli).getGlobalNamespaces, "globalnamespaces": (*cli).getGlobalNamespaces,
	"group": (*cli).getGroups, "groups": (*cli).getGroups, "resourcegroups": (*cli).getGroups,
}

// meshQuery is what a list of the mesh is asked for.
func (f *getFlags) meshQuery() url.Values {
	q := url.Values{}
	for name, v := range map[string]string{"gns": f.gns, "cluster": f.cluster, "service": f.service, "state": f.state} {
		if v != "" {
			q.Set(name, v)
		}
	}
	return q
}

// meshList asks for a list of the mesh and prints it as rows.
func meshList[T any](c *cli, ctx context.Context, f *getFlags, path, none string, widths []int, head []string, row func(*T) []string) error {
	var in console.MeshList[T]
	printed, err := c.fetch(ctx, path, f.meshQuery(), f.output, &in)
	if err != nil || printed {
		return err
	}
	if len(in.Items) == 0 {
		fmt.Fprintln(c.err, none)
		return nil
	}
	rows := [][]string{head}
	for i := range in.Items {
		cells := row(&in.Items[i])
		for j := range cells {
			cells[j] = clean(cells[j])
		}
		rows = append(rows, cells)
	}
	return table(c.out, widths, rows)
}

func (c *cli) getServices(ctx context.Context, f *getFlags) error {
	return meshList(c, ctx, f, "/api/v1/services", "No services are known. Observe a cluster ('evenkeel run --observe', 'evenkeel cluster attach') or define an ExternalService.",
		[]int{16, 30, 8, 9, 10, 10, 12, 30, 30, 24}, []string{"GLOBAL NS", "SERVICE", "STATE", "READY", "RPS", "ERRORS", "P99", "VERSIONS", "CLUSTERS", "WHY"}, func(v *console.ServiceRow) []string {
			return slices.Concat([]string{v.GlobalNamespace, v.Name, v.State, readyOf(v.Ready, v.Desired)}, trafficCells(v.Traffic), []string{strings.Join(v.Versions, " "), strings.Join(v.Clusters, " "), v.Reason})
		})
}

func readyOf(ready, desired int) string { return fmt.Sprintf("%d/%d", ready, desired) }

func (c *cli) getInstances(ctx context.Context, f *getFlags) error {
	return meshList(c, ctx, f, "/api/v1/instances", "No instances are known.",
		[]int{16, 20, 20, 16, 40, 16, 8, 24, 20}, []string{"GLOBAL NS", "SERVICE", "VERSION", "CLUSTER", "INSTANCE", "NODE", "STATE", "WHY", "AGE"}, func(v *inventory.InstanceView) []string {
			return []string{v.GlobalNamespace, v.Service, v.Version, v.Cluster, v.Namespace + "/" + v.Name, v.Node, v.State, v.Reason, ageOf(v.Created)}
		})
}

// ageOf returns how long ago a time was, for people.
func ageOf(text string) string {
	t, err := time.Parse(time.RFC3339, text)
	if err != nil {
		return ""
	}
	switch d := time.Since(t); {
	case d < 2*time.Minute:
		return fmt.Sprintf("%ds", int(d.Seconds()))
	case d < 2*time.Hour:
		return fmt.Sprintf("%dm", int(d.Minutes()))
	case d < 48*time.Hour:
		return fmt.Sprintf("%dh", int(d.Hours()))
	default:
		return fmt.Sprintf("%dd", int(d.Hours()/24))
	}
}

func (c *cli) getClusters(ctx context.Context, f *getFlags) error {
	return meshList(c, ctx, f, "/api/v1/clusters", "No clusters are known. Observe one with 'evenkeel run --observe NAME', or attach one: evenkeel cluster attach NAME",
		[]int{24, 10, 30, 10, 8, 9, 9, 8, 30}, []string{"CLUSTER", "STATE", "WHY", "VERSION", "NODES", "SERVICES", "INSTANCES", "HEARD", "GLOBAL NS"}, func(v *inventory.ClusterView) []string {
			return []string{v.Name, v.State, v.Reason, v.Version, readyOf(v.NodesReady, v.Nodes), fmt.Sprint(v.Services), fmt.Sprint(v.Instances), ageOf(v.LastHeard), strings.Join(v.GlobalNamespaces, " ")}
		})
}

func (c *cli) getGlobalNamespaces(ctx context.Context, f *getFlags) error {
	return meshList(c, ctx, f, "/api/v1/gns", "No global namespaces are defined; see docs/global-namespaces.md.",
		[]int{20, 30, 10, 8, 9, 10, 10, 12, 8, 10, 10, 30}, []string{"GLOBAL NS", "DOMAIN", "MTLS", "STATE", "READY", "RPS", "ERRORS", "P99", "SERVICES", "NAMESPACES", "CANDIDATES", "CLUSTERS"}, func(v *console.GlobalNamespaceView) []string {
			return slices.Concat([]string{v.Name, v.Domain, v.MTLS, v.State, readyOf(v.Ready, v.Desired)}, trafficCells(v.Traffic), []string{fmt.Sprint(v.Services), fmt.Sprint(v.Namespaces), fmt.Sprint(v.Candidates), strings.Join(v.Clusters, " ")})
		})
}

func (c *cli) getGroups(ctx context.Context, f *getFlags) error {
	return meshList(c, ctx, f, "/api/v1/groups", "No resource groups are defined; see docs/global-namespaces.md.",
		[]int{16, 24, 8, 6, 8, 9, 10, 10, 12, 60}, []string{"GLOBAL NS", "GROUP", "KIND", "HOLDS", "STATE", "READY", "RPS", "ERRORS", "P99", "WHAT"}, func(v *console.GroupRow) []string {
			var names []string
			for _, x := range v.Resources {
				names = append(names, x.String())
			}
			return slices.Concat([]string{v.GlobalNamespace, v.Name, v.Kind, fmt.Sprint(len(v.Resources)), v.State, readyOf(v.Ready, v.Desired)}, trafficCells(v.Traffic), []string{strings.Join(names, " ")})
		})
}
