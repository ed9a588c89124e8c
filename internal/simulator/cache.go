package simulator

import (
	"sync"
	"time"

	"github.com/gnomon-llm/gnomon/schemas"
)

// prefixCache is the prompt caches of the simulated providers: a model
// remembers the prefix of a workload (its system prompt) and of a session (all
// of its last turn) for as long as it is asked again in time.
type prefixCache struct {
	mu   sync.Mutex
	seen map[prefixKey]prefix
}

type prefixKey struct {
	model    string
	workload int
	session  uint32
	whole    bool // the session's prefix; else the workload's
}

type prefix struct {
	tokens uint32
	at     time.Time
}

const (
	cacheLife  = 5 * time.Minute
	cacheStep  = 128     // OpenAI counts cached prefixes in these
	cacheMost  = 200_000 // prefixes kept; then the dead are swept out
	cacheTail  = 4       // tokens behind the last cache mark (Anthropic)
	cacheLucky = .92     // a warm prefix is found: the machine that holds it is chosen
)

func newPrefixCache() *prefixCache { return &prefixCache{seen: map[prefixKey]prefix{}} }

// use splits input tokens of a call for i to the named model into what its cache
// held and what it keeps, and remembers the prefix. Calls must come in the order
// of time.
func (c *prefixCache) use(wl *Workload, i item, name string, input uint32, now time.Time) (read, write uint32) {
	least := uint32(models[name].minCache)
	if least == 0 || input < least || (wl.Provider == anthropic && !wl.cached) {
		return 0, 0
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	session := prefixKey{name, i.workload(), i.session(), true}
	shared := prefixKey{name, i.workload(), 0, false}
	for _, k := range []prefixKey{session, shared} {
		if p, ok := c.seen[k]; ok && now.Sub(p.at) < cacheLife && p.tokens >= least {
			read = max(read, min(p.tokens, input-1))
		}
	}
	if wl.Provider == openAI {
		read -= read % cacheStep
		if unit(mix(uint64(i), uint64(input), 77)) >= cacheLucky {
			read = 0
		}
	} else {
		read = min(read, input-cacheTail)
		write = input - cacheTail - read
	}
	if len(c.seen) > cacheMost {
		for k, p := range c.seen {
			if now.Sub(p.at) > cacheLife {
				delete(c.seen, k)
			}
		}
	}
	c.seen[session] = prefix{input, now}
	c.seen[shared] = prefix{uint32(wl.sizes.system), now}
	return read, write
}

// usage is what a call costs in tokens.
func (c *prefixCache) usage(wl *Workload, i item, name string, bodyBytes, output int, now time.Time) schemas.Usage {
	u := schemas.Usage{InputTokens: uint32(bodyBytes/tokenBytes) + 1, OutputTokens: uint32(output)}
	u.CacheReadTokens, u.CacheWriteTokens = c.use(wl, i, name, u.InputTokens, now)
	return u
}
