package identity_test

import (
	"bufio"
	"crypto/ecdsa"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"net"
	"slices"
	"strings"
	"testing"
	"time"

	"evenkeel.dev/mesh/identity"
	"evenkeel.dev/mesh/spiffe"
	"evenkeel.dev/mesh/trust"
)

// A side is a workload with its leaf, and the bundle that it has got by now.
type side struct {
	t       *testing.T
	ca      *identity.CA
	cluster string
	id      spiffe.ID
	key     *ecdsa.PrivateKey
	chain   []*x509.Certificate
	believe trust.Trust
	now     time.Time
}

// live renews the leaf when it is due.
func (s *side) live(now time.Time) {
	s.now = now
	if s.chain != nil && now.Before(identity.RenewAt(s.chain[0])) {
		return
	}
	chain, err := s.ca.Issue(s.cluster, s.id, s.key.Public(), now, 0)
	if err != nil {
		s.t.Fatal(err)
	}
	s.chain = chain
}

func (s *side) config(peer spiffe.ID) *tls.Config {
	c := &tls.Certificate{PrivateKey: s.key}
	for _, cert := range s.chain {
		c.Certificate = append(c.Certificate, cert.Raw)
	}
	return &tls.Config{
		Certificates: []tls.Certificate{*c}, ClientAuth: tls.RequireAnyClientCert, InsecureSkipVerify: true, MinVersion: tls.VersionTLS13, Time: func() time.Time { return s.now }, // verified below
		VerifyConnection: func(cs tls.ConnectionState) error {
			if id, err := s.believe.Verify(cs.PeerCertificates, s.now); err != nil || id != peer {
				return fmt.Errorf("the peer is %s: %w", id, err)
			}
			return nil
		},
	}
}

// connect opens a connection that echoes lines.
func connect(client, server *side) (*tls.Conn, error) {
	a, b := net.Pipe()
	go func() {
		conn := tls.Server(b, server.config(client.id))
		defer conn.Close()
		for lines := bufio.NewScanner(conn); lines.Scan(); {
			if _, err := fmt.Fprintln(conn, lines.Text()); err != nil {
				return
			}
		}
	}()
	conn := tls.Client(a, client.config(server.id))
	return conn, echo(conn)
}

func echo(conn *tls.Conn) error {
	if _, err := fmt.Fprintln(conn, "hello"); err != nil {
		return err
	}
	line, err := bufio.NewReader(conn).ReadString('\n')
	if err == nil && line != "hello\n" {
		err = fmt.Errorf("got %q", line)
	}
	return err
}

// A rotation of leaves, cluster CAs or the root would drop connections, or refuse new ones, of sides whose bundle is as old as the overlap allows and whose leaf may be of
// any age. And it would not take the old root away in the end.
func TestRotationWithTLS(t *testing.T) {
	lives := identity.Lives{Signer: 40 * 24 * time.Hour, Cluster: 8 * 24 * time.Hour, Leaf: 24 * time.Hour, Overlap: 24 * time.Hour}
	d := domain(t, "shop.internal")
	ca := authority(t, identity.Config{TrustDomain: d, Lives: lives}, "eu-1", "us-1")
	first := ca.Bundle().Anchors[0]
	client := &side{t: t, ca: ca, cluster: "eu-1", id: workload(t, d, "web"), key: key(t)}
	server := &side{t: t, ca: ca, cluster: "us-1", id: workload(t, d, "cart"), key: key(t)}
	var past []trust.Bundle // one an hour
	done := map[string]int{}
	var standing *tls.Conn
	handshakes := 0
	for hour := range 60 * 24 {
		now := began.Add(time.Duration(hour) * time.Hour)
		for _, s := range turn(t, ca, lives, now) {
			done[s.Kind+" "+s.Reason]++
		}
		past = append(past, ca.Bundle())
		client.believe, server.believe = believes(t, past[max(0, hour-23)]), believes(t, ca.Bundle()) // the client's is 23 hours old
		client.live(now)
		server.live(now)
		conn, err := connect(client, server)
		if err != nil {
			t.Fatalf("hour %d: %v", hour, err)
		}
		handshakes++
		if standing == nil {
			standing = conn
			continue
		}
		if err := echo(standing); err != nil {
			t.Fatalf("hour %d: the first connection: %v", hour, err)
		}
		conn.Close()
	}
	standing.Close()
	if got := ca.Bundle(); len(got.Anchors) != 1 || got.Anchors[0].Equal(first) {
		t.Errorf("%d anchors", len(got.Anchors))
	}
	for _, want := range []string{"AddSigner HalfLife", "UseSigner Distributed", "IssueCluster HalfLife", "IssueCluster SignerChanged", "DropCluster Spent", "DropSigner Spent"} {
		if done[want] == 0 {
			t.Errorf("never: %s, of %v", want, done)
		}
	}
	if n := len(ca.State().Authorities); n > 6 {
		t.Errorf("%d authorities are kept", n)
	}
	t.Logf("%d handshakes, %v", handshakes, done)
}

// A new root would sign before a cluster believes it, or one dark cluster would hold the rotation up until the old root has expired.
func TestRotateWaits(t *testing.T) {
	lives := identity.Lives{Signer: 80 * 24 * time.Hour, Cluster: 20 * 24 * time.Hour, Leaf: 24 * time.Hour, Overlap: 24 * time.Hour}
	ca := authority(t, identity.Config{TrustDomain: domain(t, "shop.internal"), Lives: lives}, "eu-1", "us-1")
	at := func(days float64) time.Time { return began.Add(time.Duration(days * float64(24*time.Hour))) }
	use := func(days float64) string {
		for _, s := range identity.Rotate(ca.State(), lives, at(days)) {
			if s.Kind == identity.StepUseSigner {
				return s.Reason
			}
		}
		return ""
	}
	ca.Confirm("eu-1", 1)
	turn(t, ca, lives, at(40))
	if n := ca.Bundle().Sequence; n != 2 || len(ca.Bundle().Anchors) != 2 {
		t.Fatal(n)
	}
	ca.Confirm("eu-1", 2)
	if got := use(60); got != "" {
		t.Errorf("us-1 does not know it: %s", got)
	}
	fs := identity.Findings(ca.State(), lives, at(45))
	if len(fs) != 1 || fs[0].Reason != identity.ReasonUnconfirmed || !slices.Equal(fs[0].Waiting, []string{"us-1"}) {
		t.Errorf("%+v", fs)
	}
	if got := use(71); got != identity.ReasonPressing {
		t.Errorf("a tenth is left: %q", got)
	}
	ca.Confirm("us-1", 2)
	if got := use(40.5); got != "" {
		t.Errorf("before the overlap is over: %s", got)
	}
	if got := use(41); got != identity.ReasonDistributed {
		t.Errorf("all know it: %q", got)
	}
	turn(t, ca, lives, at(41))
	ca.SetClusters("eu-1")
	steps := identity.Rotate(ca.State(), lives, at(41))
	if len(steps) == 0 || steps[0].Cluster != "us-1" || steps[0].Reason != identity.ReasonDetached {
		t.Errorf("a cluster that left: %+v", steps)
	}
}

// Nobody would hear of a CA that is not renewed, or everybody all the time.
func TestFindings(t *testing.T) {
	lives := identity.Lives{}
	ca := authority(t, identity.Config{TrustDomain: domain(t, "shop.internal")}, "eu-1")
	var got []string
	for _, days := range []float64{0, 200, 242, 244, 330, 366, 1300} {
		line := fmt.Sprintf("%v:", days)
		for _, f := range identity.Findings(ca.State(), lives, began.Add(time.Duration(days*24*float64(time.Hour)))) {
			line += fmt.Sprintf(" %s(%s,%v)", f.Reason, f.Cluster, f.Critical)
		}
		got = append(got, line)
	}
	want := "0:|200:|242:|244: ExpiresSoon(eu-1,false)|330: ExpiresSoon(eu-1,true)|366: Expired(eu-1,true)|1300: Expired(eu-1,true) ExpiresSoon(,false)"
	if strings.Join(got, "|") != want {
		t.Errorf("\n%s, want\n%s", strings.Join(got, "|"), want)
	}
}

// A CA would be made whose leaves outlive it.
func TestLives(t *testing.T) {
	keys, _, _ := folder(t)
	for _, l := range []identity.Lives{{Leaf: 91 * 24 * time.Hour}, {Leaf: time.Second}, {Leaf: 90 * 24 * time.Hour, Cluster: 300 * 24 * time.Hour}, {Signer: time.Hour}, {Overlap: -1}} {
		if _, err := identity.New(identity.Config{TrustDomain: domain(t, "a.b"), Keys: keys, Lives: l}); err == nil {
			t.Errorf("%+v was taken", l)
		}
	}
}
