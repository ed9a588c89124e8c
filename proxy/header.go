package proxy

import (
	"crypto/sha256"
	"encoding/hex"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"
)

// hopByHop says whether a header concerns one connection and is not forwarded.
func hopByHop(name string) bool {
	switch name {
	case "Connection", "Proxy-Connection", "Keep-Alive", "Proxy-Authenticate", "Proxy-Authorization", "Te", "Trailer", "Transfer-Encoding", "Upgrade", "Http2-Settings":
		return true
	}
	return false
}

const ownPrefix = "X-Gnomon-"

// The headers of gnomon's own.
const (
	headerRequestID = "X-Gnomon-Request-Id"
	headerRoute     = "X-Gnomon-Route"
	headerError     = "X-Gnomon-Error"
)

// passHeaders copies what is not hop-by-hop and not gnomon's own. Values are
// shared: nobody writes to them.
func passHeaders(dst, src http.Header) {
	listed := src["Connection"]
	for name, values := range src {
		if hopByHop(name) || strings.HasPrefix(name, ownPrefix) || (listed != nil && lists(listed, name)) {
			continue
		}
		dst[name] = values
	}
}

// dropHeaders takes out of headers what passHeaders would not copy.
func dropHeaders(h http.Header) {
	listed := h["Connection"]
	for name := range h {
		if hopByHop(name) || strings.HasPrefix(name, ownPrefix) || (listed != nil && lists(listed, name)) {
			delete(h, name)
		}
	}
}

// noTrailer says whether a trailer is left out besides what is left out of headers:
// what frames a message has no place behind it, and credentials none that gnomon
// would look for them at.
func noTrailer(name string) bool {
	switch name {
	case "Content-Length", "Host":
		return true
	}
	return slices.Contains(credentialHeaders, name)
}

// dropTrailers takes out of a request's trailers what is not forwarded; listed is
// the value of its Connection. It is called again when they have come: a client may
// send others than it has announced.
func dropTrailers(h http.Header, listed []string) {
	for name := range h {
		if hopByHop(name) || strings.HasPrefix(name, ownPrefix) || noTrailer(name) || lists(listed, name) {
			delete(h, name)
		}
	}
}

// withhold takes out of an answer's headers, its 1xx and its trailers among them,
// what repeats a stored credential: the client was never to know it. Only headers
// are searched; a body goes through as it is.
func (x *exchange) withhold(h http.Header) {
	at := x.at
	if at.APIKey == "" {
		return
	}
	for name, values := range h {
		for _, v := range values {
			if at.holds(v) {
				delete(h, name)
				x.p.log.Warn("a provider repeats a stored credential in a header of its answer; it was taken out", "provider", at.Name, "header", name, "request_id", x.id)
				break
			}
		}
	}
}

// phrase is the reason phrase of an answer, "" where it is the usual one or repeats
// a stored credential.
func (x *exchange) phrase(resp *http.Response) string {
	_, phrase, _ := strings.Cut(resp.Status, " ")
	if phrase == http.StatusText(resp.StatusCode) || x.at.holds(phrase) {
		return ""
	}
	return phrase
}

// holds reports whether a text holds one of the row's stored credentials.
func (r *row) holds(text string) bool {
	if r.APIKey == "" {
		return false
	}
	if strings.Contains(text, r.APIKey) {
		return true
	}
	for _, m := range r.keys {
		if strings.Contains(text, m.key) {
			return true
		}
	}
	return false
}

// lists reports whether one of the header values, lists of tokens, has a token.
func lists(values []string, token string) bool {
	for _, v := range values {
		for t := range strings.SplitSeq(v, ",") {
			if strings.EqualFold(strings.TrimSpace(t), token) {
				return true
			}
		}
	}
	return false
}

// Bounds of what callers may write into events.
const (
	maxName = 128
	maxTags = 16
)

// attribution reads the headers that say whose request it is.
func attribution(r *Request, h http.Header) {
	r.Feature = clean(h.Get("X-Gnomon-Feature"), maxName)
	r.Team = clean(h.Get("X-Gnomon-Team"), maxName)
	r.User = clean(h.Get("X-Gnomon-User"), maxName)
	r.Session = clean(h.Get("X-Gnomon-Session"), 2*maxName)
	r.Tags = tags(h.Get("X-Gnomon-Tags"))
	r.Bypassed = h.Get("X-Gnomon-Bypass") == "1"
	r.Trace = traceID(h.Get("Traceparent"))
	if n, err := strconv.ParseUint(h.Get("X-Stainless-Retry-Count"), 10, 8); err == nil {
		r.Retry = uint8(n)
	}
	r.CredentialHash = credentialHash(h)
	r.Idempotency = idempotency(r.CredentialHash, h)
}

// idempotencyHeaders are those in which clients name their requests.
var idempotencyHeaders = []string{"Idempotency-Key", "X-Idempotency-Key"}

// idempotency tells a repetition from a new request, where the client names its
// requests: the same key under the same credential. 64 bits of SHA-256.
func idempotency(credential string, h http.Header) string {
	for _, name := range idempotencyHeaders {
		if v := h.Get(name); v != "" {
			sum := sha256.Sum256([]byte(credential + "\x00" + v))
			return hex.EncodeToString(sum[:8])
		}
	}
	return ""
}

// clean makes a header's text fit for a name: control characters and broken
// UTF-8 are replaced, what is beyond the bound is cut.
func clean(s string, limit int) string {
	s = strings.TrimSpace(s)
	if len(s) <= limit && isPlain(s) {
		return s
	}
	s = strings.Map(func(r rune) rune {
		if r < 0x20 || r == 0x7f || r == utf8.RuneError || (r >= 0x80 && r < 0xa0) || r == 0x2028 || r == 0x2029 {
			return '_'
		}
		return r
	}, s)
	for len(s) > limit {
		_, size := utf8.DecodeLastRuneInString(s[:limit+1])
		s = s[:min(limit, limit+1-size)]
	}
	return s
}

func isPlain(s string) bool {
	for i := range len(s) {
		if s[i] < 0x20 || s[i] >= 0x7f {
			return false
		}
	}
	return true
}

func tags(s string) map[string]string {
	if s == "" {
		return nil
	}
	m := map[string]string{}
	for pair := range strings.SplitSeq(s, ",") {
		k, v, _ := strings.Cut(pair, "=")
		if k = clean(k, maxName); k != "" && len(m) < maxTags {
			m[k] = clean(v, maxName)
		}
	}
	return m
}

// traceID is the trace of a W3C traceparent: version-trace-parent-flags.
func traceID(parent string) string {
	if len(parent) < 55 || parent[2] != '-' || parent[35] != '-' {
		return ""
	}
	id := parent[3:35]
	if _, err := hex.DecodeString(id); err != nil || id == strings.Repeat("0", 32) {
		return ""
	}
	return strings.ToLower(id)
}

// credentialHash tells callers apart without keeping what they authenticate
// with; "" for an anonymous request. SHA-256 of the header's text, whichever of
// the headers carries it, cut to 128 bits.
func credentialHash(h http.Header) string {
	for _, name := range credentialHeaders {
		if v := h.Get(name); v != "" {
			if bearer, ok := strings.CutPrefix(v, "Bearer "); ok {
				v = bearer
			}
			var short [256]byte // most are
			return hexHash(sha256.Sum256(append(short[:0], v...)))
		}
	}
	return ""
}

func hexHash(sum [sha256.Size]byte) string {
	var text [32]byte
	hex.Encode(text[:], sum[:16])
	return string(text[:])
}
