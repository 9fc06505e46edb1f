package cluster

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"testing"
	"time"

	"k8s.io/client-go/tools/clientcmd"
	"k8s.io/client-go/tools/clientcmd/api"
)

// An authority signs the certificates of one cluster: the server's and those that users prove themselves with.
type authority struct {
	tb   testing.TB
	dir  string
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
	pem  []byte
}

// spiffe is the scheme of the URI that names a workload in its certificate.
const spiffe = "spiffe"

// newAuthority makes one; its certificate and all that it issues are files in the folder.
func newAuthority(tb testing.TB, dir, name string) *authority {
	tb.Helper()
	a := &authority{tb: tb, dir: dir}
	a.key = newKey(tb)
	template := &x509.Certificate{
		SerialNumber: serial(tb), Subject: pkix.Name{CommonName: name}, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(24 * time.Hour),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageDigitalSignature,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, a.key.Public(), a.key)
	if err != nil {
		tb.Fatal(err)
	}
	if a.cert, err = x509.ParseCertificate(der); err != nil {
		tb.Fatal(err)
	}
	a.pem = pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
	write(tb, a.file(), a.pem)
	return a
}

// file is the path of the authority's own certificate.
func (a *authority) file() string { return filepath.Join(a.dir, a.cert.Subject.CommonName+".crt") }

// issue writes a certificate and its key. One with hosts is a server's; one with the URI of a workload is for both ends of mutual TLS.
func (a *authority) issue(file string, subject pkix.Name, hosts ...string) (certFile, keyFile string) {
	a.tb.Helper()
	template := &x509.Certificate{
		SerialNumber: serial(a.tb), Subject: subject, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(24 * time.Hour),
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth},
	}
	for _, h := range hosts {
		template.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}
		if ip := net.ParseIP(h); ip != nil {
			template.IPAddresses = append(template.IPAddresses, ip)
		} else if u, err := url.Parse(h); err == nil && u.Scheme == spiffe {
			template.URIs = []*url.URL{u}
			template.ExtKeyUsage = append(template.ExtKeyUsage, x509.ExtKeyUsageClientAuth)
		} else {
			template.DNSNames = append(template.DNSNames, h)
		}
	}
	key := newKey(a.tb)
	der, err := x509.CreateCertificate(rand.Reader, template, a.cert, key.Public(), a.key)
	if err != nil {
		a.tb.Fatal(err)
	}
	certFile, keyFile = filepath.Join(a.dir, file+".crt"), filepath.Join(a.dir, file+".key")
	write(a.tb, certFile, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}))
	write(a.tb, keyFile, privatePEM(a.tb, key))
	return certFile, keyFile
}

// kubeconfig writes a kubeconfig for a server of this authority.
func (a *authority) kubeconfig(file, server string, user api.AuthInfo) string {
	a.tb.Helper()
	c := api.NewConfig()
	c.Clusters["cluster"] = &api.Cluster{Server: server, CertificateAuthorityData: a.pem}
	c.AuthInfos["user"] = &user
	c.Contexts["context"] = &api.Context{Cluster: "cluster", AuthInfo: "user"}
	c.CurrentContext = "context"
	path := filepath.Join(a.dir, file+".kubeconfig")
	if err := clientcmd.WriteToFile(*c, path); err != nil {
		a.tb.Fatal(err)
	}
	return path
}

// certified is how a user with a certificate of this authority proves himself.
func (a *authority) certified(file, name string, groups ...string) api.AuthInfo {
	a.tb.Helper()
	cert, key := a.issue(file, pkix.Name{CommonName: name, Organization: groups})
	return api.AuthInfo{ClientCertificateData: read(a.tb, cert), ClientKeyData: read(a.tb, key)}
}

func newKey(tb testing.TB) *ecdsa.PrivateKey {
	tb.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		tb.Fatal(err)
	}
	return key
}

func privatePEM(tb testing.TB, key *ecdsa.PrivateKey) []byte {
	tb.Helper()
	der, err := x509.MarshalECPrivateKey(key)
	if err != nil {
		tb.Fatal(err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "EC PRIVATE KEY", Bytes: der})
}

func publicPEM(tb testing.TB, key *ecdsa.PrivateKey) []byte {
	tb.Helper()
	der, err := x509.MarshalPKIXPublicKey(key.Public())
	if err != nil {
		tb.Fatal(err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der})
}

func serial(tb testing.TB) *big.Int {
	tb.Helper()
	n, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 120))
	if err != nil {
		tb.Fatal(err)
	}
	return n
}

func write(tb testing.TB, path string, text []byte) {
	tb.Helper()
	if err := os.WriteFile(path, text, 0o600); err != nil {
		tb.Fatal(err)
	}
}

func read(tb testing.TB, path string) []byte {
	tb.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		tb.Fatal(err)
	}
	return text
}
