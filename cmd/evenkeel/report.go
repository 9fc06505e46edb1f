package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"

	"github.com/spf13/cobra"

	"evenkeel.dev/console"
	"evenkeel.dev/slo/report"
	"evenkeel.dev/slo/zone"
)

type reportFlags struct {
	month, since, until, tz string
	service, gns            string
	output                  string
}

func reportCommand(c *cli) *cobra.Command {
	var f reportFlags
	cmd := &cobra.Command{
		Use:   "report [--month 2026-10]",
		Short: "Say how a month was: objectives met or missed, budgets, worst days",
		Long: `Report adds up the minutes that the engine keeps (400 days of them) to a month, or to another span, and compares it with the one before: of each SLO
the SLI, the error budget in what it counts and in signed minutes, coverage, excluded time, the worst days and the alerts; of each service and global
namespace how many objectives were met. Days and months begin at midnight in --tz. Of a span that is not over the report is so far.

It exits with 0 whether objectives were met or not.`,
		Example: "  evenkeel report --month 2026-10 --tz Europe/Berlin\n  evenkeel report --month 2026-10 -o html > october.html\n  evenkeel report --since 7d --service checkout -o csv",
		Args:    cobra.NoArgs,
	}
	fs := cmd.Flags()
	fs.StringVar(&f.month, "month", "", "the month, as 2026-10 (default: the one at hand, so far)")
	fs.StringVar(&f.since, "since", "", "instead of a month its beginning: how long ago (30d), a day (2026-10-01) or a time in RFC 3339")
	fs.StringVar(&f.until, "until", "", "its end, in the same forms (default: now)")
	fs.StringVar(&f.tz, "tz", "UTC", "time zone in which days and months begin, as Europe/Berlin")
	fs.StringVar(&f.service, "service", "", "only SLOs of this service")
	fs.StringVar(&f.gns, "global-namespace", "", "only SLOs of this global namespace")
	fs.StringVar(&f.gns, "gns", "", "the same")
	fs.StringVarP(&f.output, "output", "o", "table", "form of the answer: table, html, csv or json")
	_ = fs.MarkHidden("gns") // the flag exists
	_ = cmd.RegisterFlagCompletionFunc("output", cobra.FixedCompletions([]string{"table", "html", "csv", "json"}, cobra.ShellCompDirectiveNoFileComp))
	cmd.RunE = do(func(cmd *cobra.Command, _ []string) error { return c.report(cmd.Context(), &f) })
	return cmd
}

func (c *cli) report(ctx context.Context, f *reportFlags) error {
	write := map[string]func(*report.Period) error{
		"table": func(p *report.Period) error { return p.Table(c.out) }, "html": func(p *report.Period) error { return p.HTML(c.out) },
		"csv": func(p *report.Period) error { return p.CSV(c.out) }, "json": func(p *report.Period) error { return p.JSON(c.out) },
	}[f.output]
	if write == nil {
		return wrongUsage("-o %s is not known; it is table, html, csv or json", f.output)
	}
	rules, err := zone.Of(f.tz)
	if err != nil {
		return wrongUsage("--tz: %v", err)
	}
	p, err := c.fetchReport(ctx, f)
	if err != nil {
		return err
	}
	p.Zoned(rules)
	return write(p)
}

// fetchReport asks for the report. A mistake that the engine finds late stands in the answer.
func (c *cli) fetchReport(ctx context.Context, f *reportFlags) (*report.Period, error) {
	api, err := c.client()
	if err != nil {
		return nil, err
	}
	q := url.Values{}
	for name, v := range map[string]string{"month": f.month, "since": f.since, "until": f.until, "tz": f.tz, "service": f.service, "gns": f.gns} {
		if v != "" {
			q.Set(name, v)
		}
	}
	var raw json.RawMessage
	if err := api.get(ctx, "/api/v1/report", q, &raw); err != nil {
		var e *apiError
		if errors.As(err, &e) && e.status == http.StatusBadRequest {
			return nil, &exitError{exitUsage, err}
		}
		return nil, err
	}
	var refused struct{ Error *console.Error }
	var p report.Period
	if err := errors.Join(json.Unmarshal(raw, &refused), json.Unmarshal(raw, &p)); err != nil {
		return nil, fmt.Errorf("answer of the server: %w", err)
	}
	if refused.Error != nil {
		return nil, errors.New(refused.Error.Message)
	}
	return &p, nil
}
