package main

import (
	"cmp"
	"context"
	"fmt"
	"net/url"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"evenkeel.dev/console"
	"evenkeel.dev/mesh"
	"evenkeel.dev/mesh/calls"
	"evenkeel.dev/mesh/istio"
	"evenkeel.dev/mesh/member"
	"evenkeel.dev/mesh/traffic"
	"evenkeel.dev/mesh/yaml"
)

// objectFlags say which objects are asked for.
type objectFlags struct {
	gns, cluster, kind, gateways, output string
	explain                              bool
}

func objectsCommand(c *cli) *cobra.Command {
	var f objectFlags
	var kinds []string
	for _, o := range istio.Outputs() {
		kinds = append(kinds, o.Name())
	}
	cmd := &cobra.Command{
		Use:   "objects",
		Short: "Print the Kubernetes objects that a cluster would get by the policies that stand",
		Long: `Objects compiles global namespaces, EncryptionPolicies and TrafficPolicies, with what runs where, into objects of Istio or of the Gateway API, and
prints them as YAML, for review or for kubectl apply. The engine applies none of them by itself, whatever their mode says.

What the output cannot do as it was wished is told on the standard error. With --explain it prints how each global namespace is kept apart from others
in each cluster, and why. docs/encryption.md says what each output can do.`,
		Example: "  evenkeel mesh objects --gns shop --cluster eu-1 > shop.yaml\n  evenkeel mesh objects --gns shop --cluster eu-1 --output-kind ambient | kubectl diff -f -\n  evenkeel mesh objects --explain",
		Args:    cobra.NoArgs,
	}
	fs := cmd.Flags()
	fs.StringVar(&f.gns, "gns", "", "only objects of this global namespace")
	fs.StringVar(&f.cluster, "cluster", "", "only objects for this cluster; without it those of all follow each other, and are not for one kubectl apply")
	fs.StringVar(&f.kind, "output-kind", "sidecar", "what the clusters run: "+strings.Join(kinds, ", "))
	fs.StringVar(&f.gateways, "gateways", "", "namespaces, with commas, whose callers may call all members: gateways, and what looks at everything; istio-system,istio-ingress where nothing is written")
	fs.StringVarP(&f.output, "output", "o", "yaml", "form of the answer: yaml (objects), json (the answer of the API)")
	fs.BoolVar(&f.explain, "explain", false, "print how global namespaces are kept apart, and no objects")
	_ = cmd.RegisterFlagCompletionFunc("output-kind", cobra.FixedCompletions(kinds, cobra.ShellCompDirectiveNoFileComp)) // the flag exists
	cmd.RunE = do(func(cmd *cobra.Command, _ []string) error {
		switch {
		case !slices.Contains(kinds, f.kind):
			return wrongUsage("--output-kind %s is not known; it is %s", f.kind, strings.Join(kinds, ", "))
		case f.output != "yaml" && f.output != "json":
			return wrongUsage("-o %s is not known; it is yaml or json", f.output)
		}
		return c.objects(cmd.Context(), &f)
	})
	return cmd
}

func (f *objectFlags) query() url.Values {
	q := url.Values{"output": {f.kind}}
	for name, v := range map[string]string{"gns": f.gns, "cluster": f.cluster, "gateways": f.gateways} {
		if v != "" {
			q.Set(name, v)
		}
	}
	return q
}

func (c *cli) objects(ctx context.Context, f *objectFlags) error {
	form := f.output
	if form == "yaml" {
		form = ""
	}
	var list console.ObjectList
	if printed, err := c.fetch(ctx, "/api/v1/mesh/objects", f.query(), form, &list); err != nil || printed {
		return err
	}
	if f.explain {
		return c.isolations(list.Isolation)
	}
	clusters := map[string]bool{}
	for i := range list.Items {
		o := &list.Items[i]
		clusters[o.Cluster] = true
		node, err := mesh.ReadJSON(o.Object)
		if err != nil {
			return fmt.Errorf("answer of the server: %w", err)
		}
		text, err := yaml.Format(node)
		if err != nil {
			return err
		}
		if _, err := fmt.Fprintf(c.out, "---\n# cluster %s, global namespace %s, mode %s\n%s", clean(o.Cluster), clean(o.GlobalNamespace), clean(o.Mode), text); err != nil {
			return err
		}
	}
	for _, x := range list.Findings {
		at := strings.Join(slices.DeleteFunc([]string{x.GlobalNamespace, x.Cluster, x.Subject}, func(s string) bool { return s == "" }), "/")
		fmt.Fprintf(c.err, "%s: %s: %s\n", clean(x.Reason), clean(at), clean(x.Why))
	}
	if len(clusters) > 1 {
		fmt.Fprintf(c.err, "These are objects of %d clusters: for kubectl apply ask for one, with --cluster.\n", len(clusters))
	}
	if len(list.Items) == 0 {
		fmt.Fprintln(c.err, "There are no objects.")
	}
	return nil
}

func (c *cli) isolations(all []istio.Isolation) error {
	if len(all) == 0 {
		fmt.Fprintln(c.err, "No cluster has members of a global namespace.")
		return nil
	}
	rows := [][]string{{"GLOBAL NAMESPACE", "CLUSTER", "KEPT APART BY", "TRUST DOMAIN", "WHY"}}
	for _, x := range all {
		rows = append(rows, []string{clean(x.GlobalNamespace), clean(x.Cluster), x.Setup, clean(x.TrustDomain), clean(x.Why)})
	}
	return table(c.out, []int{30, 30, 20, 30, 200}, rows)
}

// verdicts returns what policies make of plaintext. Without an answer nothing is said.
func (c *cli) verdicts(ctx context.Context, f *callFlags) func(*calls.CallView) string {
	q := url.Values{"range": {f.span}}
	if f.gns != "" {
		q.Set("gns", f.gns)
	}
	type edge struct{ source, destination member.Place }
	said := map[edge]string{}
	var in console.PlaintextList
	if _, err := c.fetch(ctx, "/api/v1/mesh/plaintext", q, "", &in); err != nil {
		fmt.Fprintln(c.err, "What policies make of them cannot be shown:", err)
	}
	for _, r := range in.Items {
		for _, v := range slices.Concat(r.Refused, r.Let) {
			if r.Policy != "" {
				said[edge{v.Source, v.Destination}] = verdict(&v)
			}
		}
	}
	place := func(e *calls.EndView) member.Place {
		return member.Place{Cluster: e.Cluster, Namespace: e.Namespace, Service: e.Service}
	}
	return func(v *calls.CallView) string {
		return cmp.Or(said[edge{place(&v.Source), place(&v.Destination)}], "-")
	}
}

func verdict(v *traffic.Verdict) string {
	switch v.Reason {
	case traffic.ReasonPermissive:
		return "let through"
	case traffic.ReasonException:
		return "let through until " + v.Until.Std().Format("2006-01-02")
	case traffic.ReasonExceptionEnded:
		return "refused: an exception has ended"
	case traffic.ReasonPortUnknown:
		return "may be refused: depends on the port"
	}
	return "refused"
}
