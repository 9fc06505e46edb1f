package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/spf13/pflag"

	"evenkeel.dev/bus"
	"evenkeel.dev/bus/jetstream"
	"evenkeel.dev/cmd/evenkeel/app"
	"evenkeel.dev/ingest"
	"evenkeel.dev/ingest/scrape"
)

// settled returns the settings that a command line, an environment and a file give.
func settled(t *testing.T, args []string, env map[string]string, file string) (app.Settings, error) {
	t.Helper()
	var s app.Settings
	var path string
	fs := pflag.NewFlagSet("run", pflag.ContinueOnError)
	runFlags(fs, &s, &path)
	withEnvironment(fs)
	if err := fs.Parse(args); err != nil {
		return s, err
	}
	if err := bindEnvironment(fs, func(name string) (string, bool) { v, ok := env[name]; return v, ok }); err != nil {
		return s, err
	}
	if file != "" {
		path = filepath.Join(t.TempDir(), "settings.yaml")
		if err := os.WriteFile(path, []byte(file), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return s, fromFile(fs, &s, path)
}

// If it fails, a setting that an operator has made is not the one that holds.
func TestSettingsPrecedence(t *testing.T) {
	const file = "http: 127.0.0.1:3\nlog: json\nnatsListen: 127.0.0.1:5\nroles: [bus, api]\nreplicas: 3\npprof: true\n"
	env := map[string]string{"EVENKEEL_HTTP": "127.0.0.1:2", "EVENKEEL_LOG": "text", "EVENKEEL_DATA": "elsewhere", "EVENKEEL_CONFIG": "a,b"}
	s, err := settled(t, []string{"--http", "127.0.0.1:1"}, env, file)
	if err != nil {
		t.Fatal(err)
	}
	got := []any{s.HTTP, s.Log, s.NATSListen, s.Roles, s.Replicas, s.Pprof, s.Data, s.Config, s.OTLPGRPC}
	want := []any{"127.0.0.1:1", "text", "127.0.0.1:5", []string{"bus", "api"}, 3, true, "elsewhere", []string{"a", "b"}, "127.0.0.1:4317"}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("flag over environment over file over default (-want +got):\n%s", diff)
	}
}

// If it fails, tokens, limits, sizes or scrape jobs of the settings file do not reach the parts they are for.
func TestSettingsSections(t *testing.T) {
	s, err := settled(t, nil, nil, `
tokens:
  - {name: grafana, role: viewer, tokenFile: /run/grafana.token, globalNamespaces: [shop]}
natsUsers: [{name: edge, role: ingest, passwordFile: /run/edge}]
limits: {horizon: 2h, filterBytes: 8MiB, samplesPerMinute: 1000}
sizes: {logBytes: 1GiB, eventsAge: 7d}
cluster: {name: c, listen: ":6222", routes: [a:6222, b:6222]}
otlp: {promoteResourceAttributes: [k8s.namespace.name]}
scrape:
  - name: apps
    interval: 5s
    fileSD: [targets/*.json]
    targets: [{targets: [localhost:9090], labels: {env: dev}}]
`)
	if err != nil {
		t.Fatal(err)
	}
	want := app.Sections{
		Tokens:    []app.Token{{Name: "grafana", Role: "viewer", TokenFile: "/run/grafana.token", GlobalNamespaces: []string{"shop"}}},
		NATSUsers: []app.NATSUser{{Name: "edge", Role: "ingest", PasswordFile: "/run/edge"}},
		Limits:    ingest.Limits{Horizon: 2 * bus.Hour, FilterBytes: 8 << 20, SamplesPerMinute: 1000},
		Sizes:     jetstream.Sizes{LogBytes: 1 << 30, EventsAge: 7 * 24 * time.Hour},
		Cluster:   &app.Cluster{Name: "c", Listen: ":6222", Routes: []string{"a:6222", "b:6222"}},
		OTLP:      app.OTLP{PromoteResourceAttributes: []string{"k8s.namespace.name"}},
		Scrape: []scrape.Job{{Name: "apps", Interval: 5 * time.Second, FileSD: []string{"targets/*.json"},
			Targets: []scrape.Group{{Targets: []string{"localhost:9090"}, Labels: map[string]string{"env": "dev"}}}}},
	}
	if diff := cmp.Diff(want, s.Sections); diff != "" {
		t.Errorf("sections (-want +got):\n%s", diff)
	}
}

// If it fails, a misspelled setting is taken silently for none.
func TestSettingsMistakes(t *testing.T) {
	for file, want := range map[string]string{
		"natsListn: x":                       `settings.yaml:1:1: unknown key "natsListn"; did you mean "natsListen"?`,
		"\nlimits: {horizn: 2h}":             `settings.yaml:2:10: unknown key "horizn"; did you mean "horizon"?`,
		"limits: {horizon: soon}":            `settings.yaml:1:19: "soon" is not a duration`,
		"sizes: {logBytes: -1}":              `"-1" is no whole number`,
		"tokens: {name: x}":                  `here must be a list`,
		"http: 127.0.0.1:1\nhttp: x":         `key "http" stands twice`,
		"replicas: many":                     `replicas:`,
		"pprof: [true]\nlog: {a: b}":         `log must be one value`,
		"- http":                             `here must be a map`,
		"server: http://x":                   `unknown key "server"`,
		"settings: x":                        `unknown key "settings"`,
		"http: [":                            `settings.yaml: yaml`,
		"scrape: [{name: x, intervall: 1s}]": `did you mean "interval"?`,
	} {
		if _, err := settled(t, nil, nil, file); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: got %v, want %q", file, err, want)
		}
	}
	if _, err := settled(t, nil, map[string]string{"EVENKEEL_REPLICAS": "many"}, ""); err == nil || !strings.Contains(err.Error(), "EVENKEEL_REPLICAS") {
		t.Errorf("a mistake in the environment: %v", err)
	}
}
