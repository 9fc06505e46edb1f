package main

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/url"
	"os"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"evenkeel.dev/console"
	"evenkeel.dev/mesh/calls"
	"evenkeel.dev/mesh/graph"
	"evenkeel.dev/slo"
)

func meshCommand(c *cli) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "mesh",
		Short: "Show who calls whom, and what clusters would get by policies",
		Args:  cobra.NoArgs,
		RunE:  func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(graphCommand(c), plaintextCommand(c), objectsCommand(c))
	return cmd
}

// callFlags say which calls are asked for.
type callFlags struct {
	gns, service, span string
	output, out        string
	versions           bool
}

func (f *callFlags) register(cmd *cobra.Command, forms ...string) {
	fs := cmd.Flags()
	fs.StringVar(&f.gns, "gns", "", "only calls with an end in this global namespace")
	fs.StringVar(&f.service, "service", "", "only calls from or to this service")
	fs.StringVar(&f.span, "range", "5m", "over which time: 5m, 15m, 30m or 1h")
	fs.StringVarP(&f.output, "output", "o", "text", "form of the answer: "+strings.Join(forms, ", "))
	_ = cmd.RegisterFlagCompletionFunc("output", cobra.FixedCompletions(forms, cobra.ShellCompDirectiveNoFileComp)) // the flags exist
	_ = cmd.RegisterFlagCompletionFunc("range", cobra.FixedCompletions([]string{"5m", "15m", "30m", "1h"}, cobra.ShellCompDirectiveNoFileComp))
}

func (f *callFlags) query() url.Values {
	q := url.Values{"range": {f.span}}
	if f.gns != "" {
		q.Set("gns", f.gns)
	}
	if f.service != "" {
		q.Set("service", f.service)
	}
	return q
}

// title says what is shown.
func (f *callFlags) title() string {
	of := cmp.Or(f.service, f.gns)
	switch {
	case f.service != "" && f.gns != "":
		of = f.service + " in " + f.gns
	case of == "":
		return "Calls, last " + f.span
	}
	return "Calls of " + of + ", last " + f.span
}

func graphCommand(c *cli) *cobra.Command {
	var f callFlags
	cmd := &cobra.Command{
		Use:   "graph",
		Short: "Show the graph of calls between services, as text or as a picture",
		Long: `Graph shows which service calls which, with requests per second, the share that fails, a bound of the 99th percentile and how they are encrypted, as
proxies and traces have reported it. Text is a tree from callers to called services; svg is a picture of its own for a browser; dot is for Graphviz.

Requests are counted once, preferring what the called service's proxy reports. Who is bound to global namespaces sees calls with an end in theirs; the
other end is then "another global namespace". docs/mesh-graph.md says which metrics are watched and what cannot be seen.`,
		Example: "  evenkeel mesh graph --gns shop\n  evenkeel mesh graph --gns shop --range 1h -o svg --out shop.svg\n  evenkeel mesh graph --service cart -o dot | dot -Tpng > cart.png",
		Args:    cobra.NoArgs,
	}
	f.register(cmd, "text", "svg", "dot", "json", "yaml")
	cmd.Flags().BoolVar(&f.versions, "versions", false, "show each version of a service by itself")
	cmd.Flags().StringVar(&f.out, "out", "", "write to this file, and not to the standard output")
	cmd.RunE = do(func(cmd *cobra.Command, _ []string) error { return c.graph(cmd.Context(), &f) })
	return cmd
}

func (c *cli) graph(ctx context.Context, f *callFlags) error {
	draw := map[string]func(*graph.Graph, io.Writer) error{"text": (*graph.Graph).Text, "svg": (*graph.Graph).SVG, "dot": (*graph.Graph).Dot}[f.output]
	if draw == nil && f.output != "json" && f.output != "yaml" {
		return wrongUsage("-o %s is not known; it is text, svg, dot, json or yaml", f.output)
	}
	var b bytes.Buffer
	if draw == nil {
		to := *c
		to.out = &b
		if _, err := to.fetch(ctx, "/api/v1/calls", f.query(), f.output, nil); err != nil {
			return err
		}
		return c.put(f.out, b.Bytes())
	}
	in, err := c.fetchCalls(ctx, f)
	if err != nil {
		return err
	}
	if len(in.Items) == 0 && f.output == "text" {
		return nil
	}
	if f.versions {
		in.Items = graph.Versions(in.Items)
	}
	if err := draw(graph.New(f.title(), in.Items, c.objectives(ctx, f.gns)), &b); err != nil {
		return err
	}
	return c.put(f.out, b.Bytes())
}

// put writes an answer to a file or the standard output.
func (c *cli) put(file string, b []byte) error {
	if file == "" {
		_, err := c.out.Write(b)
		return err
	}
	return os.WriteFile(file, b, 0o644) // a picture to be shown around
}

// fetchCalls asks for calls, and says where there are none or not all of them.
func (c *cli) fetchCalls(ctx context.Context, f *callFlags) (*console.CallList, error) {
	var in console.CallList
	if _, err := c.fetch(ctx, "/api/v1/calls", f.query(), "", &in); err != nil {
		return nil, err
	}
	if len(in.Items) == 0 {
		fmt.Fprintln(c.err, "No calls were seen. They come from metrics of Istio's proxies or of OpenTelemetry's service graph; see docs/mesh-graph.md.")
	}
	if in.Over {
		fmt.Fprintln(c.err, "Not all calls are shown: there are more than the bounds allow; see docs/mesh-graph.md.")
	}
	return &in, nil
}

// objectives returns how services stand by their objectives: the worst state of each. Without an answer nobody has one.
func (c *cli) objectives(ctx context.Context, gns string) func(gns, service string) string {
	rank := []string{slo.StateUnknown, slo.StateHealthy, slo.StateExhausted, slo.StateWarning, slo.StateViolation}
	q := url.Values{}
	if gns != "" {
		q.Set("gns", gns)
	}
	var in console.SLOList
	worst := map[[2]string]string{}
	if _, err := c.fetch(ctx, "/api/v1/slos", q, "", &in); err == nil {
		for _, s := range in.Items {
			k := [2]string{s.GlobalNamespace, s.Service}
			if slices.Index(rank, s.State) > slices.Index(rank, worst[k]) {
				worst[k] = s.State
			}
		}
	}
	return func(gns, service string) string { return worst[[2]string{gns, service}] }
}

func plaintextCommand(c *cli) *cobra.Command {
	var f callFlags
	cmd := &cobra.Command{
		Use:   "plaintext",
		Short: "List calls without mutual TLS: Strict would refuse them",
		Long: `Plaintext lists the calls to services that were seen without encryption. As soon as a global namespace asks for mTLS Strict, they are refused.
Calls that only the caller's proxy or traces report are not listed: how they are encrypted is not known.

POLICY says what the EncryptionPolicy that stands makes of them, whatever its mode, and "-" where there is none. On which port calls came is not known:
where an exception is for a port, they may be refused.

It exits with 1 when there are any.`,
		Example: "  evenkeel mesh plaintext --gns shop --range 1h",
		Args:    cobra.NoArgs,
	}
	f.register(cmd, "text", "json", "yaml")
	cmd.Flags().Lookup("range").DefValue, f.span = "1h", "1h"
	cmd.RunE = do(func(cmd *cobra.Command, _ []string) error {
		if f.output != "text" && f.output != "json" && f.output != "yaml" {
			return wrongUsage("-o %s is not known; it is text, json or yaml", f.output)
		}
		return c.plaintext(cmd.Context(), &f)
	})
	return cmd
}

func (c *cli) plaintext(ctx context.Context, f *callFlags) error {
	in, err := c.fetchCalls(ctx, f)
	if err != nil {
		return err
	}
	plain := slices.DeleteFunc(in.Items, func(v calls.CallView) bool {
		return v.Plaintext == 0 || f.gns != "" && v.Destination.GlobalNamespace != f.gns || f.service != "" && v.Destination.Service != f.service
	})
	if f.output != "text" {
		if err := c.printItems(f.output, plain); err != nil {
			return err
		}
	} else if len(plain) > 0 {
		rows := [][]string{{"CALLER", "CALLED", "IN", "PLAINTEXT", "OF", "LAST", "POLICY"}}
		said := c.verdicts(ctx, f)
		for i := range plain {
			v := &plain[i]
			rows = append(rows, []string{endName(&v.Source), endName(&v.Destination), endPlace(&v.Destination), fmt.Sprint(v.Plaintext), fmt.Sprint(v.Requests), ageOf(v.Last), said(v)})
		}
		if err := table(c.out, []int{40, 40, 40, 12, 12, 8, 40}, rows); err != nil {
			return err
		}
	}
	if len(plain) > 0 {
		return answerNo("%d calls would be refused by mTLS Strict", len(plain))
	}
	return nil
}

// printItems writes a list as the API would have.
func (c *cli) printItems(form string, items any) error {
	b, err := json.Marshal(map[string]any{"items": items})
	if err != nil {
		return err
	}
	return printAs(c.out, form, b)
}

func endName(e *calls.EndView) string {
	switch {
	case e.Other:
		return "(another global namespace)"
	case e.Service == calls.Unknown:
		return "(unknown)"
	}
	return clean(e.Service)
}

// endPlace says where an end is, as far as it is known.
func endPlace(e *calls.EndView) string {
	return clean(strings.Join(slices.DeleteFunc([]string{e.GlobalNamespace, e.Cluster, e.Namespace}, func(s string) bool { return s == "" }), "/"))
}

// trafficCells are the golden signals in columns: requests per second, share that fails, 99th percentile.
func trafficCells(f *calls.Figures) []string {
	if f == nil {
		return []string{"-", "-", "-"}
	}
	out := []string{fmt.Sprintf("%.4g", f.RPS), "-", "-"}
	if f.ErrorRatio != nil {
		out[1] = fmt.Sprintf("%.3g %%", 100**f.ErrorRatio)
	}
	switch {
	case f.P99Above != nil:
		out[2] = fmt.Sprintf("> %gms", *f.P99Above)
	case f.P99Ms != nil:
		out[2] = fmt.Sprintf("<= %gms", *f.P99Ms)
	}
	return out
}

// neighbours shows who calls a service and whom it calls.
func (c *cli) neighbours(ctx context.Context, gns, service string) error {
	var in console.CallList
	if _, err := c.fetch(ctx, "/api/v1/calls", url.Values{"gns": {gns}, "service": {service}}, "", &in); err != nil {
		fmt.Fprintln(c.err, "Callers and called services cannot be shown:", err)
		return nil
	}
	is := func(e *calls.EndView) bool { return e.GlobalNamespace == gns && e.Service == service }
	for _, side := range []struct {
		head        string
		other, here func(*calls.CallView) *calls.EndView
	}{
		{"CALLER", func(v *calls.CallView) *calls.EndView { return &v.Source }, func(v *calls.CallView) *calls.EndView { return &v.Destination }},
		{"CALLED", func(v *calls.CallView) *calls.EndView { return &v.Destination }, func(v *calls.CallView) *calls.EndView { return &v.Source }},
	} {
		rows := [][]string{{side.head, "IN", "RPS", "ERRORS", "P99", "MTLS"}}
		for i := range in.Items {
			v := &in.Items[i]
			if !is(side.here(v)) {
				continue
			}
			mtls := "-"
			if v.MutualTLSRatio != nil {
				mtls = fmt.Sprintf("%.3g %%", 100**v.MutualTLSRatio)
			}
			rows = append(rows, slices.Concat([]string{endName(side.other(v)), endPlace(side.other(v))}, trafficCells(&v.Figures), []string{mtls}))
		}
		if len(rows) == 1 {
			continue
		}
		fmt.Fprintln(c.out)
		if err := table(c.out, []int{40, 40, 10, 10, 12, 8}, rows); err != nil {
			return err
		}
	}
	return nil
}
