// Command workload is a service of a mesh without a proxy beside it: a gRPC server that asks istiod over xDS what it must enforce, and
// answers health checks to those whom it lets in. Its environment names the bootstrap file (GRPC_XDS_BOOTSTRAP).
package main

import (
	"flag"
	"log"
	"net"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	xdscredentials "google.golang.org/grpc/credentials/xds"
	"google.golang.org/grpc/health"
	"google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/xds"
)

func main() {
	listen := flag.String("listen", "127.0.0.1:0", "address to listen on")
	flag.Parse()
	if err := serve(*listen); err != nil {
		log.Fatal(err)
	}
}

func serve(address string) error {
	credentials, err := xdscredentials.NewServerCredentials(xdscredentials.ServerOptions{FallbackCreds: insecure.NewCredentials()})
	if err != nil {
		return err
	}
	mode := xds.ServingModeCallback(func(a net.Addr, m xds.ServingModeChangeArgs) { log.Printf("%v is %v: %v", a, m.Mode, m.Err) })
	server, err := xds.NewGRPCServer(grpc.Creds(credentials), mode)
	if err != nil {
		return err
	}
	listener, err := net.Listen("tcp", address)
	if err != nil {
		return err
	}
	grpc_health_v1.RegisterHealthServer(server, health.NewServer())
	return server.Serve(listener)
}
