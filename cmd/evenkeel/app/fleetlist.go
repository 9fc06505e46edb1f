package app

import (
	"context"
	"errors"
	"time"

	"golang.org/x/sync/errgroup"

	"evenkeel.dev/mesh/kube"
)

const (
	fleetProbe      = 5 * time.Second
	fleetProbesOnce = 16
)

// A KnownCluster is what a fleet knows of a cluster, and whether the cluster answers.
type KnownCluster struct {
	Name      string            `json:"name"`
	Fleet     string            `json:"fleet"`
	From      string            `json:"from"` // what it is in the fleet
	Labels    map[string]string `json:"labels,omitempty"`
	Region    string            `json:"region,omitempty"`
	Reachable bool              `json:"reachable"`
	Version   string            `json:"version,omitempty"` // of Kubernetes, as it answers
	Reason    string            `json:"reason,omitempty"`  // why it is not reachable, or what should be looked after
}

// KnownClusters asks the fleets of the settings for their clusters, in the order of the settings, and each cluster that there is a way to for its version. What cannot be read is an error
// beside those that can.
func KnownClusters(ctx context.Context, s *Settings) ([]KnownCluster, error) {
	fleets, err := s.fleets(nil)
	if err != nil {
		return nil, err
	}
	var errs []error
	var out []KnownCluster
	var ways []*kube.Connection // to the clusters of out
	seen := map[string]string{}
	for _, f := range fleets {
		clusters, err := f.Clusters(ctx)
		if err == nil {
			err = distinct(seen, f.Name(), clusters)
		}
		errs = append(errs, err)
		for _, c := range clusters {
			out = append(out, KnownCluster{Name: c.Name, Fleet: f.Name(), From: c.From, Labels: c.Labels, Region: c.Region, Reason: c.Reason})
			ways = append(ways, c.REST)
		}
	}
	var g errgroup.Group
	g.SetLimit(fleetProbesOnce)
	for i, way := range ways {
		if way != nil {
			g.Go(func() error { out[i].probe(ctx, way); return nil })
		}
	}
	_ = g.Wait() // none fails
	return out, errors.Join(errs...)
}

// probe asks the cluster for its version.
func (k *KnownCluster) probe(ctx context.Context, way *kube.Connection) {
	ctx, stop := context.WithTimeout(ctx, fleetProbe)
	defer stop()
	version, err := kube.Version(ctx, way)
	if err != nil {
		k.Reason = joined(k.Reason, err.Error())
		return
	}
	k.Reachable, k.Version = true, version
}
