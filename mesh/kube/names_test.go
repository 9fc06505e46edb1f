package kube

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/rest"

	"evenkeel.dev/mesh/inventory"
	"evenkeel.dev/mesh/member"
)

// Services and versions would have other names than telemetry carries, and a roll-out would not be a new version.
func TestNames(t *testing.T) {
	for _, c := range []struct {
		kind, owner                string
		labels                     string // "key=value key=value"
		workload, service, version string
	}{
		{"", "", "", "", "pod-1", "latest"},
		{"Node", "n1", "", "", "pod-1", "latest"},
		{"ReplicaSet", "cart-6d4b", "pod-template-hash=6d4b", "Deployment/cart", "cart", "6d4b"},
		{"ReplicaSet", "cart-6d4b", "", "ReplicaSet/cart-6d4b", "cart-6d4b", "latest"},
		{"ReplicaSet", "cart-6d4b", "pod-template-hash=ffff", "ReplicaSet/cart-6d4b", "cart-6d4b", "ffff"},
		{"ReplicaSet", "cart-6d4b", "rollouts-pod-template-hash=6d4b", "ReplicaSet/cart-6d4b", "cart", "6d4b"},
		{"ReplicaSet", "cart-v2-6d4b", "pod-template-hash=6d4b app=cart version=v2", "Deployment/cart-v2", "cart", "v2"},
		{"StatefulSet", "db", "controller-revision-hash=db-5b8f", "StatefulSet/db", "db", "5b8f"},
		{"DaemonSet", "agent", "controller-revision-hash=77c", "DaemonSet/agent", "agent", "77c"},
		{"Job", "import", "job-name=import", "Job/import", "import", "latest"},
		{"CronJob", "nightly", "", "CronJob/nightly", "nightly", "latest"},
		{"Sandbox", "x", "", "Sandbox/x", "x", "latest"},
		{"", "", "app=a", "", "a", "latest"},
		{"", "", "app=a app.kubernetes.io/name=b", "", "b", "latest"},
		{"", "", "app=a app.kubernetes.io/name=b service.istio.io/canonical-name=c", "", "c", "latest"},
		{"", "", "version=1", "", "pod-1", "1"},
		{"", "", "version=1 app.kubernetes.io/version=2", "", "pod-1", "2"},
		{"", "", "version=1 app.kubernetes.io/version=2 service.istio.io/canonical-revision=3", "", "pod-1", "3"},
	} {
		labels := map[string]string{}
		for _, l := range strings.Fields(c.labels) {
			k, v, _ := strings.Cut(l, "=")
			labels[k] = v
		}
		get := encodeLabels(labels).Value().get
		workload, name := workloadOf(get, c.kind, c.owner, "pod-1")
		if s, v := serviceOf(get, name), versionOf(get, name); workload != c.workload || s != c.service || v != c.version {
			t.Errorf("%s %s %s: %q, service %q, version %q", c.kind, c.owner, c.labels, workload, s, v)
		}
	}
}

// A pod that fails would look healthy, or one that starts would page somebody.
func TestStates(t *testing.T) {
	terminated := func(reason string, code int32) corev1.ContainerState {
		return corev1.ContainerState{Terminated: &corev1.ContainerStateTerminated{Reason: reason, ExitCode: code}}
	}
	for _, c := range []struct {
		name   string
		change func(p *corev1.Pod)
		want   string // "State Reason done"
	}{
		{"ready", func(*corev1.Pod) {}, "Healthy  false"},
		{"succeeded", func(p *corev1.Pod) { p.Status.Phase = corev1.PodSucceeded }, "Healthy  true"},
		{"failed", func(p *corev1.Pod) { p.Status.Phase = corev1.PodFailed }, "Error Failed true"},
		{"evicted", func(p *corev1.Pod) { p.Status.Phase, p.Status.Reason = corev1.PodFailed, "Evicted" }, "Error Evicted true"},
		{"killed for memory for good", func(p *corev1.Pod) {
			p.Status.Phase, p.Status.ContainerStatuses[0].State = corev1.PodFailed, terminated("OOMKilled", 137)
		}, "Error OOMKilled true"},
		{"unknown", func(p *corev1.Pod) { p.Status.Phase = corev1.PodUnknown }, "Unknown NodeLost false"},
		{"deleted", func(p *corev1.Pod) { now := metav1.Now(); p.DeletionTimestamp = &now }, "Warning Terminating false"},
		{"creating", func(p *corev1.Pod) { *p = *waiting(p, "ContainerCreating", 0) }, "Warning ContainerCreating false"},
		{"initializing", func(p *corev1.Pod) { *p = *waiting(p, "PodInitializing", 0) }, "Warning PodInitializing false"},
		{"crash loop", func(p *corev1.Pod) { *p = *waiting(p, "CrashLoopBackOff", 3) }, "Error CrashLoopBackOff false"},
		{"crash loop for memory", func(p *corev1.Pod) {
			*p = *waiting(p, "CrashLoopBackOff", 3)
			p.Status.ContainerStatuses[0].LastTerminationState = terminated("OOMKilled", 137)
		}, "Error OOMKilled false"},
		{"no image", func(p *corev1.Pod) { *p = *waiting(p, "ImagePullBackOff", 0) }, "Error ImagePullBackOff false"},
		{"no image at all", func(p *corev1.Pod) { *p = *waiting(p, "ErrImagePull", 0) }, "Error ErrImagePull false"},
		{"no secret", func(p *corev1.Pod) { *p = *waiting(p, "CreateContainerConfigError", 0) }, "Error CreateContainerConfigError false"},
		{"just ended", func(p *corev1.Pod) {
			*p = *waiting(p, "", 0)
			p.Status.ContainerStatuses[0].State = terminated("Error", 1)
		}, "Error Error false"},
		{"no node", func(p *corev1.Pod) {
			*p = corev1.Pod{Status: corev1.PodStatus{Phase: corev1.PodPending, Conditions: []corev1.PodCondition{
				{Type: corev1.PodScheduled, Status: corev1.ConditionFalse, Reason: "Unschedulable"}}}}
		}, "Warning Unschedulable false"},
		{"new", func(p *corev1.Pod) { *p = corev1.Pod{Status: corev1.PodStatus{Phase: corev1.PodPending}} }, "Warning Pending false"},
		{"failing its probe", func(p *corev1.Pod) {
			p.Status.Conditions[0].Status, p.Status.Conditions[0].Reason = corev1.ConditionFalse, "ContainersNotReady"
		}, "Warning ContainersNotReady false"},
	} {
		p := readyPod("cart-a-1", "cart", "a")
		c.change(p)
		state, reason, done := podState(p)
		if got := fmt.Sprint(state, " ", reason, " ", done); got != c.want {
			t.Errorf("%s: %q, want %q", c.name, got, c.want)
		}
	}
}

// An image would be known under a digest that no scanner knows, or a proxy beside the application would be overlooked.
func TestImages(t *testing.T) {
	sum := "sha256:" + strings.Repeat("a", 64)
	for id, want := range map[string]string{
		"docker-pullable://shop/cart@" + sum: sum, "registry.example:5000/shop/cart@" + sum: sum, "docker://" + sum: "", sum: "", "": "", "shop/cart:1": "",
	} {
		if got := digestOf(id); got != want {
			t.Errorf("%s: %q", id, got)
		}
	}
	always := corev1.ContainerRestartPolicyAlways
	p := readyPod("cart-a-1", "cart", "a")
	p.Spec.InitContainers = []corev1.Container{{Name: "prepare", Image: "init:1"}, {Name: "istio-proxy", Image: "proxy:1", RestartPolicy: &always}}
	text, _ := encodeImages(p)
	if got := fmt.Sprint(decodeImages(text)); got != fmt.Sprintf("[{istio-proxy proxy:1 } {main shop/cart:1 sha256:%064d}]", 7) || !meshed(p) {
		t.Errorf("%s, in the mesh: %t", got, meshed(p))
	}
	if meshed(readyPod("a", "a", "a")) || decodeImages("") != nil {
		t.Error("nothing is something")
	}
}

// Desired numbers would be those of work that is over, and a namespace would name its own author.
func TestStrip(t *testing.T) {
	two, yes := int32(2), true
	job := &batchv1.Job{Spec: batchv1.JobSpec{Parallelism: &two}}
	ended, suspended := job.DeepCopy(), job.DeepCopy()
	ended.Status.Conditions = []batchv1.JobCondition{{Type: batchv1.JobComplete, Status: corev1.ConditionTrue}}
	suspended.Spec.Suspend = &yes
	nearly := job.DeepCopy()
	nearly.Spec.Completions, nearly.Status.Succeeded = &two, 1
	for _, c := range []struct {
		job  *batchv1.Job
		want int
	}{{job, 2}, {ended, 0}, {suspended, 0}, {nearly, 1}} {
		if got := jobDesired(c.job); got != c.want {
			t.Errorf("desired %d, want %d", got, c.want)
		}
	}
	n := namespace("shop")
	n.Annotations = map[string]string{"evenkeel.dev/created-by": "mallory"}
	for key, want := range map[string]string{"": "", "evenkeel.dev/created-by": "mallory", "other": ""} {
		c := Config{AuthorAnnotation: key}
		if f, _ := c.strip(n).fact.(*inventory.Namespace); f == nil || f.Author != want {
			t.Errorf("author by annotation %q: %+v", key, f)
		}
	}
}

// Somebody between us and the API server could say what the cluster is, or an error would not say which contexts there are.
func TestConnect(t *testing.T) {
	file := filepath.Join(t.TempDir(), "config")
	text := `apiVersion: v1
kind: Config
current-context: good
clusters:
- {name: good, cluster: {server: "https://10.0.0.1:6443"}}
- {name: blind, cluster: {server: "https://10.0.0.1:6443", insecure-skip-tls-verify: true}}
- {name: plain, cluster: {server: "http://10.0.0.1:8080"}}
- {name: proxy, cluster: {server: "http://127.0.0.1:8001"}}
contexts:
- {name: good, context: {cluster: good, user: u}}
- {name: blind, context: {cluster: blind, user: u}}
- {name: plain, context: {cluster: plain, user: u}}
- {name: proxy, context: {cluster: proxy, user: u}}
users:
- {name: u, user: {token: secret}}
`
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	if got, err := Contexts(file); err != nil || strings.Join(got, " ") != "blind good plain proxy" {
		t.Errorf("contexts: %v, %v", got, err)
	}
	for context, want := range map[string]string{"": "", "good": "", "proxy": "", "blind": "insecure-skip-tls-verify", "plain": "without TLS", "none": "there are blind, good"} {
		c, err := Connect(file, context)
		if (err == nil) != (want == "") || err != nil && !strings.Contains(err.Error(), want) {
			t.Errorf("context %q: %v", context, err)
		}
		if err == nil && tuned(c).UserAgent != "evenkeel" {
			t.Errorf("context %q: %+v", context, c)
		}
	}
	if _, err := Connect(file+"x", ""); err == nil {
		t.Error("a file that is not there is none")
	}
	for _, c := range []Config{
		{}, {Cluster: "a", REST: &rest.Config{Host: "https://x", TLSClientConfig: rest.TLSClientConfig{Insecure: true}}}, {Cluster: "a", REST: &rest.Config{Host: "x"}},
		{Cluster: "a", REST: &rest.Config{Host: "https://x"}},
	} {
		if _, err := New(c); err == nil {
			t.Errorf("%+v is taken", c.REST)
		}
	}
}

// A namespace of the system that a definition names in full would not be observed, or one that is left out would be.
func TestExcluding(t *testing.T) {
	include := []member.Pattern{{Type: member.Exact, Match: "istio-system"}, {Type: member.StartsWith, Match: "shop-"}}
	c := Config{Include: include, Exclude: Excluding(include, []member.Pattern{{Type: member.Exact, Match: "shop-test"}})}
	for name, want := range map[string]bool{"istio-system": true, "shop-prod": true, "shop-test": false, "kube-system": false, "other": false} {
		if got := c.chosen(name); got != want {
			t.Errorf("%s is observed: %t", name, got)
		}
	}
	if all := (&Config{Exclude: Excluding(nil, nil)}); !all.chosen("shop") || all.chosen("kube-system") || all.chosen("evenkeel-system") {
		t.Error("without a definition the choice is another")
	}
}
