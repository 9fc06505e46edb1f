package main

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"strings"

	"github.com/spf13/cobra"

	"evenkeel.dev/console"
	"evenkeel.dev/mesh"
)

type getFlags struct {
	namespace string
	gns       string
	output    string

	cluster, service, state string // of lists of the mesh
}

func getCommand(c *cli) *cobra.Command {
	var f getFlags
	cmd := &cobra.Command{
		Use:   "get [KIND [NAME] | KIND/NAME | services | instances | clusters | gns | groups | deliveries | targets]",
		Short: "Show definitions, what runs where, deliveries or scrape targets",
		Long: `Get lists definitions, all or those of a kind, and shows one in full. 'get services', 'instances', 'clusters', 'gns' and 'groups' list what runs
and who belongs where (see 'describe' for one of them). 'get deliveries' lists messages to notification targets that are on their way, held
back (see 'silence') or were given up (see 'resend'); 'get targets' lists what is scraped.

It exits with 1 when the named object does not exist.`,
		Example: "  evenkeel get\n  evenkeel get slos\n  evenkeel get services --gns shop\n  evenkeel get slo/checkout-availability -o yaml\n  evenkeel get deliveries",
		Args:    cobra.MaximumNArgs(2),
	}
	cmd.Flags().StringVarP(&f.namespace, "namespace", "n", "", "only objects of this namespace (with a name: default)")
	cmd.Flags().StringVar(&f.gns, "gns", "", "only objects of this global namespace")
	cmd.Flags().StringVar(&f.cluster, "cluster", "", "of services and instances, only those in this cluster")
	cmd.Flags().StringVar(&f.service, "service", "", "of instances, only those of this service")
	cmd.Flags().StringVar(&f.state, "state", "", "of services, instances and clusters, only those in this state")
	outputFlag(cmd, &f.output)
	cmd.RunE = do(func(cmd *cobra.Command, args []string) error {
		if err := checkOutput(f.output); err != nil {
			return err
		}
		if len(args) == 1 && meshLists[strings.ToLower(args[0])] != nil {
			return meshLists[strings.ToLower(args[0])](c, cmd.Context(), &f)
		}
		if len(args) == 1 {
			if kind, name, ok := strings.Cut(args[0], "/"); ok {
				args = []string{kind, name}
			}
		}
		switch {
		case len(args) == 1 && args[0] == "deliveries":
			return c.getDeliveries(cmd.Context(), &f)
		case len(args) == 1 && args[0] == "targets":
			return c.getTargets(cmd.Context(), &f)
		case len(args) == 2:
			return c.getOne(cmd.Context(), &f, args[0], args[1])
		}
		return c.getList(cmd.Context(), &f, args)
	})
	return cmd
}

// fetch reads a JSON answer, prints it when a form was asked for, and else decodes it.
func (c *cli) fetch(ctx context.Context, path string, q url.Values, output string, into any) (printed bool, err error) {
	return c.exchange(ctx, http.MethodGet, path, q, nil, output, into)
}

// exchange sends a request, with a JSON body if there is one, and does with the answer as [cli.fetch] does.
func (c *cli) exchange(ctx context.Context, method, path string, q url.Values, body any, output string, into any) (printed bool, err error) {
	kind, text := "", []byte(nil)
	if body != nil {
		kind = "application/json"
		if text, err = json.Marshal(body); err != nil {
			return false, err
		}
	}
	api, err := c.client()
	if err != nil {
		return false, err
	}
	var raw json.RawMessage
	if err := api.call(ctx, method, path, q, kind, text, &raw); err != nil {
		return false, c.refused(err)
	}
	if output != "" {
		return true, printAs(c.out, output, raw)
	}
	if err := json.Unmarshal(raw, into); err != nil {
		return false, fmt.Errorf("answer of %s: %w", path, err)
	}
	return false, nil
}

func (c *cli) getList(ctx context.Context, f *getFlags, args []string) error {
	q := url.Values{}
	if len(args) == 1 {
		kind, err := kindName(args[0])
		if err != nil {
			return err
		}
		q.Set("kind", kind)
	}
	if f.namespace != "" {
		q.Set("namespace", f.namespace)
	}
	if f.gns != "" {
		q.Set("gns", f.gns)
	}
	var in struct {
		Items []mesh.Definition `json:"items"`
	}
	printed, err := c.fetch(ctx, "/api/v1/definitions", q, f.output, &in)
	if err != nil || printed {
		return err
	}
	if len(in.Items) == 0 {
		fmt.Fprintln(c.err, "No definitions found.")
		return nil
	}
	rows := [][]string{{"KIND", "NAMESPACE", "NAME", "GLOBAL NS", "GEN", "MANAGED BY"}}
	for _, d := range in.Items {
		rows = append(rows, []string{d.Kind, d.Namespace, d.Name, d.GlobalNamespace, fmt.Sprint(d.Generation), clean(d.ManagedBy)})
	}
	return table(c.out, []int{23, 14, 26, 12, 4, 11}, rows)
}

func (c *cli) getOne(ctx context.Context, f *getFlags, kind, name string) error {
	full, err := kindName(kind)
	if err != nil {
		return err
	}
	namespace := f.namespace
	if namespace == "" {
		namespace = "default"
	}
	var d mesh.Definition
	printed, err := c.fetch(ctx, "/api/v1/definitions/"+escape(full, namespace, name), nil, f.output, &d)
	if err != nil || printed {
		return err
	}
	for _, l := range [][2]string{
		{"Name", d.Name}, {"Kind", d.Kind + " (" + d.APIVersion + ")"}, {"Namespace", d.Namespace}, {"Global namespace", d.GlobalNamespace},
		{"Generation", fmt.Sprint(d.Generation)}, {"Revision", fmt.Sprint(d.Revision)}, {"Managed by", d.ManagedBy}, {"Author", d.Author}, {"Digest", d.Digest},
	} {
		fmt.Fprintf(c.out, "%-18s%s\n", l[0]+":", clean(l[1]))
	}
	fmt.Fprintf(c.out, "Source:\n%s\n", indent(d.Source))
	return nil
}

func indent(s string) string {
	return "  " + strings.ReplaceAll(strings.TrimRight(s, "\n"), "\n", "\n  ")
}

func (c *cli) getDeliveries(ctx context.Context, f *getFlags) error {
	var in struct {
		Items []console.Delivery `json:"items"`
	}
	printed, err := c.fetch(ctx, "/api/v1/deliveries", nil, f.output, &in)
	if err != nil || printed {
		return err
	}
	if len(in.Items) == 0 {
		fmt.Fprintln(c.err, "No deliveries wait, are held back or were given up.")
		return nil
	}
	rows := [][]string{{"ID", "STATE", "TRIES", "TARGET", "SLO", "TELLS", "WHY"}}
	for _, d := range in.Items {
		why := d.Reason
		if d.Silence != "" {
			why += " " + d.Silence
		}
		if d.Status != 0 {
			why += fmt.Sprintf(" (HTTP %d)", d.Status)
		}
		rows = append(rows, []string{d.ID, d.State, fmt.Sprint(d.Attempts), clean(d.Target), clean(d.GlobalNamespace + "/" + d.Service + "/" + d.SLO), d.Tier + " " + d.Alert, clean(why)})
	}
	return table(c.out, []int{36, 7, 5, 16, 0, 16, 24}, rows)
}

func (c *cli) getTargets(ctx context.Context, f *getFlags) error {
	var in struct {
		Items []struct {
			Job      string `json:"job"`
			URL      string `json:"url"`
			Health   string `json:"health"`
			LastErr  string `json:"lastError"`
			Duration string `json:"lastDuration"`
		} `json:"items"`
	}
	printed, err := c.fetch(ctx, "/api/v1/targets", nil, f.output, &in)
	if err != nil || printed {
		return err
	}
	if len(in.Items) == 0 {
		fmt.Fprintln(c.err, "Nothing is scraped; see 'scrape' in the settings file.")
		return nil
	}
	rows := [][]string{{"JOB", "TARGET", "HEALTH", "TOOK", "ERROR"}}
	for _, t := range in.Items {
		rows = append(rows, []string{clean(t.Job), clean(t.URL), t.Health, t.Duration, clean(t.LastErr)})
	}
	return table(c.out, []int{16, 40, 8, 8, 60}, rows)
}

func resendCommand(c *cli) *cobra.Command {
	return &cobra.Command{
		Use:   "resend ID ...",
		Short: "Send deliveries again that were given up",
		Long:  "Resend asks to try dead letters again (see 'evenkeel get deliveries'). It exits with 1 when there is no dead letter of an ID.",
		Args:  cobra.MinimumNArgs(1),
		RunE: do(func(cmd *cobra.Command, args []string) error {
			api, err := c.client()
			if err != nil {
				return err
			}
			for _, id := range args {
				var a struct{ ID, State string }
				if err := api.call(cmd.Context(), "POST", "/api/v1/deliveries/"+escape(id)+"/resend", nil, "", nil, &a); err != nil {
					return c.refused(err)
				}
				fmt.Fprintf(c.out, "%s is sent again\n", a.ID)
			}
			return nil
		}),
	}
}
