package cluster

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"path/filepath"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/health/grpc_health_v1"

	"evenkeel.dev/test/peer"
)

// A Workload is a gRPC service in the mesh of an istiod: a pod and a Service in the cluster, and a process on loopback that takes the pod's
// place. It asks istiod what to enforce, as a proxy would, so that a policy is tested by what becomes of a call.
type Workload struct {
	*peer.Process
	Address string

	namespace, name string
	istiod          *Istiod
}

const workloadObjects = `apiVersion: v1
kind: ServiceAccount
metadata: {name: %[2]s, namespace: %[1]s}
---
apiVersion: v1
kind: Service
metadata: {name: %[2]s, namespace: %[1]s}
spec:
  selector: {app: %[2]s}
  ports: [{name: grpc, port: 80, targetPort: %[3]s}]
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: %[2]s, namespace: %[1]s}
spec:
  selector: {matchLabels: {app: %[2]s}}
  template:
    metadata: {labels: {app: %[2]s}}
    spec:
      serviceAccountName: %[2]s
      containers: [{name: main, image: workload}]
`

// StartWorkload starts a service whose account has its own name, and waits until it serves. The cluster needs a node.
func (i *Istiod) StartWorkload(namespace, name string) *Workload {
	c := i.cluster
	c.tb.Helper()
	w := &Workload{Address: peer.Address(c.tb), namespace: namespace, name: name, istiod: i}
	_, port, err := net.SplitHostPort(w.Address)
	must(c.tb, err)
	c.Namespace(namespace)
	c.Apply(fmt.Sprintf(workloadObjects, namespace, name, port))
	c.WaitReady(namespace, name, 1, readyTimeout)
	bootstrap := w.bootstrap()
	w.Process = peer.Start(c.tb, peer.Command{Name: c.Name + "-" + name, Path: peer.Workload(c.tb), Dir: i.ca.dir, Args: []string{"-listen", w.Address},
		Env: []string{"GRPC_XDS_BOOTSTRAP=" + bootstrap, "GRPC_GO_LOG_SEVERITY_LEVEL=warning"}})
	peer.Until(c.tb, readyTimeout, w.Name+" serves", func() error {
		conn, err := net.DialTimeout("tcp", w.Address, time.Second)
		if err != nil {
			return err
		}
		return conn.Close()
	})
	return w
}

// bootstrap writes the file that tells the process who it is and where istiod and its certificates are.
func (w *Workload) bootstrap() string {
	c, ca := w.istiod.cluster, w.istiod.ca
	c.tb.Helper()
	pods := c.Pods(w.namespace, "app="+w.name)
	if len(pods) != 1 || pods[0].Status.PodIP == "" {
		c.tb.Fatalf("%d pods of %s/%s, want one with an address", len(pods), w.namespace, w.name)
	}
	pod := pods[0]
	cert, key := w.istiod.identity(w.namespace, w.name)
	text, err := json.Marshal(map[string]any{
		"xds_servers": []any{map[string]any{"server_uri": w.istiod.XDS, "channel_creds": []any{map[string]any{"type": "insecure"}}, "server_features": []string{"xds_v3"}}},
		"node": map[string]any{
			"id": fmt.Sprintf("sidecar~%s~%s.%s~%s.svc.cluster.local", pod.Status.PodIP, pod.Name, w.namespace, w.namespace),
			"metadata": map[string]any{"GENERATOR": "grpc", "NAMESPACE": w.namespace, "SERVICE_ACCOUNT": w.name, "CLUSTER_ID": "Kubernetes",
				"INSTANCE_IPS": pod.Status.PodIP, "LABELS": pod.Labels},
		},
		"certificate_providers": map[string]any{"default": map[string]any{"plugin_name": "file_watcher", "config": map[string]any{
			"certificate_file": cert, "private_key_file": key, "ca_certificate_file": ca.file(), "refresh_interval": "60s"}}},
		"server_listener_resource_name_template": "xds.istio.io/grpc/lds/inbound/%s",
	})
	must(c.tb, err)
	path := filepath.Join(ca.dir, w.namespace+"-"+w.name+".bootstrap.json")
	write(c.tb, path, text)
	return path
}

// identity issues a certificate of the mesh for an account.
func (i *Istiod) identity(namespace, account string) (certFile, keyFile string) {
	i.cluster.tb.Helper()
	uri := fmt.Sprintf("%s://cluster.local/ns/%s/sa/%s", spiffe, namespace, account)
	return i.ca.issue(namespace+"-"+account, pkix.Name{}, uri)
}

// Call makes one call without TLS and returns what became of it.
func (w *Workload) Call(ctx context.Context) error {
	return w.call(ctx, insecure.NewCredentials())
}

// CallAs makes one call with mutual TLS as an account of the mesh.
func (w *Workload) CallAs(ctx context.Context, namespace, account string) error {
	certFile, keyFile := w.istiod.identity(namespace, account)
	cert, err := tls.LoadX509KeyPair(certFile, keyFile)
	if err != nil {
		return err
	}
	roots := x509.NewCertPool()
	roots.AddCert(w.istiod.ca.cert)
	return w.call(ctx, credentials.NewTLS(&tls.Config{
		Certificates: []tls.Certificate{cert},
		// Workloads are named by URI, not by host: the chain is verified here.
		InsecureSkipVerify: true,
		VerifyConnection: func(s tls.ConnectionState) error {
			if len(s.PeerCertificates) == 0 {
				return errors.New("the workload shows no certificate")
			}
			_, err := s.PeerCertificates[0].Verify(x509.VerifyOptions{Roots: roots})
			return err
		},
	}))
}

func (w *Workload) call(ctx context.Context, creds credentials.TransportCredentials) error {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	conn, err := grpc.NewClient("passthrough:///"+w.Address, grpc.WithTransportCredentials(creds))
	if err != nil {
		return err
	}
	defer conn.Close()
	_, err = grpc_health_v1.NewHealthClient(conn).Check(ctx, &grpc_health_v1.HealthCheckRequest{})
	return err
}
