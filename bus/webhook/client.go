package webhook

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"net"
	"net/http"
	"net/netip"
	"syscall"
	"time"
)

var (
	errPrivate   = errors.New("webhook: private address")
	errForbidden = errors.New("webhook: forbidden address")
)

// newClient returns a client that connects only where it may.
func newClient(c *Config, private bool) *http.Client {
	dialer := &net.Dialer{
		Timeout: c.DialTimeout, Resolver: c.Resolver,
		// The address is that of the connection about to be made, after the name was resolved.
		Control: func(_, address string, _ syscall.RawConn) error { return checkAddress(address, private) },
	}
	return &http.Client{
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		Transport: &http.Transport{
			Proxy:                  nil,
			DialContext:            dialer.DialContext,
			TLSClientConfig:        &tls.Config{MinVersion: tls.VersionTLS12, RootCAs: c.RootCAs},
			TLSHandshakeTimeout:    c.DialTimeout,
			ForceAttemptHTTP2:      true,
			DisableCompression:     true, // a small answer that unpacks to a large one has no use here
			MaxResponseHeaderBytes: 64 << 10,
			MaxIdleConnsPerHost:    2,
			MaxIdleConns:           200,
			IdleConnTimeout:        30 * time.Second,
		},
	}
}

// CheckAddress refuses an address (ip:port) that is not on the public internet, with private only what is never allowed. It is for
// connections that are made elsewhere under the same rules; its error is a fixed sentence.
func CheckAddress(address string, private bool) error {
	switch err := checkAddress(address, private); {
	case err == nil:
		return nil
	case errors.Is(err, errPrivate):
		return errors.New(msgPrivate)
	default:
		return errors.New(msgLinkLocal)
	}
}

// checkAddress refuses what is not on the public internet.
func checkAddress(address string, private bool) error {
	ap, err := netip.ParseAddrPort(address)
	if err != nil {
		return errForbidden
	}
	ip := unmap(ap.Addr())
	switch {
	case ip.IsLinkLocalUnicast(), ip.IsMulticast(), ip.IsUnspecified(), ip.Is4() && ip.As4()[0] >= 240, ip.Is4() && ip.As4()[0] == 0, ip == metadataV6:
		return errForbidden
	case private:
		return nil
	case ip.IsLoopback(), ip.IsPrivate():
		return errPrivate
	}
	for _, p := range sharedOrReserved() {
		if p.Contains(ip) {
			return errPrivate
		}
	}
	return nil
}

var (
	metadataV6 = netip.MustParseAddr("fd00:ec2::254") // a cloud's metadata service
	nat64      = netip.MustParsePrefix("64:ff9b::/96")
	sixToFour  = netip.MustParsePrefix("2002::/16")
)

// unmap returns the IPv4 address that an IPv6 one stands for: mapped, NAT64 (RFC 6052) or 6to4 (RFC 3056).
func unmap(ip netip.Addr) netip.Addr {
	ip = ip.Unmap().WithZone("")
	b := ip.As16()
	switch {
	case ip.Is6() && nat64.Contains(ip):
		return netip.AddrFrom4([4]byte(b[12:]))
	case ip.Is6() && sixToFour.Contains(ip):
		return netip.AddrFrom4([4]byte(b[2:6]))
	}
	return ip
}

// sharedOrReserved lists what the IANA special-purpose registries call not globally reachable, beside what net/netip knows.
func sharedOrReserved() []netip.Prefix {
	return []netip.Prefix{
		netip.MustParsePrefix("100.64.0.0/10"),   // shared by carriers, RFC 6598
		netip.MustParsePrefix("192.0.0.0/24"),    // protocol assignments, RFC 6890
		netip.MustParsePrefix("192.0.2.0/24"),    // documentation
		netip.MustParsePrefix("198.18.0.0/15"),   // benchmarks
		netip.MustParsePrefix("198.51.100.0/24"), // documentation
		netip.MustParsePrefix("203.0.113.0/24"),  // documentation
		netip.MustParsePrefix("64:ff9b:1::/48"),  // local NAT64, RFC 8215
		netip.MustParsePrefix("100::/64"),        // discard
		netip.MustParsePrefix("2001::/23"),       // protocol assignments, Teredo among them
		netip.MustParsePrefix("2001:db8::/32"),   // documentation
		netip.MustParsePrefix("fec0::/10"),       // site-local, once
		netip.MustParsePrefix("::/96"),           // IPv4-compatible, once
	}
}

// classify makes an error into an outcome and a fixed sentence: the error's own text holds the URL.
func classify(err error) (outcome, message string) {
	var dns *net.DNSError
	var authority x509.UnknownAuthorityError
	var name x509.HostnameError
	var verify *tls.CertificateVerificationError
	var record tls.RecordHeaderError
	var alert tls.AlertError
	var timeout net.Error
	switch {
	case errors.Is(err, errPrivate):
		return Rejected, msgPrivate
	case errors.Is(err, errForbidden):
		return Rejected, msgLinkLocal
	case errors.As(err, &dns):
		return Retry, msgNoName
	case errors.As(err, &authority):
		return Retry, msgUnknownCA
	case errors.As(err, &name):
		return Retry, msgWrongName
	case errors.As(err, &verify):
		return Retry, msgBadCert
	case errors.As(err, &record), errors.As(err, &alert):
		return Retry, msgTLS
	case errors.Is(err, context.DeadlineExceeded), errors.As(err, &timeout) && timeout.Timeout():
		return Retry, msgTimeout
	case errors.Is(err, syscall.ECONNREFUSED):
		return Retry, msgRefused
	}
	return Retry, msgBroken
}
