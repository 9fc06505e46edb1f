package jetstream

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"os"
	"strconv"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
)

// A ServerConfig says how the embedded server is set up.
type ServerConfig struct {
	DataDir     string         // folder of the streams; created with mode 0700
	Name        string         // default "evenkeel"; the nodes of a cluster must differ in it
	Listen      string         // host:port for clients; "" opens no port
	TLSCert     string         // PEM file of the listener's certificate; "" is no TLS
	TLSKey      string         // PEM file of its key
	TLSClientCA string         // PEM file; clients must then show a certificate that it signed
	Users       []User         // who may connect to the listener; without any only this process
	Cluster     *ClusterConfig // nil is a server that stands alone
	DiskReserve int64          // bytes of the disk that telemetry leaves free; default the smaller of 256 MiB and 5 % of the disk
	Logger      *slog.Logger   // default: none
}

// A ClusterConfig joins embedded servers into one; three of them carry streams with three replicas.
type ClusterConfig struct {
	Name     string
	Listen   string   // host:port for the other nodes
	Routes   []string // host:port of the nodes
	User     string   // the nodes show it to each other
	Password string
}

const (
	// maxPayload bounds one message; a frame is 512 KiB at most, a step's draft far less.
	maxPayload = 8 << 20
	// maxStore keeps the server from adding up the bounds of all streams in advance: the disk itself is watched.
	maxStore     = 1 << 50
	maxMemory    = 256 << 20 // of streams and consumers in memory; only consumers are
	readyTimeout = 60 * time.Second
	diskInterval = 500 * time.Millisecond
)

// A Server is a NATS server with JetStream inside this process.
type Server struct {
	config   ServerConfig
	logger   *slog.Logger
	nats     *server.Server
	password string // of the internal administrator, new with every start
	reserve  int64
	free     atomic.Int64
	revived  atomic.Int64 // recoveries of JetStream after a full disk
	cancel   context.CancelFunc
	done     sync.WaitGroup
	proxy    *nats.Conn
	agents   struct {
		sync.Mutex
		byKey       map[string]string   // clusters by the public keys of those who may speak for them
		connections map[uint64]AgentKey // that were let in, by the server's number of the connection
	}
}

// StartServer starts a server and waits until it is ready; with a cluster it is ready when it takes clients, and JetStream follows
// once a majority of nodes is there. It watches the disk's free space until Close.
func StartServer(c ServerConfig) (*Server, error) {
	s := &Server{config: c, logger: logger(c.Logger), password: randomName(16)}
	s.agents.connections = map[uint64]AgentKey{}
	if err := unknownRole(c.Users); err != nil {
		return nil, err
	}
	if err := os.MkdirAll(c.DataDir, 0o700); err != nil {
		return nil, fmt.Errorf("data folder: %w", err)
	}
	if err := s.measure(); err != nil {
		return nil, err
	}
	o, err := s.options()
	if err != nil {
		return nil, err
	}
	if s.nats, err = server.NewServer(o); err != nil {
		return nil, fmt.Errorf("embedded server: %w", err)
	}
	s.nats.SetLoggerV2(serverLog{s.logger}, false, false, false)
	go s.nats.Start()
	if !s.nats.ReadyForConnections(readyTimeout) {
		s.stop()
		return nil, fmt.Errorf("embedded server in %s is not ready after %s (is %s taken?)", c.DataDir, readyTimeout, c.Listen)
	}
	if err := s.serveReaders(); err != nil {
		s.stop()
		return nil, err
	}
	ctx, cancel := context.WithCancel(context.Background())
	s.cancel = cancel
	s.done.Go(func() { s.watchDisk(ctx) })
	return s, nil
}

func (s *Server) options() (*server.Options, error) {
	c := s.config
	o := &server.Options{}
	if err := o.ProcessConfigString(accountsConfig()); err != nil {
		return nil, fmt.Errorf("accounts of the embedded server: %w", err)
	}
	o.ServerName = c.Name
	if o.ServerName == "" {
		o.ServerName = "evenkeel"
	}
	o.JetStream, o.StoreDir, o.SyncAlways = true, c.DataDir, true
	o.JetStreamMaxStore, o.JetStreamMaxMemory = maxStore, maxMemory
	o.NoSigs, o.NoSystemAccount, o.MaxPayload = true, false, maxPayload
	o.CustomClientAuthentication, o.AlwaysEnableNonce = s.authenticator(), true
	o.DontListen = c.Listen == ""
	var err error
	if !o.DontListen {
		if o.Host, o.Port, err = splitAddress(c.Listen); err != nil {
			return nil, err
		}
	}
	if err := s.tls(o); err != nil {
		return nil, err
	}
	if c.Cluster != nil {
		return o, cluster(o, *c.Cluster)
	}
	return o, nil
}

func (s *Server) tls(o *server.Options) error {
	c := s.config
	if c.TLSCert == "" {
		return nil
	}
	t, err := server.GenTLSConfig(&server.TLSConfigOpts{CertFile: c.TLSCert, KeyFile: c.TLSKey, CaFile: c.TLSClientCA, Verify: c.TLSClientCA != ""})
	if err != nil {
		return fmt.Errorf("TLS of the NATS listener: %w", err)
	}
	o.TLS, o.TLSConfig, o.TLSTimeout = true, t, 5
	o.TLSVerify = c.TLSClientCA != ""
	return nil
}

func cluster(o *server.Options, c ClusterConfig) error {
	var err error
	o.Cluster.Name = c.Name
	if o.Cluster.Host, o.Cluster.Port, err = splitAddress(c.Listen); err != nil {
		return err
	}
	o.Cluster.Username, o.Cluster.Password = c.User, c.Password
	for _, r := range c.Routes {
		u, err := routeURL(r, c)
		if err != nil {
			return err
		}
		o.Routes = append(o.Routes, u)
	}
	return nil
}

func splitAddress(address string) (host string, port int, err error) {
	host, p, err := net.SplitHostPort(address)
	if err != nil {
		return "", 0, fmt.Errorf("address %q: %w", address, err)
	}
	if port, err = strconv.Atoi(p); err != nil || port < 0 || port > 65535 {
		return "", 0, fmt.Errorf("address %q: the port is no number up to 65535", address)
	}
	if port == 0 {
		port = server.RANDOM_PORT
	}
	return host, port, nil
}

// Close shuts the server down and waits until its files are closed.
func (s *Server) Close() error {
	s.cancel()
	s.done.Wait()
	s.proxy.Close()
	s.stop()
	return nil
}

func (s *Server) stop() {
	s.nats.Shutdown()
	s.nats.WaitForShutdown()
}

// ClientURL returns the address for clients, "" without a listener.
func (s *Server) ClientURL() string {
	if s.config.Listen == "" {
		return ""
	}
	return s.nats.ClientURL()
}

// ClusterAddress returns host:port for routes of other nodes, "" without a cluster.
func (s *Server) ClusterAddress() string {
	if a := s.nats.ClusterAddr(); a != nil {
		return a.String()
	}
	return ""
}

// Disk returns the free bytes of the data folder's disk and the reserve below which telemetry is refused.
func (s *Server) Disk() (free, reserve int64) { return s.free.Load(), s.reserve }

// connect opens an in-process connection with all rights.
func (s *Server) connect(name string) (*nats.Conn, error) {
	return nats.Connect("", nats.InProcessServer(s.nats), nats.UserInfo(adminUser, s.password), nats.Name(name),
		nats.MaxReconnects(-1), nats.ReconnectWait(100*time.Millisecond), nats.ReconnectBufSize(-1), nats.PingInterval(time.Minute))
}

// measure reads the disk's free space, and the first time fixes the reserve.
func (s *Server) measure() error {
	var st syscall.Statfs_t
	if err := syscall.Statfs(s.config.DataDir, &st); err != nil {
		return fmt.Errorf("free space of %s: %w", s.config.DataDir, err)
	}
	s.free.Store(int64(st.Bavail) * int64(st.Bsize))
	if s.reserve == 0 {
		s.reserve = s.config.DiskReserve
	}
	if s.reserve <= 0 {
		s.reserve = min(256<<20, int64(st.Blocks)*int64(st.Bsize)/20)
	}
	return nil
}

// watchDisk keeps the free space known. After the disk was full to the last byte the server has shut JetStream down, or keeps streams
// that refuse every write because one has failed; when a quarter of the reserve is free again, JetStream is started anew.
func (s *Server) watchDisk(ctx context.Context) {
	t := time.NewTicker(diskInterval)
	defer t.Stop()
	exhausted := false
	for {
		select {
		case <-ctx.Done():
			return
		case <-t.C:
		}
		if err := s.measure(); err != nil {
			s.logger.Error("disk cannot be measured", "err", err)
			continue
		}
		free := s.free.Load()
		exhausted = exhausted || free < s.reserve/16 || !s.nats.JetStreamEnabled()
		if !exhausted || free < s.reserve/4 {
			continue
		}
		if err := s.revive(); err != nil {
			s.logger.Error("JetStream does not start again", "err", err)
			continue
		}
		exhausted = false
		s.revived.Add(1)
		s.logger.Warn("JetStream was started again after the disk was full", "free", free)
	}
}

func (s *Server) revive() error {
	if s.nats.JetStreamEnabled() {
		if err := s.nats.ShutdownJetStream(); err != nil {
			return fmt.Errorf("shut JetStream down: %w", err)
		}
	}
	c := &server.JetStreamConfig{StoreDir: s.config.DataDir, MaxStore: maxStore, MaxMemory: maxMemory, SyncAlways: true, SyncInterval: 2 * time.Minute}
	if err := s.nats.EnableJetStream(c); err != nil {
		return fmt.Errorf("enable JetStream: %w", err)
	}
	return nil
}

// exhausted reports whether even the reserve is nearly gone: then only commits are tried.
func (s *Server) exhausted() bool { return s.free.Load() < s.reserve/4 || !s.nats.JetStreamEnabled() }

func logger(l *slog.Logger) *slog.Logger {
	if l == nil {
		return slog.New(slog.DiscardHandler)
	}
	return l
}

// serverLog carries the server's own log lines into slog. Its notices are debug lines here.
type serverLog struct{ l *slog.Logger }

func (s serverLog) Noticef(f string, v ...any) { s.l.Debug("nats: " + fmt.Sprintf(f, v...)) }
func (s serverLog) Warnf(f string, v ...any)   { s.l.Warn("nats: " + fmt.Sprintf(f, v...)) }
func (s serverLog) Fatalf(f string, v ...any)  { s.l.Error("nats: " + fmt.Sprintf(f, v...)) }
func (s serverLog) Errorf(f string, v ...any)  { s.l.Error("nats: " + fmt.Sprintf(f, v...)) }
func (s serverLog) Debugf(f string, v ...any)  {}
func (s serverLog) Tracef(f string, v ...any)  {}
