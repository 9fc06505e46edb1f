package kube

import (
	"maps"

	appsv1 "k8s.io/api/apps/v1"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"evenkeel.dev/bus"
	"evenkeel.dev/mesh/inventory"
)

// Kinds of workloads.
const (
	kindDeployment  = "Deployment"
	kindReplicaSet  = "ReplicaSet"
	kindStatefulSet = "StatefulSet"
	kindDaemonSet   = "DaemonSet"
	kindJob         = "Job"
	kindCronJob     = "CronJob"
)

// A stripped is what is left of an object before it is kept: client-go's listings hold these, too.
type stripped struct {
	namespace, name string
	created         bus.Time
	weight          int    // bytes that [Bounds].Bytes counts
	fact            any    // *pod, or a pointer to a value of inventory; nil of what is not told
	cron            string // of a Job: the CronJob that made it
}

// GetObjectMeta lets client-go find the key.
func (s *stripped) GetObjectMeta() metav1.Object {
	return &metav1.ObjectMeta{Namespace: s.namespace, Name: s.name}
}

// strip cuts an object down to what is told of it.
func (c *Config) strip(obj any) *stripped {
	m, ok := obj.(metav1.Object)
	if !ok {
		return &stripped{}
	}
	s := &stripped{}
	if n, ok := obj.(*corev1.Namespace); ok {
		if c.chosen(n.Name) {
			s = stripNamespace(n, c.AuthorAnnotation)
		}
	} else if c.chosen(m.GetNamespace()) || m.GetNamespace() == "" {
		s = stripObject(obj)
	}
	s.namespace, s.name, s.created = m.GetNamespace(), m.GetName(), bus.TimeOf(m.GetCreationTimestamp().Time)
	return s
}

func stripObject(obj any) *stripped {
	switch x := obj.(type) {
	case *corev1.Pod:
		return stripPod(x)
	case *corev1.Node:
		return stripNode(x)
	case *corev1.Service:
		return stripService(x)
	case *appsv1.Deployment:
		return workload(kindDeployment, x, &x.Spec.Template, number(x.Spec.Replicas, 1))
	case *appsv1.ReplicaSet:
		return workload(kindReplicaSet, x, &x.Spec.Template, number(x.Spec.Replicas, 1))
	case *appsv1.StatefulSet:
		return workload(kindStatefulSet, x, &x.Spec.Template, number(x.Spec.Replicas, 1))
	case *appsv1.DaemonSet:
		return workload(kindDaemonSet, x, &x.Spec.Template, int(x.Status.DesiredNumberScheduled))
	case *batchv1.Job:
		s := workload(kindJob, x, &x.Spec.Template, jobDesired(x))
		if kind, name := ownerOf(x.OwnerReferences); kind == kindCronJob {
			s.cron = name
		}
		return s
	case *batchv1.CronJob:
		job := &x.Spec.JobTemplate.Spec
		return workload(kindCronJob, x, &job.Template, len(x.Status.Active)*number(job.Parallelism, 1))
	}
	return &stripped{}
}

func stripNamespace(n *corev1.Namespace, author string) *stripped {
	f := &inventory.Namespace{Name: n.Name, Labels: maps.Clone(n.Labels)}
	if author != "" {
		f.Author = n.Annotations[author]
	}
	return &stripped{fact: f, weight: weigh(n.Labels) + len(f.Author)}
}

func stripNode(n *corev1.Node) *stripped {
	f := &inventory.Node{
		Name: n.Name, Labels: maps.Clone(n.Labels), Version: n.Status.NodeInfo.KubeletVersion, Reason: reasonNotReady,
		Region: n.Labels[corev1.LabelTopologyRegion], Zone: n.Labels[corev1.LabelTopologyZone],
	}
	for i := range n.Status.Conditions {
		c := &n.Status.Conditions[i]
		switch {
		case c.Type != corev1.NodeReady:
		case c.Status == corev1.ConditionTrue:
			f.Ready, f.Reason = true, ""
		case c.Status == corev1.ConditionUnknown:
			f.Reason = reasonNodeLost
		case c.Reason != "":
			f.Reason = c.Reason
		}
	}
	return &stripped{fact: f, weight: weigh(n.Labels)}
}

func stripService(s *corev1.Service) *stripped {
	f := &inventory.Host{Namespace: s.Namespace, Name: s.Name, Selector: maps.Clone(s.Spec.Selector)}
	if s.Spec.ClusterIP != corev1.ClusterIPNone {
		f.ClusterIP = s.Spec.ClusterIP
	}
	weight := weigh(s.Spec.Selector)
	for i := range s.Spec.Ports {
		p := &s.Spec.Ports[i]
		port := inventory.Port{Name: p.Name, Port: int(p.Port), Target: p.TargetPort.IntValue(), Protocol: string(p.Protocol)}
		if p.AppProtocol != nil {
			port.AppProtocol = *p.AppProtocol
		}
		if port.Protocol == "" {
			port.Protocol = string(corev1.ProtocolTCP)
		}
		f.Ports = append(f.Ports, port)
		const numbers = 32 // what a port's numbers take
		weight += numbers + len(port.Name) + len(port.Protocol) + len(port.AppProtocol)
	}
	return &stripped{fact: f, weight: weight}
}

// workload strips one; one that another of our kinds owns is not told, as its owner is.
func workload(kind string, m metav1.Object, template *corev1.PodTemplateSpec, desired int) *stripped {
	switch owner, _ := ownerOf(m.GetOwnerReferences()); owner {
	case kindDeployment, kindReplicaSet, kindStatefulSet, kindDaemonSet, kindJob, kindCronJob:
		return &stripped{}
	}
	get := func(k string) string { return template.Labels[k] }
	name := m.GetName()
	if kind == kindReplicaSet {
		name = withoutRollout(get, name)
	}
	f := &inventory.Workload{
		Kind: kind, Namespace: m.GetNamespace(), Name: m.GetName(), Service: serviceOf(get, name), Version: writtenVersion(get),
		Labels: maps.Clone(template.Labels), Desired: desired, Created: bus.TimeOf(m.GetCreationTimestamp().Time),
	}
	return &stripped{fact: f, weight: weigh(template.Labels)}
}

// jobDesired returns how many pods a Job wants now: none when it has ended or is suspended.
func jobDesired(j *batchv1.Job) int {
	if j.Spec.Suspend != nil && *j.Spec.Suspend {
		return 0
	}
	for i := range j.Status.Conditions {
		if c := &j.Status.Conditions[i]; c.Status == corev1.ConditionTrue && (c.Type == batchv1.JobComplete || c.Type == batchv1.JobFailed) {
			return 0
		}
	}
	n := number(j.Spec.Parallelism, 1)
	if j.Spec.Completions != nil {
		n = min(n, max(0, int(*j.Spec.Completions)-int(j.Status.Succeeded)))
	}
	return n
}

func number(p *int32, otherwise int) int {
	if p == nil {
		return otherwise
	}
	return int(*p)
}
