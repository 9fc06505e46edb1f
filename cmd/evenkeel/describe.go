package main

import (
	"context"
	"fmt"
	"io"
	"maps"
	"net/url"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"evenkeel.dev/console"
	"evenkeel.dev/mesh/calls"
	"evenkeel.dev/mesh/inventory"
	"evenkeel.dev/mesh/member"
)

func describeCommand(c *cli) *cobra.Command {
	var gns string
	cmd := &cobra.Command{
		Use:   "describe KIND/NAME",
		Short: "Show all that is known of a service, an instance, a cluster, a global namespace or a group",
		Long: `Describe shows one thing with what stands around it: of a service its places, versions and instances, of a global namespace its members and
why others are not, of a cluster its state and how old that knowledge is.

KIND is service, instance, cluster, gns or group; 'get KIND/NAME' shows a definition as it was written. It exits with 1 when there is no such thing.`,
		Example: "  evenkeel describe service/cart --gns shop\n  evenkeel describe gns/shop\n  evenkeel describe cluster/eu-1",
		Args:    cobra.RangeArgs(1, 2),
	}
	cmd.Flags().StringVar(&gns, "gns", "", "only in this global namespace")
	cmd.RunE = do(func(cmd *cobra.Command, args []string) error {
		kind, name, ok := strings.Cut(strings.Join(args, "/"), "/")
		if !ok {
			return wrongUsage("%q is no KIND/NAME; for example service/cart", args[0])
		}
		show := map[string]func(context.Context, string, string) error{
			"service": c.describeService, "services": c.describeService, "svc": c.describeService,
			"instance": c.describeInstance, "instances": c.describeInstance, "pod": c.describeInstance, "pods": c.describeInstance,
			"cluster": c.describeCluster, "clusters": c.describeCluster, "gns": c.describeGlobalNamespace, "globalnamespace": c.describeGlobalNamespace,
			"group": c.describeGroup, "groups": c.describeGroup, "resourcegroup": c.describeGroup,
		}[strings.ToLower(kind)]
		if show == nil {
			return wrongUsage("describe does not know %q; it knows service, instance, cluster, gns and group", kind)
		}
		return show(cmd.Context(), gns, name)
	})
	return cmd
}

// askMesh asks for the things of a name; that there is none is a "no".
func askMesh[T any](c *cli, ctx context.Context, path, gns, name, what string) ([]T, error) {
	q := url.Values{"name": {name}}
	if gns != "" {
		q.Set("gns", gns)
	}
	var in console.MeshList[T]
	if _, err := c.fetch(ctx, path, q, "", &in); err != nil {
		return nil, err
	}
	if len(in.Items) == 0 {
		return nil, answerNo("there is no %s %s", what, name)
	}
	return in.Items, nil
}

// describeEach shows each of the things of a name: there may be one in several global namespaces.
func describeEach[T any](c *cli, ctx context.Context, path, gns, name, what string, show func(*T) error) error {
	all, err := askMesh[T](c, ctx, path, gns, name, what)
	if err != nil {
		return err
	}
	for i := range all {
		if i > 0 {
			fmt.Fprintln(c.out)
		}
		if err := show(&all[i]); err != nil {
			return err
		}
	}
	return nil
}

// facts writes lines of a name and a value; what is empty is left out.
func facts(w io.Writer, pairs ...string) {
	for i := 0; i+1 < len(pairs); i += 2 {
		if pairs[i+1] != "" {
			fmt.Fprintf(w, "%-19s%s\n", pairs[i]+":", clean(pairs[i+1]))
		}
	}
}

func labelText(ls map[string]string) string {
	var out []string
	for _, k := range slices.Sorted(maps.Keys(ls)) {
		out = append(out, k+"="+ls[k])
	}
	return strings.Join(out, ", ")
}

func (c *cli) describeService(ctx context.Context, gns, name string) error {
	return describeEach(c, ctx, "/api/v1/services", gns, name, "service", func(v *console.ServiceRow) error {
		facts(c.out, "Service", v.Name, "Global namespace", v.GlobalNamespace, "State", joinReason(v.State, v.Reason), "Ready", readyOf(v.Ready, v.Desired), "Traffic", trafficText(v.Traffic))
		rows := [][]string{{"CLUSTER", "NAMESPACE", "VERSION", "STATE", "READY", "HOSTS", "IMAGES"}}
		for _, p := range v.Places {
			for _, ver := range p.Versions {
				rows = append(rows, []string{orDash(p.Cluster), p.Namespace, ver.Name, joinReason(ver.State, ver.Reason), readyOf(ver.Ready, ver.Instances), strings.Join(p.Hosts, " "), clean(strings.Join(ver.Images, " "))})
			}
		}
		fmt.Fprintln(c.out)
		if err := table(c.out, []int{20, 24, 24, 36, 8, 24, 100}, rows); err != nil {
			return err
		}
		fmt.Fprintln(c.out)
		f := getFlags{gns: v.GlobalNamespace, service: v.Name}
		if err := c.getInstances(ctx, &f); err != nil {
			return err
		}
		return c.neighbours(ctx, v.GlobalNamespace, v.Name)
	})
}

// trafficText are the golden signals of the last five minutes; "" where no calls were seen.
func trafficText(f *calls.Figures) string {
	if f == nil {
		return ""
	}
	cells := trafficCells(f)
	return cells[0] + " requests/s, errors " + cells[1] + ", p99 " + cells[2]
}

func joinReason(state, reason string) string {
	if reason == "" {
		return state
	}
	return state + " (" + reason + ")"
}

func orDash(s string) string {
	if s == "" {
		return "-"
	}
	return s
}

func (c *cli) describeInstance(ctx context.Context, gns, name string) error {
	if _, pod, ok := strings.Cut(name, "/"); ok {
		name = pod
	}
	return describeEach(c, ctx, "/api/v1/instances", gns, name, "instance", func(v *inventory.InstanceView) error {
		facts(c.out, "Instance", v.Name, "Cluster", v.Cluster, "Namespace", v.Namespace, "Global namespace", v.GlobalNamespace, "Service", v.Service, "Version", v.Version,
			"State", joinReason(v.State, v.Reason), "Workload", v.Workload, "Node", v.Node, "Address", v.IP, "Service account", v.Account, "Identity", v.Identity,
			"Restarts", fmt.Sprint(v.Restarts), "Created", v.Created, "Labels", labelText(v.Labels))
		for _, img := range v.Images {
			facts(c.out, "Container "+img.Container, strings.TrimSpace(img.Name+" "+img.Digest))
		}
		return nil
	})
}

func (c *cli) describeCluster(ctx context.Context, _, name string) error {
	all, err := askMesh[inventory.ClusterView](c, ctx, "/api/v1/clusters", "", name, "cluster")
	if err != nil {
		return err
	}
	v := &all[0]
	defined := "no: it is observed by the settings of the engine"
	if v.Defined {
		defined = "yes: evenkeel get cluster/" + v.Name
	}
	facts(c.out, "Cluster", v.Name, "Display name", v.DisplayName, "State", joinReason(v.State, v.Reason), "Since", v.Since, "Last heard", v.LastHeard,
		"Age", fmt.Sprintf("%.0f s", v.AgeSeconds), "Kubernetes", v.Version, "Region", v.Region, "Zone", v.Zone, "Labels", labelText(v.Labels), "Defined", defined,
		"Global namespaces", strings.Join(v.GlobalNamespaces, " "), "Namespaces", fmt.Sprint(v.Namespaces), "Nodes", readyOf(v.NodesReady, v.Nodes)+" ready",
		"Services", fmt.Sprint(v.Services), "Instances", fmt.Sprint(v.Instances))
	if v.Left > 0 {
		facts(c.out, "Left out", fmt.Sprintf("%d objects, being over a bound", v.Left))
	}
	return nil
}

func (c *cli) describeGlobalNamespace(ctx context.Context, _, name string) error {
	all, err := askMesh[console.GlobalNamespaceView](c, ctx, "/api/v1/gns", "", name, "global namespace")
	if err != nil {
		return err
	}
	v := &all[0]
	facts(c.out, "Global namespace", v.Name, "Domain", v.Domain, "mTLS", v.MTLS, "State", v.State, "Services", fmt.Sprint(v.Services), "Ready", readyOf(v.Ready, v.Desired), "Traffic", trafficText(v.Traffic), "Clusters", strings.Join(v.Clusters, " "))
	if v.Membership == nil {
		return nil
	}
	fmt.Fprintln(c.out)
	rows := [][]string{{"IS", "CLUSTER", "NAMESPACE", "SERVICE", "WHY"}}
	add := func(is string, vs []member.Verdict) {
		for _, x := range vs {
			rows = append(rows, []string{is, x.Cluster, x.Namespace, x.Service, x.Why})
		}
	}
	add("member", v.Membership.Members)
	add("candidate", v.Membership.Candidates)
	add("refused", v.Membership.Refused)
	for _, p := range v.Membership.Definers {
		rows = append(rows, []string{"definer", p.Cluster, p.Namespace, "", "definitionsFrom: it may hold definitions for " + v.Name})
	}
	return table(c.out, []int{10, 20, 30, 30, 0}, rows)
}

func (c *cli) describeGroup(ctx context.Context, gns, name string) error {
	return describeEach(c, ctx, "/api/v1/groups", gns, name, "group", func(v *console.GroupRow) error {
		facts(c.out, "Group", v.Name, "Global namespace", v.GlobalNamespace, "Kind", v.Kind, "Holds", fmt.Sprint(len(v.Resources)), "State", v.State)
		if v.Services > 0 {
			facts(c.out, "Ready", readyOf(v.Ready, v.Desired))
		}
		if v.Traffic != nil {
			facts(c.out, "Traffic", trafficText(v.Traffic))
		}
		rows := [][]string{{"CLUSTER", "NAMESPACE", "NAME"}}
		for _, x := range v.Resources {
			rows = append(rows, []string{orDash(x.Cluster), orDash(x.Namespace), x.Name})
		}
		fmt.Fprintln(c.out)
		return table(c.out, []int{24, 30, 60}, rows)
	})
}
