// Package cluster gives tests a real Kubernetes on loopback: etcd, kube-apiserver, kube-controller-manager, kube-scheduler, and kwok in
// the place of the nodes. Two or three may run at once; each takes about 0.6 GB.
//
// What is as in a cluster of a user: TLS with an authority of the cluster's own, client certificates, RBAC, tokens of service accounts
// from the TokenRequest API, all admission plugins that are on by default (ServiceAccount among them: a pod runs as its namespace's default
// account and gets a projected token, for the controllers that create accounts and publish the authority run too), leases of nodes, taints and
// eviction by the real node lifecycle controller. What is not: no container runs. kwok says of each pod that is bound to a living node
// that it is Running and Ready, and removes it when it is deleted. The kubernetes Service has no endpoints, no kube-proxy and no DNS run,
// and etcd does not sync to disk.
//
// Clients reach the API server through a [Link], which tests cut, block and freeze; the cluster's own programs do not.
package cluster

import (
	"context"
	"crypto/x509/pkix"
	"fmt"
	"path/filepath"
	"strings"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"

	"evenkeel.dev/test/peer"
)

// A Config says how to start a cluster.
type Config struct {
	Name  string // for logs and errors; default "cluster"
	Nodes int    // fake nodes that are there from the beginning, of 32 CPUs, 128 GiB and 110 pods each

	// NodeGrace is how long a node may be silent before it is NotReady, at least 4 s. Default 50 s, as in Kubernetes.
	NodeGrace time.Duration
	// Eviction is how long a pod tolerates a node that is NotReady before it is deleted. Default 5 min, as in Kubernetes.
	Eviction time.Duration
}

// readyTimeout bounds each wait for a part of a cluster on a busy machine; most take three seconds.
const readyTimeout = 2 * time.Minute

// A Cluster is one that runs. It ends with the test.
type Cluster struct {
	Name       string
	Kubeconfig string // of an administrator, through Link
	Link       *Link  // between clients and the API server
	Client     *kubernetes.Clientset

	APIServer, ControllerManager, Scheduler, Kwok, Etcd *peer.Process

	tb     testing.TB
	config Config
	dir    string
	bin    string
	ca     *authority
	server string // address of the API server itself
	rest   *rest.Config
	direct *kubernetes.Clientset // past the link
	nodes  int                   // created so far
}

// Start starts a cluster and returns it when its nodes are Ready.
func Start(tb testing.TB, config Config) *Cluster {
	tb.Helper()
	if config.Name == "" {
		config.Name = "cluster"
	}
	if config.NodeGrace == 0 {
		config.NodeGrace = 50 * time.Second
	}
	if config.Eviction == 0 {
		config.Eviction = 5 * time.Minute
	}
	if config.NodeGrace < 4*time.Second {
		tb.Fatalf("cluster %s: NodeGrace is %v, less than 4 s", config.Name, config.NodeGrace)
	}
	bin := peer.Kubernetes(tb)
	begun := time.Now()
	c := &Cluster{Name: config.Name, tb: tb, config: config, bin: bin, dir: tb.TempDir()}
	c.ca = newAuthority(tb, c.dir, "ca")
	c.server = peer.Address(tb)
	c.Link = NewLink(tb, c.server)
	admin := c.ca.certified("admin", "admin", "system:masters")
	c.Kubeconfig = c.ca.kubeconfig("admin", c.url(), admin)
	c.rest, c.Client = connect(tb, c.Kubeconfig)
	_, c.direct = connect(tb, c.ca.kubeconfig("direct", "https://"+c.server, admin))

	etcd := c.startEtcd()
	tb.Cleanup(c.kill) // runs before each process is asked to end: nothing of it is kept, and asking takes seconds
	c.startAPIServer(etcd)
	c.WaitAPIServer()
	c.startControllers()
	c.startKwok()
	c.waitAccounts()
	c.CreateNodes(config.Nodes)
	tb.Logf("cluster %s with %d nodes is ready after %.1f s", c.Name, config.Nodes, time.Since(begun).Seconds())
	return c
}

// kill ends all programs, the API server before etcd.
func (c *Cluster) kill() {
	for _, p := range []*peer.Process{c.Kwok, c.Scheduler, c.ControllerManager, c.APIServer, c.Etcd} {
		if p != nil {
			p.Kill()
		}
	}
}

// Prepare builds all programs that are not in the cache, so that the time it takes is not a test's.
func Prepare(tb testing.TB) {
	tb.Helper()
	peer.Kubernetes(tb)
	peer.Istiod(tb)
	peer.Workload(tb)
}

// REST returns a configuration for clients of an administrator, through Link, without a limit of the client's own.
func (c *Cluster) REST() *rest.Config { return rest.CopyConfig(c.rest) }

// url is where clients reach the API server.
func (c *Cluster) url() string { return "https://" + c.Link.Address }

func connect(tb testing.TB, kubeconfig string) (*rest.Config, *kubernetes.Clientset) {
	tb.Helper()
	config, err := clientcmd.BuildConfigFromFlags("", kubeconfig)
	if err != nil {
		tb.Fatal(err)
	}
	config.QPS = -1
	client, err := kubernetes.NewForConfig(config)
	if err != nil {
		tb.Fatal(err)
	}
	return config, client
}

// start starts one of the cluster's programs.
func (c *Cluster) start(program string, args ...string) *peer.Process {
	c.tb.Helper()
	return peer.Start(c.tb, peer.Command{Name: c.Name + "-" + program, Path: filepath.Join(c.bin, program), Args: args, Dir: c.dir})
}

// startEtcd returns the URL of its clients.
func (c *Cluster) startEtcd() string {
	c.tb.Helper()
	clients, peers := "http://"+peer.Address(c.tb), "http://"+peer.Address(c.tb)
	c.Etcd = c.start("etcd", "--name=etcd", "--data-dir="+filepath.Join(c.dir, "etcd"), "--unsafe-no-fsync", "--log-level=warn",
		"--listen-client-urls="+clients, "--advertise-client-urls="+clients,
		"--listen-peer-urls="+peers, "--initial-advertise-peer-urls="+peers, "--initial-cluster=etcd="+peers)
	return clients
}

func (c *Cluster) startAPIServer(etcd string) {
	c.tb.Helper()
	host, port, _ := strings.Cut(c.server, ":")
	cert, key := c.ca.issue("apiserver", pkix.Name{CommonName: "kube-apiserver"}, host, "10.96.0.1", "localhost", "kubernetes", "kubernetes.default", "kubernetes.default.svc")
	proxyCert, proxyKey := c.ca.issue("front-proxy", pkix.Name{CommonName: "front-proxy-client"})
	accounts := newKey(c.tb)
	write(c.tb, c.path("accounts.key"), privatePEM(c.tb, accounts))
	write(c.tb, c.path("accounts.pub"), publicPEM(c.tb, accounts))
	tolerated := fmt.Sprintf("%d", int(c.config.Eviction.Seconds()))
	c.APIServer = c.start("kube-apiserver", "--etcd-servers="+etcd, "--bind-address="+host, "--advertise-address="+host, "--secure-port="+port,
		"--tls-cert-file="+cert, "--tls-private-key-file="+key, "--client-ca-file="+c.ca.file(), "--cert-dir="+c.dir,
		"--service-account-issuer=https://kubernetes.default.svc.cluster.local",
		"--service-account-key-file="+c.path("accounts.pub"), "--service-account-signing-key-file="+c.path("accounts.key"),
		"--authorization-mode=RBAC", "--service-cluster-ip-range=10.96.0.0/16", "--allow-privileged",
		// An API server that is aggregated trusts who comes with this certificate.
		"--requestheader-client-ca-file="+c.ca.file(), "--requestheader-allowed-names=front-proxy-client",
		"--requestheader-username-headers=X-Remote-User", "--requestheader-group-headers=X-Remote-Group", "--requestheader-extra-headers-prefix=X-Remote-Extra-",
		"--proxy-client-cert-file="+proxyCert, "--proxy-client-key-file="+proxyKey, "--enable-aggregator-routing",
		"--default-not-ready-toleration-seconds="+tolerated, "--default-unreachable-toleration-seconds="+tolerated,
		"--endpoint-reconciler-type=none") // a loopback address may be no endpoint
}

// The cluster's own clients are not slowed, so that thousands of pods take seconds.
const schedulerConfig = `apiVersion: kubescheduler.config.k8s.io/v1
kind: KubeSchedulerConfiguration
leaderElection: {leaderElect: false}
clientConnection: {kubeconfig: %q, qps: 2000, burst: 4000}
`

func (c *Cluster) startControllers() {
	c.tb.Helper()
	c.ControllerManager = c.start("kube-controller-manager", "--kubeconfig="+c.component("system:kube-controller-manager"),
		"--service-account-private-key-file="+c.path("accounts.key"), "--root-ca-file="+c.ca.file(), "--use-service-account-credentials",
		"--leader-elect=false", "--secure-port=0", "--kube-api-qps=2000", "--kube-api-burst=4000",
		"--node-monitor-period=1s", "--node-monitor-grace-period="+c.config.NodeGrace.String())
	config := c.path("scheduler.yaml")
	write(c.tb, config, fmt.Appendf(nil, schedulerConfig, c.component("system:kube-scheduler")))
	c.Scheduler = c.start("kube-scheduler", "--config="+config, "--secure-port=0")
}

// component writes the kubeconfig of a part of the cluster, past the link.
func (c *Cluster) component(user string, groups ...string) string {
	name := strings.TrimPrefix(user, "system:")
	return c.ca.kubeconfig(name, "https://"+c.server, c.ca.certified(name, user, groups...))
}

// alive is the label by which kwok takes a node for its own. Without it nobody renews the node's lease.
const alive = "test.evenkeel.dev/alive"

// startKwok starts the kubelets of all nodes. A node's lease is renewed four times before it is missed.
func (c *Cluster) startKwok() {
	c.tb.Helper()
	files, err := filepath.Glob(filepath.Join(c.bin, "stages", "*.yaml"))
	must(c.tb, err)
	var config []string
	for _, file := range files {
		config = append(config, string(read(c.tb, file)))
	}
	write(c.tb, c.path("kwok.yaml"), []byte(strings.Join(config, "\n---\n")))
	c.Kwok = c.start("kwok", "--kubeconfig="+c.component("kwok", "system:masters"), "--config="+c.path("kwok.yaml"),
		"--manage-nodes-with-label-selector="+alive+"=true", "--node-lease-duration-seconds="+fmt.Sprint(int(c.config.NodeGrace.Seconds())))
}

// WaitAPIServer waits until the API server says that it is ready, whatever the state of the link.
func (c *Cluster) WaitAPIServer() {
	c.tb.Helper()
	peer.Until(c.tb, readyTimeout, c.Name+": the API server is ready", func() error {
		if !c.APIServer.Running() {
			c.tb.Fatalf("%s has ended:\n%s", c.APIServer.Name, lastLines(c.APIServer.Log()))
		}
		return c.direct.RESTClient().Get().AbsPath("/readyz").Do(c.tb.Context()).Error()
	})
}

// waitAccounts waits until the controllers run: the namespace that pods are created in has its account and the authority's certificate.
func (c *Cluster) waitAccounts() {
	c.tb.Helper()
	peer.Until(c.tb, readyTimeout, c.Name+": the controllers run", func() error { return c.populated(c.tb.Context(), metav1.NamespaceDefault) })
}

// populated returns nil when the namespace has what each pod needs.
func (c *Cluster) populated(ctx context.Context, namespace string) error {
	if _, err := c.direct.CoreV1().ServiceAccounts(namespace).Get(ctx, "default", metav1.GetOptions{}); err != nil {
		return err
	}
	_, err := c.direct.CoreV1().ConfigMaps(namespace).Get(ctx, "kube-root-ca.crt", metav1.GetOptions{})
	return err
}

func (c *Cluster) path(name string) string { return filepath.Join(c.dir, name) }

func lastLines(text string) string {
	lines := strings.Split(strings.TrimRight(text, "\n"), "\n")
	return strings.Join(lines[max(0, len(lines)-20):], "\n")
}
