package kube

import (
	"context"
	"fmt"
	"runtime"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"evenkeel.dev/mesh/inventory"
)

// realPod is about what an API server says of a pod with a proxy beside it: 7 KB of protobuf. 250 pods are of one roll-out.
func realPod(n int) *corev1.Pod {
	app := fmt.Sprint("app-", n/250)
	p := readyPod(fmt.Sprintf("%s-6d4b75cb6d-%05d", app, n), app, "6d4b75cb6d")
	p.UID = "0b1c2d3e-0000-0000-0000-000000000000"
	p.Status.PodIP = fmt.Sprintf("10.%d.%d.%d", n>>16, n>>8&255, n&255)
	p.Spec.NodeName = fmt.Sprintf("ip-10-0-%d-17.eu-central-1.compute.internal", n%200)
	for i := range 12 {
		p.Labels[fmt.Sprint("example.com/label-number-", i)] = strings.Clone("a value of it")
	}
	p.ManagedFields = []metav1.ManagedFieldsEntry{
		{Manager: "kube-controller-manager", FieldsV1: &metav1.FieldsV1{Raw: make([]byte, 2500)}}, {Manager: "kubelet", FieldsV1: &metav1.FieldsV1{Raw: make([]byte, 2000)}},
	}
	p.Annotations = map[string]string{"sidecar.istio.io/status": strings.Repeat("s", 600)}
	proxy := *p.Spec.Containers[0].DeepCopy()
	proxy.Name, proxy.Image = "istio-proxy", "registry.example/istio/proxyv2:1.30.1"
	p.Spec.Containers = append(p.Spec.Containers, proxy)
	for i := range p.Spec.Containers {
		for j := range 12 {
			p.Spec.Containers[i].Env = append(p.Spec.Containers[i].Env, corev1.EnvVar{Name: fmt.Sprint("VARIABLE_", j), Value: strings.Repeat("v", 40)})
		}
	}
	s := *p.Status.ContainerStatuses[0].DeepCopy()
	s.Name, s.ImageID = "istio-proxy", fmt.Sprintf("registry.example/istio/proxyv2@sha256:%064d", 9)
	p.Status.ContainerStatuses = append(p.Status.ContainerStatuses, s)
	return p
}

// heap returns the bytes that are in use after collections.
func heap() int {
	runtime.GC()
	runtime.GC() // what package unique has let go goes with the second
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int(m.HeapAlloc)
}

// BenchmarkPods keeps 10,000 pods as the API server would write them, tells them all, and measures what stays in memory, and what a pod costs on its way through: decoding, the book and the telling.
func BenchmarkPods(b *testing.B) {
	const pods = 10_000
	wire := make([][]byte, pods)
	for i := range wire {
		var err error
		if wire[i], err = realPod(i).Marshal(); err != nil {
			b.Fatal(err)
		}
	}
	var kept, told, spent, full int
	for b.Loop() {
		before := heap()
		o := &Observer{config: Config{Exclude: DefaultExclude()}}
		var bounds Bounds
		if err := bounds.fill(); err != nil {
			b.Fatal(err)
		}
		o.book = newBook(bounds, "shop.example")
		s := &store{o, &feed{kind: inventory.KindInstance}}
		o.wake = make(chan struct{}, 1)
		began := time.Now()
		for i := range wire {
			var p corev1.Pod
			if err := p.Unmarshal(wire[i]); err != nil {
				b.Fatal(err)
			}
			_ = s.Add(&p)
		}
		for len(o.book.queue) > 0 {
			var ob inventory.Observation
			o.book.take(&ob, maxSize)
			told++
		}
		spent += int(time.Since(began))
		kept += heap() - before
		runtime.KeepAlive(o)
	}
	before := heap()
	whole := make([]*corev1.Pod, pods)
	for i := range wire {
		whole[i] = &corev1.Pod{}
		if err := whole[i].Unmarshal(wire[i]); err != nil {
			b.Fatal(err)
		}
	}
	full = heap() - before
	runtime.KeepAlive(whole)
	n := float64(b.N * pods)
	b.ReportMetric(float64(kept)/n, "heap-bytes/pod")
	b.ReportMetric(float64(full)/pods, "uncut-bytes/pod")
	b.ReportMetric(float64(len(wire[0])), "wire-bytes/pod")
	b.ReportMetric(float64(spent)/n, "ns/pod")
	b.ReportMetric(float64(told)/float64(b.N), "observations")
}

// BenchmarkChange measures one change of one pod among 10,000, until it can be told.
func BenchmarkChange(b *testing.B) {
	o, err := newObserver(Config{Cluster: "c", Sink: func(context.Context, inventory.Observation) error { return nil }}, faked{nobody()})
	if err != nil {
		b.Fatal(err)
	}
	s := &store{o, &feed{kind: inventory.KindInstance}}
	for i := range 10_000 {
		_ = s.Add(realPod(i))
	}
	p := realPod(1)
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		p.Status.ContainerStatuses[0].RestartCount = int32(i)
		_ = s.Update(p)
		var ob inventory.Observation
		o.book.take(&ob, maxSize)
	}
}
