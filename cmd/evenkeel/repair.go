package main

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"

	"github.com/spf13/cobra"

	"evenkeel.dev/cmd/evenkeel/app"
	"evenkeel.dev/console"
)

type repairFlags struct {
	accept []string
	data   string
	output string
}

func repairCommand(c *cli) *cobra.Command {
	var f repairFlags
	cmd := &cobra.Command{
		Use:   "repair",
		Short: "Explain damage in the store, and mend it as you choose",
		Long: `Repair lists what in the store cannot be trusted, what that means and what can be done about it, with the cost of each choice. It changes
nothing until a choice is accepted: --accept FINDING=CHOICE.

It asks the running engine or, with --data, looks at the data folder of one that stands still.

It exits with 1 when there is damage left.`,
		Example: "  evenkeel repair\n  evenkeel repair --accept slo.3=restart\n  evenkeel repair --data data/",
		Args:    cobra.NoArgs,
	}
	cmd.Flags().StringArrayVar(&f.accept, "accept", nil, "carry out a choice for a finding, as FINDING=CHOICE; may be given several times")
	cmd.Flags().StringVar(&f.data, "data", "", "data folder of an engine that does not run")
	outputFlag(cmd, &f.output)
	cmd.RunE = do(func(cmd *cobra.Command, _ []string) error {
		accepted, err := f.accepted()
		if err != nil {
			return err
		}
		if f.data == "" {
			return c.repairOnline(cmd.Context(), &f, accepted)
		}
		return app.WithStore(cmd.Context(), f.data, func(r console.Repairs) error {
			return c.repair(cmd.Context(), &f, r, accepted)
		})
	})
	return cmd
}

func (f *repairFlags) accepted() ([]console.RepairRequest, error) {
	var out []console.RepairRequest
	for _, a := range f.accept {
		finding, choice, ok := strings.Cut(a, "=")
		if !ok || finding == "" || choice == "" {
			return nil, wrongUsage("--accept %s is no FINDING=CHOICE", a)
		}
		out = append(out, console.RepairRequest{Finding: finding, Choice: choice})
	}
	return out, checkOutput(f.output)
}

func (c *cli) repairOnline(ctx context.Context, f *repairFlags, accepted []console.RepairRequest) error {
	api, err := c.client()
	if err != nil {
		return err
	}
	return c.repair(ctx, f, remoteRepairs{api}, accepted)
}

// repair carries out what was accepted and then says what is left.
func (c *cli) repair(ctx context.Context, f *repairFlags, r console.Repairs, accepted []console.RepairRequest) error {
	for _, a := range accepted {
		if err := r.Mend(ctx, a.Finding, a.Choice); err != nil {
			return c.refused(err)
		}
		fmt.Fprintf(c.out, "%s: %s is done\n", a.Finding, a.Choice)
	}
	found, err := r.Diagnose(ctx)
	if err != nil {
		return err
	}
	if found == nil {
		found = []console.Finding{}
	}
	if f.output != "" {
		b, err := json.Marshal(map[string]any{"items": found})
		if err != nil {
			return err
		}
		if err := printAs(c.out, f.output, b); err != nil {
			return err
		}
	} else {
		c.explain(found)
	}
	if len(found) > 0 {
		return &exitError{code: exitNo}
	}
	return nil
}

func (c *cli) explain(found []console.Finding) {
	if len(found) == 0 {
		fmt.Fprintln(c.out, "Nothing is damaged.")
		return
	}
	for _, f := range found {
		fmt.Fprintf(c.out, "%s: %s\n  %s\n", f.ID, f.Reason, clean(f.Message))
		for _, ch := range f.Choices {
			fmt.Fprintf(c.out, "  --accept %s=%s\n      %s\n", f.ID, ch.ID, clean(ch.Message))
		}
	}
	fmt.Fprintf(c.out, "%s. Nothing is changed until a choice is accepted.\n", plural(len(found), "finding"))
}

// remoteRepairs asks a running engine.
type remoteRepairs struct{ api *client }

// Diagnose implements [console.Repairs].
func (r remoteRepairs) Diagnose(ctx context.Context) ([]console.Finding, error) {
	var in struct {
		Items []console.Finding `json:"items"`
	}
	err := r.api.get(ctx, "/api/v1/repair", nil, &in)
	return in.Items, err
}

// Mend implements [console.Repairs].
func (r remoteRepairs) Mend(ctx context.Context, finding, choice string) error {
	b, err := json.Marshal(console.RepairRequest{Finding: finding, Choice: choice})
	if err != nil {
		return err
	}
	var out json.RawMessage
	return r.api.call(ctx, http.MethodPost, "/api/v1/repair", nil, "application/json", b, &out)
}
