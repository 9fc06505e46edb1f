package definition

import (
	"fmt"
	"log/slog"

	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
	"k8s.io/klog/v2"
)

// Log has the libraries of Kubernetes write into the logger. It holds for the whole process.
func Log(l *slog.Logger) { klog.SetSlogLogger(l) }

// Connect returns a client of a cluster: of a context of a kubeconfig file ("" is the usual one: $KUBECONFIG, then ~/.kube/config), or, where
// inCluster, of the cluster that the process runs in, with the service account of its pod. Nothing is asked of the cluster yet.
func Connect(kubeconfig, context string, inCluster bool) (dynamic.Interface, error) {
	c, err := restConfig(kubeconfig, context, inCluster)
	if err != nil {
		return nil, err
	}
	c.UserAgent = "evenkeel"
	c.QPS, c.Burst = 20, 40
	client, err := dynamic.NewForConfig(c)
	if err != nil {
		return nil, fmt.Errorf("context %q: %w", context, err)
	}
	return client, nil
}

func restConfig(kubeconfig, context string, inCluster bool) (*rest.Config, error) {
	if inCluster {
		return rest.InClusterConfig()
	}
	rules := clientcmd.NewDefaultClientConfigLoadingRules()
	rules.ExplicitPath = kubeconfig
	c, err := clientcmd.NewNonInteractiveDeferredLoadingClientConfig(rules, &clientcmd.ConfigOverrides{CurrentContext: context}).ClientConfig()
	if err != nil {
		return nil, fmt.Errorf("context %q of the kubeconfig: %w", context, err)
	}
	return c, nil
}
