package main

import (
	"encoding/json"
	"fmt"

	"github.com/spf13/cobra"

	"evenkeel.dev/cmd/evenkeel/app"
	"evenkeel.dev/mesh"
	"evenkeel.dev/mesh/member"
)

type checkFlags struct {
	output    string
	inventory string
	strict    bool
}

func checkCommand(c *cli) *cobra.Command {
	var f checkFlags
	cmd := &cobra.Command{
		Use:   "check FILE|DIR|- ...",
		Short: "Say offline whether definitions are right",
		Long: `Check reads definitions as 'apply' would, without a server, and names each mistake with file, line and column.

With --inventory it also says who would be in the global namespaces and resource groups that the files define, given a file that lists
clusters, namespaces, services and nodes (docs/global-namespaces.md has one): member, candidate, refused or outside, and why.

It exits with 0 when all is right and with 1 when there is a mistake. A warning is about a definition that is right and does not do what it
seems to: an SLO whose data source cannot be read is taken and stays UNKNOWN. With --strict warnings are mistakes.`,
		Example: "  evenkeel check slos/\n  kustomize build . | evenkeel check -\n  evenkeel check shop.yaml --inventory inventory.yaml",
		Args:    cobra.MinimumNArgs(1),
	}
	cmd.Flags().BoolVar(&f.strict, "strict", false, "exit with 1 when there is a warning, too")
	cmd.Flags().StringVar(&f.inventory, "inventory", "", "file that says what there is: show who would be in global namespaces and groups")
	outputFlag(cmd, &f.output)
	cmd.RunE = do(func(_ *cobra.Command, args []string) error { return c.check(&f, args) })
	return cmd
}

func (c *cli) check(f *checkFlags, args []string) error {
	if err := checkOutput(f.output); err != nil {
		return err
	}
	files, err := c.readFiles(args)
	if err != nil {
		return err
	}
	found, problems, err := app.Check(files)
	if err != nil {
		return err
	}
	tried, more, err := c.try(f, found, problems)
	if err != nil {
		return err
	}
	problems = mesh.SortProblems(append(problems, more...))
	mistakes, warnings := mesh.Mistakes(problems)
	if f.output != "" {
		err = c.printChecked(f.output, found, mistakes, warnings, tried)
	} else {
		for _, p := range problems {
			fmt.Fprintln(c.out, p)
		}
		if tried != nil {
			err = c.printTried(tried)
		}
		fmt.Fprintf(c.err, "%s in %s, %s\n", plural(len(found), "definition"), plural(len(files), "file"), counted(len(mistakes), len(warnings)))
	}
	if err == nil && (len(mistakes) > 0 || f.strict && len(warnings) > 0) {
		return &exitError{code: exitNo}
	}
	return err
}

// try tries definitions on the inventory, if there is one; while they have mistakes only the inventory is checked.
func (c *cli) try(f *checkFlags, found []mesh.Definition, problems []mesh.Problem) (*app.Tried, []mesh.Problem, error) {
	if f.inventory == "" {
		return nil, nil, nil
	}
	inventory, err := c.readFiles([]string{f.inventory})
	if err != nil {
		return nil, nil, err
	}
	tried, more, err := app.Try(found, inventory)
	if mistakes, _ := mesh.Mistakes(problems); len(mistakes) > 0 {
		tried = nil
		fmt.Fprintln(c.err, "Who would be a member is not said while there are mistakes.")
	}
	return tried, more, err
}

func (c *cli) printTried(t *app.Tried) error {
	rows := [][]string{{"GLOBAL NS", "CLUSTER", "NAMESPACE", "SERVICE", "IS", "WHY"}}
	add := func(gns, is string, vs []member.Verdict) {
		for _, v := range vs {
			rows = append(rows, []string{gns, clean(v.Cluster), clean(v.Namespace), clean(v.Service), is, clean(v.Why)})
		}
	}
	for _, g := range t.Namespaces {
		add(g.GlobalNamespace, "member", g.Members)
		add(g.GlobalNamespace, "candidate", g.Candidates)
		add(g.GlobalNamespace, "refused", g.Refused)
		for _, p := range g.Definers {
			rows = append(rows, []string{g.GlobalNamespace, clean(p.Cluster), clean(p.Namespace), "", "definer", "definitionsFrom: it may hold definitions for " + g.GlobalNamespace})
		}
	}
	add("", "outside", t.Outside)
	if err := table(c.out, []int{24, 24, 32, 32, 9, 0}, rows); err != nil || len(t.Groups) == 0 {
		return err
	}
	fmt.Fprintln(c.out)
	rows = [][]string{{"GROUP", "GLOBAL NS", "KIND", "CLUSTER", "NAMESPACE", "NAME"}}
	for _, g := range t.Groups {
		for _, x := range g.Resources {
			rows = append(rows, []string{g.Name, g.GlobalNamespace, g.Kind, clean(x.Cluster), clean(x.Namespace), clean(x.Name)})
		}
		if len(g.Resources) == 0 {
			rows = append(rows, []string{g.Name, g.GlobalNamespace, g.Kind, "", "", "(nothing)"})
		}
	}
	return table(c.out, []int{32, 24, 9, 24, 32, 0}, rows)
}

func (c *cli) printChecked(output string, found []mesh.Definition, problems, warnings []mesh.Problem, tried *app.Tried) error {
	refs := []mesh.Ref{}
	for _, d := range found {
		refs = append(refs, d.Ref)
	}
	if problems == nil {
		problems = []mesh.Problem{}
	}
	answer := map[string]any{"ok": len(problems) == 0, "definitions": refs, "problems": problems}
	if len(warnings) > 0 {
		answer["warnings"] = warnings
	}
	if tried != nil {
		answer["membership"] = tried
	}
	b, err := json.Marshal(answer)
	if err != nil {
		return err
	}
	return printAs(c.out, output, b)
}
