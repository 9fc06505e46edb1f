package kube

import (
	"iter"
	"maps"
	"slices"
	"strings"
	"unique"
)

// A labelText is a set of labels as one string, so that pods of one roll-out share it: key, NUL, value, NUL, in order of keys.
type labelText string

func encodeLabels(m map[string]string) unique.Handle[labelText] {
	var b strings.Builder
	for _, k := range slices.Sorted(maps.Keys(m)) {
		b.WriteString(k)
		b.WriteByte(0)
		b.WriteString(m[k])
		b.WriteByte(0)
	}
	return unique.Make(labelText(b.String()))
}

func (l labelText) all() iter.Seq2[string, string] {
	return func(yield func(string, string) bool) {
		for rest := string(l); rest != ""; {
			var k, v string
			k, rest, _ = strings.Cut(rest, "\x00")
			v, rest, _ = strings.Cut(rest, "\x00")
			if !yield(k, v) {
				return
			}
		}
	}
}

func (l labelText) get(key string) string {
	for k, v := range l.all() {
		if k == key {
			return v
		}
	}
	return ""
}

// weigh returns the bytes of labels.
func weigh(m map[string]string) int {
	n := 0
	for k, v := range m {
		n += len(k) + len(v)
	}
	return n
}

// Labels that say what a pod belongs to.
const (
	labelTemplateHash = "pod-template-hash"          // of a Deployment's ReplicaSet
	labelRolloutHash  = "rollouts-pod-template-hash" // of an Argo Rollout's ReplicaSet
	labelRevisionHash = "controller-revision-hash"   // of a StatefulSet ("<name>-<hash>") or a DaemonSet
)

// serviceOf returns the name of the service that pods with these labels belong to: Istio's rule.
func serviceOf(get func(string) string, workload string) string {
	for _, k := range []string{"service.istio.io/canonical-name", "app.kubernetes.io/name", "app"} {
		if v := get(k); v != "" {
			return v
		}
	}
	return workload
}

// writtenVersion returns the version that labels name, or "".
func writtenVersion(get func(string) string) string {
	for _, k := range []string{"service.istio.io/canonical-revision", "app.kubernetes.io/version", "version"} {
		if v := get(k); v != "" {
			return v
		}
	}
	return ""
}

// versionOf returns the version of a pod: what its labels name, its roll-out, or else Istio's "latest".
func versionOf(get func(string) string, workload string) string {
	if v := writtenVersion(get); v != "" {
		return v
	}
	for _, k := range []string{labelTemplateHash, labelRolloutHash} {
		if v := get(k); v != "" {
			return v
		}
	}
	if v := strings.TrimPrefix(get(labelRevisionHash), workload+"-"); v != "" {
		return v
	}
	return "latest"
}

// workloadOf returns the workload behind the owner of a pod, and the name that its service has where no label names one. An owner that is a node made a
// static pod, which is a bare one.
func workloadOf(get func(string) string, ownerKind, owner, pod string) (workload, name string) {
	switch ownerKind {
	case "", "Node":
		return "", pod
	case "ReplicaSet":
		if h := get(labelTemplateHash); h != "" && strings.HasSuffix(owner, "-"+h) {
			name = strings.TrimSuffix(owner, "-"+h)
			return "Deployment/" + name, name
		}
		return "ReplicaSet/" + owner, withoutRollout(get, owner)
	}
	return ownerKind + "/" + owner, owner
}

// withoutRollout returns the name of the Rollout that made a ReplicaSet, or else the ReplicaSet's.
func withoutRollout(get func(string) string, replicaSet string) string {
	if h := get(labelRolloutHash); h != "" {
		return strings.TrimSuffix(replicaSet, "-"+h)
	}
	return replicaSet
}
