package inventory

import (
	"cmp"
	"maps"
	"slices"
)

const imagesMax = 16 // of a version

// ready reports whether an instance can serve.
func (i *Instance) ready() bool { return i.State == StateHealthy && !i.Done }

// summary returns what the service is now; nil when nothing of it is left.
func (c *cluster) summary(s *service) *ServiceEvent {
	if len(s.instances)+len(s.workloads) == 0 {
		return nil
	}
	e := &ServiceEvent{GlobalNamespace: s.gns, Service: s.name, Cluster: c.name, Namespace: s.namespace, Versions: s.versions(c.dark)}
	for _, w := range s.workloads {
		e.Desired += w.Desired
	}
	bare := 0
	for _, i := range s.instances {
		if i.ready() {
			e.Ready++
		}
		if i.Workload == "" && !i.Done {
			bare++
		}
	}
	e.Desired += bare
	e.State, e.Reason = s.judge(e)
	if c.dark {
		e.State, e.Reason = StateUnknown, "ClusterDark"
	}
	e.Hosts = c.hostsOf(s)
	return e
}

// judge says how the service is, by how many of its instances serve.
func (s *service) judge(e *ServiceEvent) (state, reason string) {
	if e.Desired == 0 {
		for _, v := range e.Versions {
			if v.State == StateError {
				return v.State, v.Reason
			}
		}
		return StateHealthy, "ScaledToZero"
	}
	if e.Ready >= e.Desired {
		return StateHealthy, ""
	}
	worst, reason := "", ""
	for _, v := range e.Versions {
		if rank(v.State) > rank(worst) {
			worst, reason = v.State, v.Reason
		}
	}
	switch {
	case worst == StateUnknown && e.Ready == 0:
		return StateUnknown, reason
	case e.Ready == 0 && worst == StateError:
		return StateError, reason
	case e.Ready == 0 && len(s.instances) == 0:
		return StateError, "NoInstances"
	}
	return StateWarning, cmp.Or(reason, "NotAllReady")
}

// rank orders states by how bad they are.
func rank(state string) int {
	return slices.Index([]string{"", StateHealthy, StateUnknown, StateWarning, StateError}, state)
}

// versions returns the versions of the service by name.
func (s *service) versions(dark bool) []Version {
	byName := map[string]*Version{}
	at := func(name string) *Version {
		v, ok := byName[name]
		if !ok {
			v = &Version{Name: name, State: StateHealthy}
			byName[name] = v
		}
		return v
	}
	for _, w := range s.workloads {
		if w.Version != "" {
			at(w.Version)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(s.instances)) {
		i := s.instances[name]
		v := at(i.Version)
		if i.Done && i.State == StateHealthy {
			continue
		}
		v.Instances++
		if i.ready() {
			v.Ready++
		} else if rank(i.State) > rank(v.State) {
			v.State, v.Reason = i.State, i.Reason
		}
		v.addImages(i)
	}
	out := make([]Version, 0, len(byName))
	for _, name := range slices.Sorted(maps.Keys(byName)) {
		v := byName[name]
		if dark {
			v.State, v.Reason = StateUnknown, "ClusterDark"
		}
		out = append(out, *v)
	}
	return out
}

func (v *Version) addImages(i *Instance) {
	for _, img := range i.Images {
		name := img.Name
		if img.Digest != "" {
			name = img.Name + "@" + img.Digest
		}
		if at, found := slices.BinarySearch(v.Images, name); !found && len(v.Images) < imagesMax {
			v.Images = slices.Insert(v.Images, at, name)
		}
	}
}

// hostsOf returns the names of the Service objects that select some instance, or the template of a workload, of the service.
func (c *cluster) hostsOf(s *service) []string {
	var out []string
	for p, h := range c.hosts {
		if p.namespace == s.namespace && h.selects(s) {
			out = append(out, p.name)
		}
	}
	slices.Sort(out)
	return out
}

func (h *Host) selects(s *service) bool {
	if len(h.Selector) == 0 {
		return false
	}
	for _, w := range s.workloads {
		if contains(w.Labels, h.Selector) {
			return true
		}
	}
	for _, i := range s.instances {
		if contains(i.Labels, h.Selector) {
			return true
		}
	}
	return false
}

// contains reports whether labels have all that the selector asks for.
func contains(labels, selector map[string]string) bool {
	for k, v := range selector {
		if got, ok := labels[k]; !ok || got != v {
			return false
		}
	}
	return true
}

// labels returns the labels that all workloads of the service share, or those of its instances where it has no workload.
func (s *service) labels() map[string]string {
	var out map[string]string
	share := func(ls map[string]string) {
		if out == nil {
			out = maps.Clone(ls)
			return
		}
		maps.DeleteFunc(out, func(k, v string) bool { return ls[k] != v })
	}
	for _, w := range s.workloads {
		share(w.Labels)
	}
	if len(s.workloads) == 0 {
		for _, i := range s.instances {
			share(i.Labels)
		}
	}
	return out
}

func equalEvents(a, b *ServiceEvent) bool {
	return a.GlobalNamespace == b.GlobalNamespace && a.State == b.State && a.Reason == b.Reason && a.Desired == b.Desired && a.Ready == b.Ready &&
		slices.Equal(a.Hosts, b.Hosts) && slices.EqualFunc(a.Versions, b.Versions, func(x, y Version) bool {
		return x.Name == y.Name && x.State == y.State && x.Reason == y.Reason && x.Instances == y.Instances && x.Ready == y.Ready && slices.Equal(x.Images, y.Images)
	})
}
