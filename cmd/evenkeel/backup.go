package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"

	"evenkeel.dev/cmd/evenkeel/app"
)

func backupCommand(c *cli) *cobra.Command {
	return &cobra.Command{
		Use:   "backup FILE|-",
		Short: "Write a consistent copy of everything that the engine keeps",
		Long: `Backup asks the running engine for a consistent cut of its streams and writes it to a file (mode 0600) or, with -, to the output. The file
appears only when it is complete. It needs the role admin. Tokens are not part of it.`,
		Example: "  evenkeel backup evenkeel.backup\n  evenkeel backup - | age -r KEY > evenkeel.backup.age",
		Args:    cobra.ExactArgs(1),
		RunE: do(func(cmd *cobra.Command, args []string) error {
			api, err := c.client()
			if err != nil {
				return err
			}
			body, err := api.open(cmd.Context(), http.MethodPost, "/api/v1/backup", nil, "", nil)
			if err != nil {
				return err
			}
			defer body.Close()
			if args[0] == "-" {
				_, err := io.Copy(c.out, body)
				return err
			}
			n, err := writeWhole(args[0], body)
			if err == nil {
				fmt.Fprintf(c.err, "%s: %d bytes\n", args[0], n)
			}
			return err
		}),
	}
}

// writeWhole writes a file that appears under its name only when all of it is on disk.
func writeWhole(path string, from io.Reader) (int64, error) {
	f, err := os.CreateTemp(filepath.Dir(path), ".evenkeel-backup-*") // mode 0600
	if err != nil {
		return 0, err
	}
	n, err := io.Copy(f, from)
	err = errors.Join(err, f.Sync(), f.Close())
	if err == nil {
		err = os.Rename(f.Name(), path)
	}
	if err != nil {
		return n, errors.Join(fmt.Errorf("write %s: %w", path, err), os.Remove(f.Name()))
	}
	return n, nil
}

func restoreCommand(c *cli) *cobra.Command {
	var data string
	cmd := &cobra.Command{
		Use:   "restore FILE|- --data DIR",
		Short: "Make a data folder from a backup",
		Long: `Restore fills an empty data folder from a backup. Start the engine on it afterwards. The log's generation rises, so that what the engine
decides from then on stands above whatever was decided before the restore. Tokens are made anew.`,
		Example: "  evenkeel restore evenkeel.backup --data data/",
		Args:    cobra.ExactArgs(1),
	}
	cmd.Flags().StringVar(&data, "data", "", "folder to fill; it must be empty or not be there")
	_ = cmd.MarkFlagRequired("data") // the flag exists
	cmd.RunE = do(func(cmd *cobra.Command, args []string) error { return c.restore(cmd.Context(), args[0], data) })
	return cmd
}

func (c *cli) restore(ctx context.Context, from, data string) error {
	in := c.in
	if from != "-" {
		f, err := os.Open(from)
		if err != nil {
			return err
		}
		defer f.Close()
		in = f
	}
	if err := app.Restore(ctx, data, in); err != nil {
		return err
	}
	fmt.Fprintf(c.err, "%s is restored; start the engine: evenkeel run --data %s\n", data, data)
	return nil
}
