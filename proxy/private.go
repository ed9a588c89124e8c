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

// permit is asked for each connection made for a request to this address, with the
// name that is dialled and the address it resolved to, so that no later answer of
// a name server can differ from the one that was checked. Whoever writes an
// address, localhost or plain http has said that the provider is inside; a name
// behind https is taken to be outside unless its row says otherwise (allowed). Another name
// than the address's is a forward proxy of the environment.
func (a *address) permit(host string, to netip.Addr, allowed bool) error {
	if !inside(to.Unmap()) {
		return nil
	}
	if !strings.EqualFold(a.bareHost(), host) || host == "localhost" || a.scheme == "http" || allowed {
		return nil
	}
	if _, err := netip.ParseAddr(host); err == nil {
		return nil
	}
	return fmt.Errorf("%s: %w", host, errPrivate)
}

// bareHost is the host without port and brackets.
func (a *address) bareHost() string {
	name := a.host
	if bare, _, err := net.SplitHostPort(name); err == nil {
		name = bare
	}
	return strings.Trim(name, "[]")
}

// inside are the addresses of private networks, of the machine itself and of
// its link (cloud metadata), carrier-grade NAT included.
func inside(a netip.Addr) bool {
	return a.IsPrivate() || a.IsLoopback() || a.IsLinkLocalUnicast() || a.IsLinkLocalMulticast() || a.IsUnspecified() || sharedNAT.Contains(a)
}

var sharedNAT = netip.MustParsePrefix("100.64.0.0/10")
