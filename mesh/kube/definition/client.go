package definition

import (
	"log/slog"

	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/rest"
	"k8s.io/klog/v2"
)

// Log has the libraries of Kubernetes write into the logger. It holds for the whole process.
func Log(l *slog.Logger) { klog.SetSlogLogger(l) }

// Connect returns a client for a connection to a cluster. Nothing is asked of the cluster yet.
func Connect(connection *rest.Config) (dynamic.Interface, error) {
	c := rest.CopyConfig(connection)
	c.UserAgent = "evenkeel"
	c.QPS, c.Burst = 20, 40
	return dynamic.NewForConfig(c)
}
