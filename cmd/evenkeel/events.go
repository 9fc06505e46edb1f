package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net/url"

	"github.com/spf13/cobra"

	"evenkeel.dev/bus/cloudevents"
	"evenkeel.dev/cmd/evenkeel/app"
	"evenkeel.dev/console"
)

type eventFlags struct {
	from, typ, gns, output string
	follow                 bool
}

func eventsCommand(c *cli) *cobra.Command {
	var f eventFlags
	cmd := &cobra.Command{
		Use:   "events",
		Short: "Show what happens, as it happens",
		Long: `Events prints public events, one a line: alerts, changes of state, changes of definitions. It begins now, or where --from says, and goes on
until it is interrupted; with --follow=false it ends with what is there. With -o json each line is a CloudEvent whose "sequence" can be
given to --from later (the next one is sequence + 1).`,
		Example: "  evenkeel events\n  evenkeel events --from 2h --follow=false --type slo.alert\n  evenkeel events --from 4711 -o json",
		Args:    cobra.NoArgs,
	}
	cmd.Flags().StringVar(&f.from, "from", "now", "where to begin: now, a sequence, a time as 2026-01-02T15:04:05Z, or a duration ago as 15m")
	cmd.Flags().BoolVar(&f.follow, "follow", true, "go on with what comes; false: end with what is there")
	cmd.Flags().StringVar(&f.typ, "type", "", "only events of this type, for example slo.alert or dev.evenkeel.slo.alert.v1")
	cmd.Flags().StringVar(&f.gns, "gns", "", "only events of this global namespace")
	cmd.Flags().StringVarP(&f.output, "output", "o", "", "json: one CloudEvent a line (default: for people)")
	cmd.RunE = do(func(cmd *cobra.Command, _ []string) error {
		if f.output != "" && f.output != "json" {
			return wrongUsage("-o %s is not known; events are printed for people or as json", f.output)
		}
		err := c.events(cmd.Context(), &f)
		if cmd.Context().Err() != nil {
			return nil // interrupted, as intended
		}
		return err
	})
	cmd.AddCommand(schemaCommand(c))
	return cmd
}

func schemaCommand(c *cli) *cobra.Command {
	return &cobra.Command{
		Use:   "schema",
		Short: "Print the AsyncAPI 3 document of all events, with their JSON Schemas",
		Args:  cobra.NoArgs,
		RunE: do(func(*cobra.Command, []string) error {
			b, err := app.EventSchema()
			if err != nil {
				return err
			}
			_, err = c.out.Write(b)
			return err
		}),
	}
}

func (c *cli) events(ctx context.Context, f *eventFlags) error {
	api, err := c.client()
	if err != nil {
		return err
	}
	q := url.Values{"from": {f.from}, "follow": {fmt.Sprint(f.follow)}}
	if f.typ != "" {
		q.Set("type", f.typ)
	}
	if f.gns != "" {
		q.Set("gns", f.gns)
	}
	body, err := api.open(ctx, "GET", "/api/v1/events", q, "", nil)
	if err != nil {
		return c.badFrom(err)
	}
	defer body.Close()
	lines := bufio.NewScanner(body)
	lines.Buffer(nil, console.MaxDefinitionsBody)
	for lines.Scan() {
		if len(lines.Bytes()) == 0 {
			continue // a heartbeat
		}
		if err := c.printEvent(f.output, lines.Bytes()); err != nil {
			return err
		}
	}
	if err := lines.Err(); err != nil {
		return fmt.Errorf("event stream: %w", err)
	}
	if f.follow {
		return fmt.Errorf("event stream: %w", io.ErrUnexpectedEOF)
	}
	return nil
}

// badFrom makes the server's word about a query one of usage.
func (c *cli) badFrom(err error) error {
	var e *apiError
	if errors.As(err, &e) && e.code == "BadQuery" {
		return &exitError{exitUsage, e}
	}
	return err
}

func (c *cli) printEvent(output string, text []byte) error {
	if output == "json" {
		_, err := fmt.Fprintf(c.out, "%s\n", text)
		return err
	}
	e, err := cloudevents.Parse(text)
	if err != nil {
		return fmt.Errorf("event stream: %w", err)
	}
	_, err = fmt.Fprintln(c.out, cloudevents.Line(&e))
	return err
}
