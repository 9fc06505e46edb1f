package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net/url"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/spf13/cobra"

	"evenkeel.dev/console"
	"evenkeel.dev/slo"
)

type statusFlags struct {
	gns, service, state string
	output              string
	watch               bool
	every               time.Duration
}

func statusCommand(c *cli) *cobra.Command {
	var f statusFlags
	cmd := &cobra.Command{
		Use:   "status [GNS/SERVICE/SLO ...]",
		Short: "Show service levels and what is left of their error budgets",
		Long: `Status shows a line for each SLO: its objective, the SLI over its window, the share of the error budget that is left (below zero when
overspent), the burn rates over 1 hour and 5 minutes, the state and the alerts that are not inactive. Below those that are named
stands what else is known: why one is UNKNOWN, the percentiles of one over latency, and how wrong an interpolated one may be.

It exits with 0 whatever the states, and with 1 when a named SLO does not exist.`,
		Example: "  evenkeel status\n  evenkeel status default/checkout/availability -o yaml\n  evenkeel status --state VIOLATION --watch",
	}
	cmd.Flags().StringVar(&f.gns, "gns", "", "only SLOs of this global namespace")
	cmd.Flags().StringVar(&f.service, "service", "", "only SLOs of this service")
	cmd.Flags().StringVar(&f.state, "state", "", "only SLOs in this state: HEALTHY, WARNING, VIOLATION, EXHAUSTED or UNKNOWN")
	cmd.Flags().BoolVarP(&f.watch, "watch", "w", false, "draw the table again until interrupted")
	cmd.Flags().DurationVar(&f.every, "every", 2*time.Second, "how often --watch draws")
	outputFlag(cmd, &f.output)
	cmd.RunE = do(func(cmd *cobra.Command, args []string) error {
		if err := f.check(args); err != nil {
			return err
		}
		if f.watch {
			return c.watchStatus(cmd.Context(), &f, args)
		}
		return c.status(cmd.Context(), &f, args)
	})
	return cmd
}

func (f *statusFlags) check(args []string) error {
	for _, a := range args {
		if strings.Count(a, "/") != 2 {
			return wrongUsage("%q is no GNS/SERVICE/SLO; without a global namespace it is default/SERVICE/SLO", a)
		}
	}
	switch {
	case f.watch && f.output != "":
		return wrongUsage("--watch draws a table; it does not go with -o")
	case f.watch && f.every < 100*time.Millisecond:
		return wrongUsage("--every must be at least 100ms")
	}
	return checkOutput(f.output)
}

// status prints once. With one name and a form the object itself is printed, else a list.
func (c *cli) status(ctx context.Context, f *statusFlags, args []string) error {
	raw, list, err := c.fetchStatus(ctx, f, args)
	if err != nil {
		return err
	}
	if f.output != "" {
		return printAs(c.out, f.output, raw)
	}
	if len(list.Items) == 0 {
		fmt.Fprintln(c.err, "No SLOs found. Apply a definition: evenkeel apply -f FILE")
		return nil
	}
	if err := statusTable(c, list); err != nil || len(args) == 0 {
		return err
	}
	for i := range list.Items {
		c.more(&list.Items[i])
	}
	return nil
}

func (c *cli) fetchStatus(ctx context.Context, f *statusFlags, args []string) (json.RawMessage, console.SLOList, error) {
	var list console.SLOList
	api, err := c.client()
	if err != nil {
		return nil, list, err
	}
	var raw json.RawMessage
	if len(args) == 0 {
		q := url.Values{}
		for name, v := range map[string]string{"gns": f.gns, "service": f.service, "state": f.state} {
			if v != "" {
				q.Set(name, v)
			}
		}
		if err := api.get(ctx, "/api/v1/slos", q, &raw); err != nil {
			return nil, list, err
		}
		return raw, list, json.Unmarshal(raw, &list)
	}
	for _, a := range args {
		var one console.SLO
		if err := api.get(ctx, "/api/v1/slos/"+escape(strings.Split(a, "/")...), nil, &raw); err != nil {
			return nil, list, c.refused(err)
		}
		if err := json.Unmarshal(raw, &one); err != nil {
			return nil, list, err
		}
		list.Items = append(list.Items, one)
	}
	if len(args) > 1 {
		raw, err = json.Marshal(list)
	}
	return raw, list, err
}

// watchStatus draws the table over the last one until ctx ends. A server that is away for a while is said, and waited for.
func (c *cli) watchStatus(ctx context.Context, f *statusFlags, args []string) error {
	t := time.NewTicker(f.every)
	defer t.Stop()
	for {
		var page bytes.Buffer
		_, list, err := c.fetchStatus(ctx, f, args)
		switch {
		case ctx.Err() != nil:
			return nil
		case err != nil:
			fmt.Fprintln(&page, "evenkeel:", err)
		default:
			err = statusTable(&cli{out: &page}, list)
		}
		const home, clearBelow = "\x1b[H\x1b[2J", "\x1b[J"
		fmt.Fprintf(c.out, "%s%sasOf %s, lag %.1fs\n", home, page.String(), list.AsOf, list.LagSeconds)
		fmt.Fprint(c.out, clearBelow)
		select {
		case <-ctx.Done():
			return nil
		case <-t.C:
		}
	}
}

func statusTable(c *cli, list console.SLOList) error {
	rows := [][]string{{"SLO", "OBJECTIVE", "SLI", "BUDGET LEFT", "BURN 1H/5M", "STATE", "ALERTS"}}
	for i := range list.Items {
		s := &list.Items[i]
		rows = append(rows, []string{
			clean(s.GlobalNamespace + "/" + s.Service + "/" + s.Name), percent(s.Objective.Float()), sli(s.SLI), budgetLeft(s.Budget),
			rate(s.BurnRates, slo.Duration(3600_000)) + "/" + rate(s.BurnRates, slo.Duration(300_000)), s.State, alerts(s.Alerts),
		})
	}
	widths := []int{0, 9, 9, 11, 11, 9, 14}
	left := tableColumns
	for i := 1; i < len(widths); i++ {
		longest := 0
		for _, row := range rows {
			longest = max(longest, utf8.RuneCountInString(row[i]))
		}
		left -= 2 + min(longest, widths[i])
	}
	for _, row := range rows {
		row[0] = cutLeft(row[0], left)
	}
	return table(c.out, widths, rows)
}

// tableColumns is the width of a terminal that the table fits.
const tableColumns = 100

// cutLeft shortens s to n signs, the first then being "…": the end of an SLO's name tells it from others.
func cutLeft(s string, n int) string {
	rs := []rune(s)
	if len(rs) <= n {
		return s
	}
	return "…" + string(rs[len(rs)-n+1:])
}

// percent writes a share with as many digits as it needs, at most five behind the point.
func percent(v float64) string {
	s := fmt.Sprintf("%.5f", v*100)
	return strings.TrimRight(strings.TrimRight(s, "0"), ".") + "%"
}

func sli(d *slo.Decimal) string {
	if d == nil {
		return "-"
	}
	return percent(d.Float())
}

func budgetLeft(b slo.Budget) string {
	if b.RemainingRatio == nil {
		return "-"
	}
	v := *b.RemainingRatio * 100
	if v <= -10000 {
		return "<-9999%"
	}
	return fmt.Sprintf("%.1f%%", v)
}

func rate(rs []slo.BurnRate, window slo.Duration) string {
	for _, r := range rs {
		if r.Window == window && r.Rate != nil {
			switch v := *r.Rate; {
			case v >= 100:
				return fmt.Sprintf("%.0f", v)
			case v >= 10:
				return fmt.Sprintf("%.1f", v)
			default:
				return fmt.Sprintf("%.2f", v)
			}
		}
	}
	return "-"
}

// alerts names the tiers whose alert is not inactive; a pending one has a "?".
func alerts(as []slo.AlertStatus) string {
	var out []string
	for _, a := range as {
		switch a.State {
		case slo.AlertFiring:
			out = append(out, a.Tier)
		case slo.AlertPending:
			out = append(out, a.Tier+"?")
		}
	}
	if len(out) == 0 {
		return "-"
	}
	return clean(strings.Join(out, ","))
}
