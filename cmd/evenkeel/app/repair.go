package app

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"

	"evenkeel.dev/bus"
	"evenkeel.dev/bus/jetstream"
	"evenkeel.dev/console"
	"evenkeel.dev/mesh"
	"evenkeel.dev/mesh/calls"
	"evenkeel.dev/mesh/inventory"
	"evenkeel.dev/slo"
	"evenkeel.dev/slo/notify"
)

// stages lists all stages of an installation: retention waits for each of them, whichever process runs it.
func stages() []jetstream.StageInfo {
	return []jetstream.StageInfo{
		{Name: mesh.CatalogueSpec().Name, Partitions: 1},
		{Name: inventory.StageName, Partitions: 1},
		{Name: calls.StageName, Partitions: 1},
		{Name: slo.StageName, Partitions: bus.DefaultPartitions},
		{Name: slo.CompositeStageName, Partitions: 1},
		{Name: notify.Spec(notify.Config{}).Name, Partitions: 1},
	}
}

// repairs implements [console.Repairs] on the log.
type repairs struct{ log *jetstream.Log }

func findingID(f jetstream.Finding) string { return fmt.Sprintf("%s.%d", f.Stage, f.Partition) }

// Diagnose implements [console.Repairs].
func (r repairs) Diagnose(ctx context.Context) ([]console.Finding, error) {
	found, err := r.log.Diagnose(ctx)
	var out []console.Finding
	for _, f := range found {
		c := console.Finding{ID: findingID(f), Stage: f.Stage, Partition: f.Partition, Reason: f.Reason, Message: f.Text, Choices: []console.Choice{}}
		for _, ch := range f.Choices {
			c.Choices = append(c.Choices, console.Choice{ID: ch.Name, Message: ch.Text})
		}
		out = append(out, c)
	}
	return out, err
}

// Mend implements [console.Repairs].
func (r repairs) Mend(ctx context.Context, finding, choice string) error {
	found, err := r.log.Diagnose(ctx)
	if err != nil {
		return err
	}
	for _, f := range found {
		if findingID(f) == finding {
			if err := r.log.Mend(ctx, f, choice); err != nil {
				return fmt.Errorf("mend %s by %s: %w", finding, choice, err)
			}
			return nil
		}
	}
	return console.Fail(http.StatusNotFound, "NotFound", "there is no finding "+finding+" now", nil)
}

// storeFolder is where the embedded server keeps its streams.
func storeFolder(data string) string { return filepath.Join(data, "jetstream") }

// WithStore opens the store in the data folder of an engine that stands still, without any listener, and closes it after f.
func WithStore(ctx context.Context, data string, f func(console.Repairs) error) (err error) {
	if _, err := os.Stat(storeFolder(data)); err != nil {
		return fmt.Errorf("%s is no data folder: %w", data, err)
	}
	release, err := lock(data)
	if err != nil {
		return err
	}
	defer release()
	server, err := jetstream.StartServer(jetstream.ServerConfig{DataDir: storeFolder(data), Logger: quiet()})
	if err != nil {
		return err
	}
	defer server.Close()
	log, err := jetstream.Open(ctx, jetstream.Config{Server: server, Stages: stages(), Logger: quiet()})
	if err != nil {
		return err
	}
	defer log.Close()
	return f(repairs{log})
}

// Restore fills an empty data folder from a backup.
func Restore(ctx context.Context, data string, from io.Reader) error {
	if entries, err := os.ReadDir(data); err == nil && len(entries) > 0 {
		return fmt.Errorf("%s is not empty; restore makes a new data folder", data)
	}
	release, err := lock(data)
	if err != nil {
		return err
	}
	defer release()
	server, err := jetstream.StartServer(jetstream.ServerConfig{DataDir: storeFolder(data), Logger: quiet()})
	if err != nil {
		return err
	}
	defer server.Close()
	return jetstream.Restore(ctx, jetstream.Config{Server: server, Stages: stages(), Logger: quiet()}, from)
}

func quiet() *slog.Logger { return slog.New(slog.DiscardHandler) }
