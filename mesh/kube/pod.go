package kube

import (
	"strings"
	"unique"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"evenkeel.dev/bus"
	"evenkeel.dev/mesh/inventory"
)

// A pod is what is kept of a Pod. Its namespace and name are where it lies; what many pods share is a handle.
type pod struct {
	labels    unique.Handle[labelText]
	images    unique.Handle[string] // see encodeImages
	account   unique.Handle[string]
	node      unique.Handle[string]
	owner     unique.Handle[string]
	cron      unique.Handle[string] // that made the Job which is the owner; "" where there is none or it is not known yet
	ownerKind unique.Handle[string]
	reason    unique.Handle[string]
	state     string // a constant of inventory
	ip        string
	created   bus.Time
	restarts  int32
	done      bool
	sidecar   bool
}

// stripPod cuts a Pod down.
func stripPod(p *corev1.Pod) *stripped {
	kind, owner := ownerOf(p.OwnerReferences)
	images, weight := encodeImages(p)
	state, reason, done := podState(p)
	f := &pod{
		labels: encodeLabels(p.Labels), images: unique.Make(images), account: unique.Make(p.Spec.ServiceAccountName), node: unique.Make(p.Spec.NodeName),
		owner: unique.Make(owner), ownerKind: unique.Make(kind), cron: unique.Make(""), ip: p.Status.PodIP,
		created: bus.TimeOf(p.CreationTimestamp.Time), state: state, reason: unique.Make(reason), done: done, sidecar: meshed(p),
	}
	for _, c := range p.Status.ContainerStatuses {
		f.restarts += c.RestartCount
	}
	for _, c := range p.Status.InitContainerStatuses {
		f.restarts += c.RestartCount
	}
	return &stripped{fact: f, weight: weight + weigh(p.Labels)}
}

// ownerOf returns the owner that controls an object.
func ownerOf(refs []metav1.OwnerReference) (kind, name string) {
	for i := range refs {
		if refs[i].Controller != nil && *refs[i].Controller {
			return refs[i].Kind, refs[i].Name
		}
	}
	return "", ""
}

// meshed reports whether a pod's traffic goes through Istio: through a proxy beside it, or an ambient one of its node.
func meshed(p *corev1.Pod) bool {
	for _, cs := range [][]corev1.Container{p.Spec.Containers, p.Spec.InitContainers} {
		for i := range cs {
			if cs[i].Name == "istio-proxy" {
				return true
			}
		}
	}
	return p.Labels["istio.io/dataplane-mode"] == "ambient" || p.Annotations["ambient.istio.io/redirection"] == "enabled"
}

// encodeImages writes what the containers run as one string, so that pods of a roll-out share it: container, image and digest, each with a NUL behind it.
// An init container counts if it runs as long as the pod does.
func encodeImages(p *corev1.Pod) (text string, weight int) {
	var b strings.Builder
	write := func(c *corev1.Container, statuses []corev1.ContainerStatus) {
		digest := ""
		for i := range statuses {
			if statuses[i].Name == c.Name {
				digest = digestOf(statuses[i].ImageID)
			}
		}
		for _, s := range []string{c.Name, c.Image, digest} {
			b.WriteString(s)
			b.WriteByte(0)
		}
	}
	for i := range p.Spec.InitContainers {
		if c := &p.Spec.InitContainers[i]; c.RestartPolicy != nil && *c.RestartPolicy == corev1.ContainerRestartPolicyAlways {
			write(c, p.Status.InitContainerStatuses)
		}
	}
	for i := range p.Spec.Containers {
		write(&p.Spec.Containers[i], p.Status.ContainerStatuses)
	}
	return b.String(), b.Len()
}

func decodeImages(text string) []inventory.Image {
	if text == "" {
		return nil
	}
	parts := strings.Split(strings.TrimSuffix(text, "\x00"), "\x00")
	out := make([]inventory.Image, 0, len(parts)/3)
	for i := 0; i+2 < len(parts); i += 3 {
		out = append(out, inventory.Image{Container: parts[i], Name: parts[i+1], Digest: parts[i+2]})
	}
	return out
}

// digestOf returns the digest in an image's ID: "docker-pullable://shop/cart@sha256:…" or "shop/cart@sha256:…". An ID that is a hash alone names the image's configuration on that
// node, which is no registry's digest.
func digestOf(imageID string) string {
	_, digest, ok := strings.Cut(imageID, "@")
	if !ok || !strings.HasPrefix(digest, "sha256:") && !strings.HasPrefix(digest, "sha512:") {
		return ""
	}
	return digest
}

// Reasons that are ours; others are those that Kubernetes gives.
const (
	reasonTerminating = "Terminating"
	reasonNodeLost    = "NodeLost"
	reasonFailed      = "Failed"
	reasonPending     = "Pending"
	reasonNotReady    = "NotReady"
	reasonOOMKilled   = "OOMKilled"
	reasonError       = "Error"
)

// podState judges a pod by its own words; the book knows about its node.
func podState(p *corev1.Pod) (state, reason string, done bool) {
	switch {
	case p.Status.Phase == corev1.PodSucceeded:
		return inventory.StateHealthy, "", true
	case p.Status.Phase == corev1.PodFailed:
		return inventory.StateError, failure(p), true
	case p.Status.Phase == corev1.PodUnknown || p.Status.Reason == reasonNodeLost:
		return inventory.StateUnknown, reasonNodeLost, false
	case p.DeletionTimestamp != nil:
		return inventory.StateWarning, reasonTerminating, false
	}
	ready := condition(p, corev1.PodReady)
	if ready != nil && ready.Status == corev1.ConditionTrue {
		return inventory.StateHealthy, "", false
	}
	if r := trouble(p); r != "" {
		return inventory.StateError, r, false
	}
	return inventory.StateWarning, waitingFor(p, ready), false
}

// failure says why a pod has failed.
func failure(p *corev1.Pod) string {
	if p.Status.Reason != "" {
		return p.Status.Reason // Evicted, DeadlineExceeded, …
	}
	for _, c := range statuses(p) {
		if t := c.State.Terminated; t != nil && t.ExitCode != 0 && t.Reason != "" && t.Reason != reasonError {
			return t.Reason
		}
	}
	return reasonFailed
}

// trouble returns the reason of a container that cannot start or keeps ending, or "".
func trouble(p *corev1.Pod) string {
	for _, c := range statuses(p) {
		if t := c.State.Terminated; t != nil && t.ExitCode != 0 {
			if t.Reason == "" {
				return reasonError
			}
			return t.Reason
		}
		w := c.State.Waiting
		if w == nil || !troubling(w.Reason) {
			continue
		}
		if last := c.LastTerminationState.Terminated; w.Reason == "CrashLoopBackOff" && last != nil && last.Reason == reasonOOMKilled {
			return reasonOOMKilled
		}
		return w.Reason
	}
	return ""
}

// troubling tells the reasons of waiting that are troubles from those that pass by themselves.
func troubling(reason string) bool {
	switch reason {
	case "", "ContainerCreating", "PodInitializing":
		return false
	}
	return strings.HasSuffix(reason, "BackOff") || strings.HasSuffix(reason, "Error") || strings.HasPrefix(reason, "Err") || strings.HasPrefix(reason, "Invalid") ||
		reason == "RegistryUnavailable" || reason == "SignatureValidationFailed"
}

// waitingFor says what a pod that is not ready waits for.
func waitingFor(p *corev1.Pod, ready *corev1.PodCondition) string {
	if c := condition(p, corev1.PodScheduled); c != nil && c.Status != corev1.ConditionTrue && c.Reason != "" {
		return c.Reason // Unschedulable, SchedulingGated
	}
	for _, c := range statuses(p) {
		if w := c.State.Waiting; w != nil && w.Reason != "" {
			return w.Reason // ContainerCreating, PodInitializing
		}
	}
	switch {
	case p.Status.Phase != corev1.PodRunning:
		return reasonPending
	case ready != nil && ready.Reason != "":
		return ready.Reason // ContainersNotReady, ReadinessGatesNotReady
	}
	return reasonNotReady
}

func condition(p *corev1.Pod, t corev1.PodConditionType) *corev1.PodCondition {
	for i := range p.Status.Conditions {
		if p.Status.Conditions[i].Type == t {
			return &p.Status.Conditions[i]
		}
	}
	return nil
}

// statuses returns those of init containers and containers, in this order.
func statuses(p *corev1.Pod) []*corev1.ContainerStatus {
	out := make([]*corev1.ContainerStatus, 0, len(p.Status.InitContainerStatuses)+len(p.Status.ContainerStatuses))
	for i := range p.Status.InitContainerStatuses {
		out = append(out, &p.Status.InitContainerStatuses[i])
	}
	for i := range p.Status.ContainerStatuses {
		out = append(out, &p.Status.ContainerStatuses[i])
	}
	return out
}
