package app

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"log/slog"
	"maps"
	"path/filepath"
	"slices"

	"evenkeel.dev/mesh"
	fleetkube "evenkeel.dev/mesh/fleet/kube"
	"evenkeel.dev/mesh/fleet/tmc"
	"evenkeel.dev/mesh/kube"
)

// A Fleet is one item of the section fleets: where a list of clusters comes from. Exactly one of its kinds is set.
type Fleet struct {
	Name                string // for people and in the log; default: the kind and what it points to
	Prefix              string // before the names of its clusters
	KubeconfigFolder    string
	ClusterAPI          *ClusterAPIFleet
	TanzuMissionControl *MissionControlFleet
}

// A ClusterAPIFleet is a management cluster of Cluster API.
type ClusterAPIFleet struct {
	Kubeconfig string // default: that of --kubeconfig
	Context    string // default: the current one; "in-cluster" is the cluster that this runs in
	Namespace  string // of the objects; default all
	Selector   string // of their labels; default all
}

// A MissionControlFleet is an organisation of Tanzu Mission Control.
type MissionControlFleet struct {
	URL       string
	CSPURL    string `yaml:"cspURL"` // default tmc.DefaultCSPURL
	TokenFile string
	Group     string // a cluster group; default all
}

// A fleet lists clusters, each time anew, in at most 30 seconds. Where a list cannot be had as a whole, it is an error, and what was there before stands.
type fleet interface {
	Name() string
	Clusters(context.Context) ([]fleetCluster, error)
}

// A fleetCluster is a cluster of a fleet.
type fleetCluster struct {
	Name   string // a DNS label, the same each time for the same cluster, and no other's in its fleet
	From   string // what it is in the fleet: a file and its context, an object, a full name
	Labels map[string]string
	Region string // "" where nobody says it

	REST     *kube.Connection // nil: known, with no way to it from here
	Revision string           // changes when REST means something else
	Reason   string           // why REST is nil; with a REST, what should be looked after
}

// fleetLabelBytes is how much the labels of a cluster may take.
const fleetLabelBytes = 32 << 10

// attachAgent is the reason of clusters that are known by name only.
const attachAgent = "its kubeconfig needs a person to log in; attach an agent"

// fleets makes the fleets of the settings. Nobody is asked anything yet; files of management clusters are read.
func (s *Settings) fleets(logger *slog.Logger) ([]fleet, error) {
	var out []fleet
	var names []string
	for i := range s.Fleets {
		f := &s.Fleets[i]
		if err := f.validate(); err != nil {
			return nil, fmt.Errorf("fleets: item %d: %w", i+1, err)
		}
		list, err := s.lister(f, logger)
		if err != nil {
			return nil, fmt.Errorf("fleets: item %d: %w", i+1, err)
		}
		n := &namedFleet{name: f.title(), prefix: f.Prefix, list: list}
		if slices.Contains(names, n.name) {
			return nil, fmt.Errorf("fleets: item %d: there is another fleet %q before it; give it a name of its own", i+1, n.name)
		}
		names, out = append(names, n.name), append(out, n)
	}
	return out, nil
}

// validateFleets refuses what contradicts itself, and reads nothing.
func (s *Settings) validateFleets() error {
	for i := range s.Fleets {
		if err := s.Fleets[i].validate(); err != nil {
			return fmt.Errorf("fleets: item %d: %w", i+1, err)
		}
	}
	return nil
}

func (f *Fleet) validate() error {
	kinds := 0
	for _, there := range []bool{f.KubeconfigFolder != "", f.ClusterAPI != nil, f.TanzuMissionControl != nil} {
		if there {
			kinds++
		}
	}
	if kinds != 1 {
		return fmt.Errorf("it has %d of kubeconfigFolder, clusterAPI and tanzuMissionControl; it must have one", kinds)
	}
	if hint := mesh.LabelHint(f.Prefix + "x"); hint != "" {
		return fmt.Errorf("prefix %q cannot begin a DNS label: %s", f.Prefix, hint)
	}
	return nil
}

// title is the name of a fleet for people.
func (f *Fleet) title() string {
	switch {
	case f.Name != "":
		return f.Name
	case f.ClusterAPI != nil:
		where := "clusterAPI " + cmp.Or(f.ClusterAPI.Context, f.ClusterAPI.Kubeconfig, "current context")
		if f.ClusterAPI.Namespace != "" {
			where += ", namespace " + f.ClusterAPI.Namespace
		}
		if f.ClusterAPI.Selector != "" {
			where += ", " + f.ClusterAPI.Selector
		}
		return where
	case f.TanzuMissionControl != nil:
		if f.TanzuMissionControl.Group != "" {
			return "tanzuMissionControl group " + f.TanzuMissionControl.Group
		}
		return "tanzuMissionControl"
	}
	return "kubeconfigFolder " + filepath.Base(f.KubeconfigFolder)
}

// lister makes what lists the clusters of one item, under the names that they have there.
func (s *Settings) lister(f *Fleet, logger *slog.Logger) (lister, error) {
	switch {
	case f.KubeconfigFolder != "":
		return fromKube(fleetkube.NewFolder(f.KubeconfigFolder, logger).Clusters), nil
	case f.ClusterAPI != nil:
		c := f.ClusterAPI
		connection, err := s.management(c)
		if err != nil {
			return nil, err
		}
		m, err := fleetkube.NewManagement(fleetkube.ManagementConfig{REST: connection, Namespace: c.Namespace, Selector: c.Selector})
		if err != nil {
			return nil, err
		}
		return fromKube(m.Clusters), nil
	}
	c := f.TanzuMissionControl
	m, err := tmc.New(tmc.Config{URL: c.URL, CSPURL: c.CSPURL, TokenFile: c.TokenFile, Group: c.Group})
	if err != nil {
		return nil, err
	}
	return fromMissionControl(m.Clusters), nil
}

// management returns the connection to a management cluster.
func (s *Settings) management(c *ClusterAPIFleet) (*kube.Connection, error) {
	if c.Context == inCluster {
		return kube.InCluster()
	}
	return kube.Connect(cmp.Or(c.Kubeconfig, s.Kubeconfig), c.Context)
}

// A lister lists clusters under the names that they have in their fleet.
type lister func(context.Context) ([]fleetCluster, error)

func fromKube(list func(context.Context) ([]fleetkube.Cluster, error)) lister {
	return func(ctx context.Context) ([]fleetCluster, error) {
		clusters, err := list(ctx)
		out := make([]fleetCluster, len(clusters))
		for i, c := range clusters {
			out[i] = fleetCluster{Name: c.Name, From: c.From, Labels: c.Labels, Region: c.Region, REST: c.REST, Revision: c.Revision, Reason: c.Reason}
		}
		return out, err
	}
}

func fromMissionControl(list func(context.Context) ([]tmc.Cluster, error)) lister {
	return func(ctx context.Context) ([]fleetCluster, error) {
		clusters, err := list(ctx)
		out := make([]fleetCluster, len(clusters))
		for i, c := range clusters {
			reason := attachAgent
			if c.Phase != "" && c.Phase != "READY" {
				reason += "; phase " + c.Phase
			}
			if c.Health == "DISCONNECTED" {
				reason += "; Tanzu Mission Control has no connection to it"
			}
			out[i] = fleetCluster{Name: c.Name, From: c.From, Labels: c.Labels, Region: c.Region, Reason: reason}
		}
		return out, err
	}
}

// A namedFleet gives the clusters of a lister names that are DNS labels.
type namedFleet struct {
	name, prefix string
	list         lister
}

// Name implements [fleet].
func (n *namedFleet) Name() string { return n.name }

// Clusters implements [fleet]. The clusters come sorted by name.
func (n *namedFleet) Clusters(ctx context.Context) ([]fleetCluster, error) {
	out, err := n.list(ctx)
	if err != nil {
		return nil, fmt.Errorf("fleet %s: %w", n.name, err)
	}
	for i := range out {
		c := &out[i]
		c.Name = clusterLabel(n.prefix + c.Name)
		size := 0
		for k, v := range c.Labels {
			size += len(k) + len(v)
		}
		if size > fleetLabelBytes {
			c.Labels = nil
			c.Reason = joined(c.Reason, fmt.Sprintf("its labels take more than %d bytes and are left out", fleetLabelBytes))
		}
	}
	slices.SortStableFunc(out, func(a, b fleetCluster) int { return cmp.Compare(a.Name, b.Name) })
	if err := distinct(map[string]string{}, n.name, out); err != nil {
		return nil, err
	}
	return out, nil
}

func joined(a, b string) string {
	if a == "" {
		return b
	}
	return a + "; " + b
}

// clusterLabel makes the name that a cluster has in its fleet a DNS label. A name that is one stays. What is changed can be told back by [fleetCluster].From; names
// that are too long end in a hash of the whole.
func clusterLabel(name string) string {
	if mesh.LabelHint(name) == "" {
		return name
	}
	slug := mesh.Slug(name)
	if len(name) <= 63 && slug != "" {
		return slug
	}
	sum := sha256.Sum256([]byte(name))
	return cmp.Or(mesh.Slug(slug[:min(len(slug), 50)]), "cluster") + "-" + hex.EncodeToString(sum[:5])
}

// distinct adds the clusters of a fleet to those that are seen, what stands behind each by its name, and refuses a name that stands for two; then it adds none.
func distinct(seen map[string]string, fleet string, clusters []fleetCluster) error {
	own := map[string]string{}
	for _, c := range clusters {
		what := fmt.Sprintf("%s of fleet %s", c.From, fleet)
		if other := cmp.Or(own[c.Name], seen[c.Name]); other != "" {
			return fmt.Errorf("fleet %s: %s and %s would both be the cluster %s; rename one, or give a fleet a prefix", fleet, other, what, c.Name)
		}
		own[c.Name] = what
	}
	maps.Copy(seen, own)
	return nil
}
