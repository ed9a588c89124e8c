package proxy

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strings"
)

// errPrivate says that a provider's name has come to stand for an address
// inside, where a stored credential or a caller's key has no business.
var errPrivate = errors.New("the provider's name resolves to a private address, which its row does not allow (allow_private)")

// permit is asked for each connection, with the name that was dialled and the
// address it resolved to, so that no later answer of a name server can differ
// from the one that was checked. Whoever writes an address, localhost or plain
// http has said that the provider is inside; a name behind https is taken to be
// outside unless its row says otherwise.
func (p *Proxy) permit(host string, to netip.Addr) error {
	if !inside(to.Unmap()) {
		return nil
	}
	known := false
	for _, r := range p.order {
		name := r.host
		if bare, _, err := net.SplitHostPort(name); err == nil {
			name = bare
		}
		if !strings.EqualFold(strings.Trim(name, "[]"), host) {
			continue
		}
		known = true
		if _, err := netip.ParseAddr(host); err == nil || host == "localhost" || r.scheme == "http" || r.AllowPrivate {
			return nil
		}
	}
	if !known {
		return nil // not a provider: a forward proxy of the environment
	}
	return fmt.Errorf("%s: %w", host, errPrivate)
}

// inside are the addresses of private networks, of the machine itself and of
// its link (cloud metadata), carrier-grade NAT included.
func inside(a netip.Addr) bool {
	return a.IsPrivate() || a.IsLoopback() || a.IsLinkLocalUnicast() || a.IsLinkLocalMulticast() || a.IsUnspecified() || sharedNAT.Contains(a)
}

var sharedNAT = netip.MustParsePrefix("100.64.0.0/10")
