package proxy

import (
	"cmp"
	"crypto/sha256"
	"math"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/gnomon-llm/gnomon/proxy/dialect"
	"github.com/gnomon-llm/gnomon/schemas"
)

// Keyring finds the accepted version of a gnomon key by the SHA-256 of its text;
// nil when there is none. It is called for each request that brings a key.
type Keyring func(sum [sha256.Size]byte) *schemas.Key

const headerKey = "X-Gnomon-Key"

// credentialHeaders are where clients say who they are to a provider.
var credentialHeaders = []string{"Authorization", "X-Api-Key", "Api-Key", "X-Goog-Api-Key"}

// takeKey takes a gnomon key out of a request, wherever it stands: it must reach
// no provider. in is the provider's own header that held it; "" for ours, or for
// none. The header of ours rules.
func (x *exchange) takeKey() (key, in string) {
	h := x.r.Header
	for _, name := range credentialHeaders {
		for _, v := range h[name] {
			v = strings.TrimSpace(v)
			if scheme, rest, ok := strings.Cut(v, " "); ok && strings.EqualFold(scheme, "Bearer") {
				v = strings.TrimSpace(rest)
			}
			if strings.HasPrefix(v, schemas.KeyPrefix) {
				delete(h, name)
				if key == "" {
					key, in = v, name
				}
			}
		}
	}
	if strings.Contains(x.query, "key=") {
		if inQuery := x.takeQueryKey(); key == "" {
			key = inQuery
		}
	}
	if v := strings.TrimSpace(h.Get(headerKey)); v != "" {
		key, in = v, ""
	}
	return key, in
}

// takeQueryKey takes it out of the query, where some clients of Gemini have it.
// The other pairs stay as they were written.
func (x *exchange) takeQueryKey() (key string) {
	var rest []string
	for pair := range strings.SplitSeq(x.query[1:], "&") {
		name, value, _ := strings.Cut(pair, "=")
		if v, err := url.QueryUnescape(value); err == nil && name == "key" && strings.HasPrefix(v, schemas.KeyPrefix) {
			key = v
			continue
		}
		rest = append(rest, pair)
	}
	if key == "" {
		return ""
	}
	if x.query = ""; len(rest) > 0 {
		x.query = "?" + strings.Join(rest, "&")
	}
	return key
}

// authenticate finds the gnomon key of a request and what it permits. It returns
// false when the request was refused. A request without one goes on as it came,
// with the caller's own credential, unless keys are required.
func (x *exchange) authenticate() bool {
	text, in := x.takeKey()
	if text == "" {
		if x.p.cfg.RequireKey {
			return x.deny(http.StatusUnauthorized, "missing_key", "a gnomon key is required: send it as the SDK's api key or as x-gnomon-key")
		}
		return true
	}
	var k *schemas.Key
	sum := sha256.Sum256([]byte(text))
	if x.p.cfg.Keys != nil {
		k = x.p.cfg.Keys(sum)
	}
	switch {
	case k == nil:
		return x.deny(http.StatusUnauthorized, "unknown_key", "this gnomon key is not known here")
	case k.Revoked:
		x.req.KeyID = k.ID
		return x.deny(http.StatusUnauthorized, "revoked_key", "this gnomon key has been revoked")
	case !k.Expires.IsZero() && !x.p.cfg.Now().Before(k.Expires):
		x.req.KeyID = k.ID
		return x.deny(http.StatusUnauthorized, "expired_key", "this gnomon key has expired")
	}
	x.req.Key, x.req.KeyID = k, k.ID
	if k.Feature != "" {
		x.req.Feature = k.Feature
	}
	if k.Team != "" {
		x.req.Team = k.Team
	}
	if wait := x.p.limits.enter(k, x.p.cfg.Now()); wait != 0 {
		if wait > 0 {
			x.w.Header()["Retry-After"] = []string{strconv.Itoa(int(math.Ceil(wait.Seconds())))}
		}
		return x.deny(http.StatusTooManyRequests, "key_limit", "this gnomon key's limit is reached")
	}
	x.counted = k.ID
	if x.req.CredentialHash = credentialHash(x.r.Header); x.req.CredentialHash != "" {
		return true // the caller's own goes to the provider it was sent for
	}
	if own := queryCredential(x.row.Dialect, strings.TrimPrefix(x.query, "?")); own != "" {
		x.req.CredentialHash = hexHash(sha256.Sum256([]byte(own)))
		return true
	}
	x.req.CredentialHash = hexHash(sum)
	if x.row.APIKey == "" || !k.Spends(x.row.Name) {
		return x.deny(http.StatusForbidden, "no_credential", "this gnomon key may not spend a credential of the provider "+x.row.Name+", or none is stored")
	}
	x.stored, x.storedIn = true, in
	return true
}

// queryCredential is the key that a caller of Gemini's dialect sends in the address.
func queryCredential(family, query string) string {
	if family != dialect.FamilyGemini {
		return ""
	}
	q, err := url.ParseQuery(query)
	if err != nil {
		return ""
	}
	return cmp.Or(q.Get("key"), q.Get("access_token"))
}

func (x *exchange) deny(status int, kind, message string) bool {
	x.refuse(dialect.Fault{Status: status, Kind: kind, Message: "gnomon: " + message}, schemas.StatusRefused)
	return false
}

// spend puts a stored credential where the provider looks for it: in the header
// of the dialect that the request is in (nil: the row's), wherever the caller's
// key stood. AWS and Vertex take bearer tokens in every dialect; Azure, and what
// is called as Azure is, has a header of its own.
func (r *row) spend(h http.Header, to *address, key string, d *dialect.Dialect, in string) {
	family, host := r.Dialect, strings.ToLower(to.bareHost())
	if d != nil && d.Family != "" {
		family = d.Family
	}
	switch {
	case strings.HasSuffix(host, ".amazonaws.com"), strings.HasSuffix(host, "aiplatform.googleapis.com"), d != nil && bearers[d.Name]:
		h["Authorization"] = []string{"Bearer " + key}
	case family == dialect.FamilyAnthropic:
		h["X-Api-Key"] = []string{key}
	case family == dialect.FamilyGemini:
		h["X-Goog-Api-Key"] = []string{key}
	case in == "Api-Key" || strings.HasSuffix(host, ".azure.com"):
		h["Api-Key"] = []string{key}
	default:
		h["Authorization"] = []string{"Bearer " + key}
	}
}

// bearers are the dialects of AWS and Vertex, wherever they are served.
var bearers = map[string]bool{dialect.VertexAnthropic: true, dialect.BedrockAnthropic: true, dialect.BedrockConverse: true}

// limits count what each key does at this proxy.
type limits struct {
	mu   sync.Mutex
	keys map[string]*spent
}

// spent is a bucket of a minute's requests that refills evenly, and how many are
// being answered.
type spent struct {
	left     float64
	at       time.Time
	inFlight uint32
}

// enter lets a request in and returns 0, or says how long to wait: −1 when that
// is not known.
func (l *limits) enter(k *schemas.Key, now time.Time) time.Duration {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.keys == nil {
		l.keys = map[string]*spent{}
	}
	s := l.keys[k.ID]
	if s == nil {
		s = &spent{left: float64(k.RequestsPerMinute), at: now}
		l.keys[k.ID] = s
	}
	if k.InFlight > 0 && s.inFlight >= k.InFlight {
		return -1
	}
	if perMinute := float64(k.RequestsPerMinute); perMinute > 0 {
		s.left, s.at = min(perMinute, s.left+max(0, now.Sub(s.at).Minutes())*perMinute), now
		if s.left < 1 {
			return max(time.Millisecond, time.Duration((1-s.left)/perMinute*float64(time.Minute)))
		}
		s.left--
	}
	s.inFlight++
	return 0
}

func (l *limits) leave(id string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.keys[id].inFlight--
}
