package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"

	"github.com/spf13/cobra"

	"evenkeel.dev/cmd/evenkeel/app"
	"evenkeel.dev/console"
	"evenkeel.dev/mesh"
)

type deleteFlags struct {
	namespace     string
	files         []string
	dryRun        bool
	takeOwnership bool
	ignoreMissing bool
	cascade       bool
}

func (f *deleteFlags) query() url.Values {
	q := url.Values{"confirmed": {"true"}}
	for name, set := range map[string]bool{"dryRun": f.dryRun, "takeOwnership": f.takeOwnership, "cascade": f.cascade} {
		if set {
			q.Set(name, "true")
		}
	}
	return q
}

func deleteCommand(c *cli) *cobra.Command {
	var f deleteFlags
	cmd := &cobra.Command{
		Use:   "delete KIND/NAME ... | -f FILE|DIR|-",
		Short: "Delete definitions",
		Long: `Delete takes definitions out of the catalogue. Alerts of a deleted SLO resolve with the reason Deleted. What another source manages
(a watched folder, for one) is refused unless --take-ownership is given.

A GlobalNamespace is refused while anything stands in it. With --cascade all of that goes with it, in one change; --cascade --dry-run shows it.

It exits with 1 when an object does not exist, is managed by another source, is still referred to, or holds others.`,
		Example: "  evenkeel delete slo/checkout-availability\n  evenkeel delete -f slos/checkout.yaml\n  evenkeel delete gns/shop --cascade --dry-run",
	}
	cmd.Flags().StringVarP(&f.namespace, "namespace", "n", "default", "namespace of the objects")
	cmd.Flags().StringArrayVarP(&f.files, "filename", "f", nil, "delete what a file, a folder or the input (-) defines")
	cmd.Flags().BoolVar(&f.dryRun, "dry-run", false, "say what would happen and change nothing")
	cmd.Flags().BoolVar(&f.takeOwnership, "take-ownership", false, "also delete what another source manages")
	cmd.Flags().BoolVar(&f.ignoreMissing, "ignore-not-found", false, "an object that does not exist is no failure")
	cmd.Flags().BoolVar(&f.cascade, "cascade", false, "with a GlobalNamespace, also delete all that stands in it, in one change")
	cmd.RunE = do(func(cmd *cobra.Command, args []string) error {
		if (len(args) == 0) == (len(f.files) == 0) {
			return wrongUsage("name objects as KIND/NAME, or files with -f; one of both")
		}
		return c.delete(cmd.Context(), &f, args)
	})
	return cmd
}

func (c *cli) delete(ctx context.Context, f *deleteFlags, args []string) error {
	refs, err := c.refsToDelete(f, args)
	if err != nil {
		return err
	}
	for _, r := range refs {
		if f.cascade && r.Kind != mesh.KindGlobalNamespace.Kind {
			return wrongUsage("--cascade goes with a GlobalNamespace; nothing stands in %s %s", r.Kind, r.Name)
		}
	}
	api, err := c.client()
	if err != nil {
		return err
	}
	q := f.query()
	for len(refs) > 0 {
		waiting, err := c.deleteEach(ctx, api, q, refs, f.ignoreMissing)
		if f.dryRun && len(refs) > 1 && err != nil && len(waiting) > 0 {
			fmt.Fprintln(c.err, err) // the others, which a dry run leaves standing, may be all that is in its way
			return nil
		}
		if len(waiting) == 0 || len(waiting) == len(refs) {
			return err
		}
		refs = waiting // what referred to them may be gone now
	}
	return nil
}

// deleteEach deletes what it can and returns what others still refer to, with the last such refusal. Another error ends it.
func (c *cli) deleteEach(ctx context.Context, api *client, q url.Values, refs []mesh.Ref, ignoreMissing bool) (waiting []mesh.Ref, last error) {
	for _, r := range refs {
		q.Del("apiVersion")
		if r.APIVersion != "" {
			q.Set("apiVersion", r.APIVersion)
		}
		var a console.ApplyAnswer
		err := api.call(ctx, http.MethodDelete, "/api/v1/definitions/"+escape(r.Kind, r.Namespace, r.Name), q, "", nil, &a)
		var e *apiError
		switch {
		case err == nil:
			c.printActions(a)
		case ignoreMissing && isStatus(err, http.StatusNotFound):
		case errors.As(err, &e) && (e.code == mesh.ReasonReferenced || e.code == mesh.ReasonInhabited):
			waiting, last = append(waiting, r), c.refused(err)
		default:
			return nil, c.refused(err)
		}
	}
	return waiting, last
}

// refsToDelete returns what the arguments or the files name.
func (c *cli) refsToDelete(f *deleteFlags, args []string) ([]mesh.Ref, error) {
	var refs []mesh.Ref
	for _, a := range args {
		kind, name, ok := strings.Cut(a, "/")
		if !ok || kind == "" || name == "" {
			return nil, wrongUsage("%q is no KIND/NAME", a)
		}
		full, err := kindName(kind)
		if err != nil {
			return nil, err
		}
		refs = append(refs, mesh.Ref{Kind: full, Namespace: f.namespace, Name: name})
	}
	if len(f.files) == 0 {
		return refs, nil
	}
	files, err := c.readFiles(f.files)
	if err != nil {
		return nil, err
	}
	found, problems := app.Documents(files)
	if len(problems) > 0 {
		for _, p := range problems {
			fmt.Fprintln(c.out, p)
		}
		return nil, answerNo("the files have %s", plural(len(problems), "mistake"))
	}
	return append(refs, found...), nil
}

// shortKinds are names that people say for long ones.
var shortKinds = map[string]string{"gns": "GlobalNamespace", "group": "ResourceGroup", "groups": "ResourceGroup"}

// kindName returns a kind as it is written in definitions: "slo", "slos" and "SLO" are SLO.
func kindName(s string) (string, error) {
	if k := shortKinds[strings.ToLower(s)]; k != "" {
		return k, nil
	}
	kinds, err := app.KindNames()
	if err != nil {
		return "", err
	}
	for _, k := range kinds {
		if strings.EqualFold(k, s) || strings.EqualFold(k+"s", s) || strings.HasSuffix(k, "y") && strings.EqualFold(k[:len(k)-1]+"ies", s) {
			return k, nil
		}
	}
	if near := mesh.Nearest(s, kinds); near != "" {
		return "", wrongUsage("unknown kind %q; did you mean %s?", s, near)
	}
	return "", wrongUsage("unknown kind %q; known are %s", s, strings.Join(kinds, ", "))
}
