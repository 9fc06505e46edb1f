package app

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"sync/atomic"

	"evenkeel.dev/console"
	"evenkeel.dev/mesh"
	"evenkeel.dev/mesh/gns"
	"evenkeel.dev/mesh/kube"
	"evenkeel.dev/mesh/kube/definition"
	"evenkeel.dev/mesh/yaml"
)

// inCluster is the word for the cluster that the process runs in, where a context of a kubeconfig would stand.
const inCluster = "in-cluster"

// A kubeSource is one item of --definitions-from-kube: NAME, or NAME=CONTEXT.
type kubeSource struct{ name, context string }

// kubeSources reads --definitions-from-kube, and refuses what contradicts itself.
func (s *Settings) kubeSources() ([]kubeSource, error) {
	out, err := namedContexts("--definitions-from-kube", s.DefinitionsFromKube)
	if err != nil {
		return nil, err
	}
	for _, name := range s.DefinitionsTrusted {
		if !slices.ContainsFunc(out, func(k kubeSource) bool { return k.name == name }) {
			return nil, fmt.Errorf("--definitions-trusted %s is none of --definitions-from-kube", name)
		}
	}
	return out, nil
}

// namedContexts reads items of the form NAME or NAME=CONTEXT.
func namedContexts(flag string, items []string) ([]kubeSource, error) {
	var out []kubeSource
	for _, item := range items {
		name, kubeContext, ok := strings.Cut(item, "=")
		if !ok {
			kubeContext = name
		}
		if hint := mesh.LabelHint(name); hint != "" {
			return nil, fmt.Errorf("%s %s: the name %q of a cluster is not a DNS label: %s; write NAME=CONTEXT", flag, item, name, hint)
		}
		if kubeContext == "" {
			return nil, fmt.Errorf("%s %s names no context; write NAME=CONTEXT, or NAME=%s", flag, item, inCluster)
		}
		if slices.ContainsFunc(out, func(k kubeSource) bool { return k.name == name }) {
			return nil, fmt.Errorf("%s names %s twice", flag, name)
		}
		out = append(out, kubeSource{name, kubeContext})
	}
	return out, nil
}

// validateKube refuses wrong names of clusters.
func (s *Settings) validateKube() error {
	_, err := s.kubeSources()
	_, other := namedContexts("--observe", s.Clusters)
	return errors.Join(err, other)
}

// connect returns the connection to the cluster of a context, or to the one that the process runs in.
func (s *Settings) connect(kubeContext string) (*kube.Connection, error) {
	if kubeContext == inCluster {
		return kube.InCluster()
	}
	return kube.Connect(s.Kubeconfig, kubeContext)
}

// kubeRole is the role by which processes agree on who reads the definitions of a cluster: one of those that could.
func kubeRole(cluster string) string { return "definitions of " + cluster }

// kubeRoles are those of this process.
func (s *Settings) kubeRoles() []string {
	sources, _ := s.kubeSources() // they were validated
	var out []string
	for _, k := range sources {
		out = append(out, kubeRole(k.name))
	}
	return out
}

// openKube makes the sources of --definitions-from-kube. No cluster is asked anything yet.
func (a *app) openKube() error {
	sources, err := a.settings.kubeSources()
	if err != nil {
		return err
	}
	for _, k := range sources {
		connection, err := a.settings.connect(k.context)
		if err != nil {
			return fmt.Errorf("--definitions-from-kube %s: %w", k.name, err)
		}
		client, err := definition.Connect(connection)
		if err != nil {
			return fmt.Errorf("--definitions-from-kube %s: %w", k.name, err)
		}
		c := definition.Config{
			Cluster: k.name, Client: client, Trusted: slices.Contains(a.settings.DefinitionsTrusted, k.name), Kinds: a.definitions.kinds, Format: yaml.Format, Outreaches: gns.Outreaches,
			Read: a.catalogue.read, Change: a.definitions.change, Owns: func() bool { return a.members.Owns(kubeRole(k.name), k.name, 0) }, Logger: a.logger,
		}
		if a.statuses != nil {
			c.State = a.coarse
		}
		s, err := definition.New(c)
		if err != nil {
			return fmt.Errorf("--definitions-from-kube %s: %w", k.name, err)
		}
		a.kube = append(a.kube, s)
		a.kubeNames = append(a.kubeNames, k.name)
	}
	if len(a.kube) > 0 {
		definition.Log(a.logger)
	}
	return nil
}

// coarse is what the status of a custom resource says of an SLO.
func (a *app) coarse(globalNamespace, service, name string) (definition.State, bool) {
	it, ok := a.statuses.Get(globalNamespace, service, name)
	return definition.State{State: it.State, Remaining: it.Budget.RemainingRatio}, ok
}

// change carries out what a cluster's objects wish. What the catalogue has refused for good is told from what may be tried again.
func (d *definitions) change(ctx context.Context, w mesh.Wish, compile definition.Compile) error {
	_, err := d.carry(ctx, wish{Wish: w, compile: func(existing []mesh.Definition) ([]mesh.Definition, []mesh.Ref, []mesh.Problem) {
		set, gone := compile(existing)
		return set, gone, nil
	}})
	var no *console.Failure
	if errors.As(err, &no) && (no.Status == http.StatusConflict || no.Status == http.StatusUnprocessableEntity) {
		return &definition.Refusal{Reason: no.Code, Message: no.Message}
	}
	return err
}

// kubeMetrics writes what the sources count.
func (a *app) kubeMetrics(w io.Writer) {
	each := func(v func(s *definition.Stats) float64) func(func(string, float64)) {
		return func(line func(string, float64)) {
			for i, s := range a.kube {
				line(fmt.Sprintf("cluster=%q", a.kubeNames[i]), v(s.Stats()))
			}
		}
	}
	family(w, "evenkeel_kube_definitions", "gauge", func(line func(string, float64)) {
		for i, s := range a.kube {
			for reason, n := range s.Reasons() {
				line(fmt.Sprintf("cluster=%q,reason=%q", a.kubeNames[i], reason), float64(n))
			}
		}
	})
	family(w, "evenkeel_kube_definitions_kinds_read", "gauge", each(func(s *definition.Stats) float64 { return float64(s.Reading.Load()) }))
	family(w, "evenkeel_kube_definitions_held", "gauge", each(func(s *definition.Stats) float64 { return float64(s.HeldObjects.Load()) }))
	for _, c := range []struct {
		name string
		of   func(s *definition.Stats) *atomic.Uint64
	}{
		{"set", func(s *definition.Stats) *atomic.Uint64 { return &s.Set }}, {"deleted", func(s *definition.Stats) *atomic.Uint64 { return &s.Deleted }},
		{"failures", func(s *definition.Stats) *atomic.Uint64 { return &s.Failures }}, {"watch_errors", func(s *definition.Stats) *atomic.Uint64 { return &s.WatchErrors }},
		{"status_writes", func(s *definition.Stats) *atomic.Uint64 { return &s.StatusWrites }}, {"status_failures", func(s *definition.Stats) *atomic.Uint64 { return &s.StatusFailures }},
	} {
		family(w, "evenkeel_kube_definitions_"+c.name+"_total", "counter", each(func(s *definition.Stats) float64 { return float64(c.of(s).Load()) }))
	}
}
