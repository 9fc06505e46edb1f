package app

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"slices"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"evenkeel.dev/bus"
	"evenkeel.dev/bus/jetstream"
	"evenkeel.dev/console"
	"evenkeel.dev/mesh"
	"evenkeel.dev/mesh/calls"
	"evenkeel.dev/mesh/inventory"
	"evenkeel.dev/mesh/kube/definition"
	"evenkeel.dev/slo"
)

// Surroundings are what a process is given beside its settings.
type Surroundings struct {
	Logger  *slog.Logger
	Err     io.Writer       // for the words of the first run
	Started func(Addresses) // told once everything listens; may be nil
	// Listen opens the addresses of HTTP and OTLP over gRPC; default net.Listen.
	Listen func(network, address string) (net.Listener, error)
}

// Addresses are where a process listens; "" where it does not.
type Addresses struct {
	HTTP     string // URL
	OTLPGRPC string // host:port
	NATS     string // URL
}

// app is a running process.
type app struct {
	settings Settings
	logger   *slog.Logger
	access   *access
	server   *jetstream.Server // nil without the role bus
	log      *jetstream.Log
	members  *jetstream.Members
	worker   *jetstream.Worker

	catalogue   *catalogue
	definitions *definitions
	deliveries  *deliveries
	meshes      *meshes // nil without the role api
	agents      *agents // nil without the roles api and bus
	statuses    *slo.View
	watcher     *watcher
	folders     []*folder
	kube        []*definition.Source // --definitions-from-kube, and the clusters' names
	kubeNames   []string
	observers   []*observed    // --observe
	fleets      *fleetClusters // nil without fleets
	observing   sync.Map       // names of clusters to the *kube.Observer that runs here
	intake      *intake        // nil without the role ingest
	outlet      *outlet        // nil without the role notify
	sloStats    *slo.Stats
	console     *console.Server
	listeners   listeners
	ending      chan struct{} // closed when the ways in are to end

	closers []func() error // in the order of their making
}

// Run starts the process that the settings describe and returns when ctx has ended and all is closed, or when it cannot go on.
func Run(ctx context.Context, s Settings, sur Surroundings) error {
	a := &app{settings: s, logger: sur.Logger, ending: make(chan struct{}), listeners: listeners{listen: sur.Listen}}
	if err := a.open(ctx); err != nil {
		return errors.Join(err, a.close())
	}
	addresses := a.listeners.addresses(a.server)
	if a.access.fresh {
		a.welcome(sur.Err, addresses)
	}
	a.logger.Info("evenkeel runs", "version", Version().Version, "roles", s.Roles, "http", addresses.HTTP, "nats", addresses.NATS, "otlp", addresses.OTLPGRPC)
	if sur.Started != nil {
		sur.Started(addresses)
	}
	err := errors.Join(a.run(ctx), a.close())
	a.logger.Info("evenkeel has ended")
	return err
}

// open makes everything that can be refused: folder, tokens, addresses, log, members, parts.
func (a *app) open(ctx context.Context) error {
	for _, step := range []func(context.Context) error{a.openFolder, a.openListeners, a.openLog, a.openParts, a.openConsole} {
		if err := step(ctx); err != nil {
			return err
		}
	}
	return nil
}

func (a *app) onClose(f func() error) { a.closers = append(a.closers, f) }

// close undoes open, last things first.
func (a *app) close() error {
	var errs []error
	for i := len(a.closers) - 1; i >= 0; i-- {
		errs = append(errs, a.closers[i]())
	}
	a.closers = nil
	return errors.Join(errs...)
}

func (a *app) openFolder(context.Context) error {
	release, err := lock(a.settings.Data)
	if err != nil {
		return err
	}
	a.onClose(release)
	a.access, err = newAccess(&a.settings)
	return err
}

func (a *app) openListeners(context.Context) error {
	err := a.listeners.open(&a.settings)
	a.onClose(a.listeners.close)
	return err
}

// openLog starts the embedded server or connects to another one, and joins the members.
func (a *app) openLog(ctx context.Context) error {
	c := jetstream.Config{Name: "evenkeel", Replicas: a.settings.Replicas, Sizes: a.settings.Sizes, Stages: stages(), Logger: a.logger}
	var err error
	if a.settings.Has(RoleBus) {
		if err := a.startServer(); err != nil {
			return err
		}
		c.Server = a.server
	} else {
		c.URL = a.settings.NATS
		if c.Credentials, err = natsCredentials(&a.settings); err != nil {
			return err
		}
	}
	if a.log, err = jetstream.Open(ctx, c); err != nil {
		return err
	}
	a.onClose(a.log.Close)
	if a.members, err = jetstream.Join(ctx, jetstream.MembersConfig{Log: a.log, Roles: slices.Concat(a.settings.Roles, a.settings.kubeRoles(), a.settings.observeRoles())}); err != nil {
		return err
	}
	a.onClose(func() error { a.members.Leave(); return nil })
	return nil
}

func (a *app) startServer() error {
	s := &a.settings
	c := jetstream.ServerConfig{
		DataDir: storeFolder(s.Data), Name: s.NATSName, Listen: s.NATSListen, TLSCert: s.NATSTLSCert, TLSKey: s.NATSTLSKey, TLSClientCA: s.NATSTLSClientCA,
		Users: a.access.users, Logger: a.logger,
	}
	if n := s.Cluster; n != nil {
		c.Cluster = &jetstream.ClusterConfig{Name: n.Name, Listen: n.Listen, Routes: n.Routes, User: n.User}
		if n.PasswordFile != "" {
			secret, err := console.ReadToken(n.PasswordFile)
			if err != nil {
				return fmt.Errorf("cluster: %w", err)
			}
			c.Cluster.Password = secret
		}
	}
	var err error
	if a.server, err = jetstream.StartServer(c); err != nil {
		return err
	}
	a.onClose(a.server.Close)
	return nil
}

func natsCredentials(s *Settings) (jetstream.Credentials, error) {
	c := jetstream.Credentials{User: s.NATSUser, CredsFile: s.NATSCreds, NKeySeedFile: s.NATSNKey, CAFile: s.NATSCA, CertFile: s.NATSCert, KeyFile: s.NATSKey}
	if s.NATSPasswordFile == "" {
		return c, nil
	}
	secret, err := console.ReadToken(s.NATSPasswordFile)
	if err != nil {
		return c, fmt.Errorf("--nats-password-file: %w", err)
	}
	if c.User == "" {
		c.Token = secret
	} else {
		c.Password = secret
	}
	return c, nil
}

// openParts makes stages, copies of stages and shells.
func (a *app) openParts(context.Context) error {
	k, err := kinds()
	if err != nil {
		return err
	}
	a.catalogue = newCatalogue(a.log, a.logger)
	a.definitions = &definitions{catalogue: a.catalogue, kinds: k}
	a.watcher = &watcher{log: a.log, last: a.log.Last, catalogue: a.catalogue, logger: a.logger, started: make(chan struct{})}
	if a.settings.Has(RoleAPI) {
		a.statuses = slo.NewView(0)
		a.watcher.statuses = a.statuses
		a.deliveries = newDeliveries(a.log, a.log.Last)
	}
	if a.settings.Has(RoleAPI) || len(a.settings.Clusters)+len(a.settings.Fleets) > 0 {
		a.meshes = newMeshes(a.log, a.log.Last)
	}
	if a.settings.Has(RoleAPI) || a.settings.Has(RoleBus) {
		a.agents = newAgents(a)
		a.watcher.enrolled = a.agents.answered
	}
	for _, path := range a.settings.Config {
		f, err := newFolder(path, a.definitions, a.logger)
		if err != nil {
			return err
		}
		a.folders = append(a.folders, f)
	}
	if err := errors.Join(a.openKube(), a.openObservers(), a.openFleets()); err != nil {
		return err
	}
	if a.settings.Has(RoleIngest) {
		if a.intake, err = newIntake(a); err != nil {
			return err
		}
		a.catalogue.changed = a.intake.gate.SetObjectives
	}
	return a.openWorker()
}

// openWorker lists the stages that this process takes part in.
func (a *app) openWorker() error {
	a.sloStats = new(slo.Stats)
	counting, err := slo.Spec(bus.DefaultPartitions, slo.Config{Stats: a.sloStats})
	if err != nil {
		return err
	}
	joining, err := slo.CompositeSpec(bus.DefaultPartitions, slo.Config{Stats: a.sloStats})
	if err != nil {
		return err
	}
	var work []jetstream.StageWork
	for _, s := range []jetstream.StageWork{
		{Spec: mesh.CatalogueSpec(), Role: RoleCatalogue}, {Spec: counting, Role: RoleSLO}, {Spec: joining, Role: RoleSLO}, {Spec: inventory.Spec(), Role: RoleCatalogue},
		{Spec: calls.Spec(), Role: RoleCatalogue},
	} {
		if a.settings.Has(s.Role) {
			work = append(work, s)
		}
	}
	if a.settings.Has(RoleNotify) {
		if a.outlet, err = newOutlet(a); err != nil {
			return err
		}
		work = append(work, a.outlet.work())
	}
	a.worker, err = jetstream.NewWorker(jetstream.WorkConfig{Log: a.log, Members: a.members, Stages: work, Logger: a.logger})
	return err
}

// run runs the parts: the inner ones, and around them the ways in, which end first.
func (a *app) run(ctx context.Context) error {
	inside, stopInside := context.WithCancel(context.WithoutCancel(ctx))
	defer stopInside()
	inner, inside := errgroup.WithContext(inside)
	a.runInner(inner, inside)

	edge, cancelEdge := context.WithCancel(ctx)
	defer cancelEdge()
	defer context.AfterFunc(inside, cancelEdge)()
	outer, edge := errgroup.WithContext(edge)
	a.listeners.serve(outer, edge, a)
	for _, f := range a.folders {
		outer.Go(func() error { return again(a.logger, "config folder", f.run)(edge) })
	}
	for i, s := range a.kube {
		outer.Go(func() error { return again(a.logger, "definitions of cluster "+a.kubeNames[i], s.Run)(edge) })
	}
	for _, o := range a.observers {
		outer.Go(func() error { return again(a.logger, "observer of cluster "+o.name, o.run)(edge) })
	}
	if a.fleets != nil {
		outer.Go(func() error { return again(a.logger, "fleets", a.fleets.run)(edge) })
	}
	if a.intake != nil {
		outer.Go(func() error { return again(a.logger, "scraper", a.intake.scrape)(edge) })
	}
	err := outer.Wait()
	a.logger.Info("evenkeel ends: no more requests are taken, the stages commit")
	stopInside()
	return errors.Join(unlessCancelled(err), unlessCancelled(inner.Wait()))
}

// runInner runs what the process keeps for itself and others. A process that serves the bus alone keeps nothing.
func (a *app) runInner(g *errgroup.Group, ctx context.Context) {
	parts := map[string]func(context.Context) error{}
	if a.settings.Has(RoleCatalogue) || a.settings.Has(RoleSLO) || a.settings.Has(RoleNotify) {
		parts["stages"] = a.worker.Run
	}
	if a.settings.Has(RoleAPI) || a.settings.Has(RoleIngest) || len(a.folders)+len(a.kube)+len(a.observers) > 0 || a.fleets != nil {
		parts["log reader"] = a.watcher.run
		parts["copy of catalogue"] = a.catalogue.follow
	}
	if a.settings.Has(RoleTick) {
		parts["ticks"] = func(ctx context.Context) error { return a.log.RunTicks(ctx, a.members) }
		parts["retention"] = func(ctx context.Context) error { return a.log.RunRetention(ctx, a.members) }
	}
	if a.deliveries != nil {
		parts["copy of notify"] = a.deliveries.follow
	}
	if a.meshes != nil {
		parts["copy of inventory"], parts["copy of calls"] = a.meshes.inventory.follow, a.meshes.calls.follow
		parts["gate of agents"] = a.agents.gate.Run
	}
	if a.agents != nil {
		parts["rights of agents"] = a.agents.run
		if a.meshes == nil {
			parts["copy of inventory"] = a.agents.copy.follow
		}
	}
	if a.intake != nil && a.intake.calls != nil {
		parts["report of calls"] = a.intake.reportCalls
	}
	for name, f := range parts {
		g.Go(func() error { return again(a.logger, name, f)(ctx) })
	}
}

func unlessCancelled(err error) error {
	if errors.Is(err, context.Canceled) {
		return nil
	}
	return err
}

const drainTimeout = 10 * time.Second // for requests under way when the process is asked to end

// listeners are the sockets of HTTP and OTLP over gRPC. The embedded server has its own.
type listeners struct {
	listen     func(network, address string) (net.Listener, error)
	http, grpc net.Listener
	tls        *tls.Config // nil: none
}
