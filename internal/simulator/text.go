package simulator

import (
	"fmt"
	"strings"
	"sync"
)

// tokenBytes is how many bytes a simulated token has: the simulated providers
// count by length, in prompts and answers alike.
const tokenBytes = 4

// pool is a long text of sentences to cut prompts and answers from: cheaper
// than writing each anew, and varied enough that no two are alike by chance.
type pool struct {
	text   string
	starts []int // of sentences
}

const poolBytes = 48 << 10

// lines holds texts by shape with a sentence a line, as most prompts are laid
// out; flow the same as running text. The vocabulary decides what a text seems
// to be about. They are made when first asked for: a gnomon that simulates nothing
// has no memory for them.
var lines, flow = pools("\n"), pools(" ")

func pools(end string) func() map[shape]pool {
	return sync.OnceValue(func() map[shape]pool { return poolsOf(end) })
}

func poolsOf(end string) map[shape]pool {
	m := map[shape]pool{}
	for s, words := range vocabulary {
		m[s] = newPool(uint64(s), strings.Fields(words), manners[s], end)
	}
	return m
}

// manners are how a shape's sentences look; the others are plain.
var manners = map[shape]func(n int, words []string) string{
	review: func(n int, words []string) string {
		return string("+- "[n%3]) + "\t" + strings.Join(words[:min(3, len(words))], "_") + "(" + strings.Join(words[min(3, len(words)):], ", ") + ")"
	},
	summary: func(n int, words []string) string {
		return []string{"Agent: ", "Customer: "}[n%2] + strings.Join(words, " ") + "."
	},
}

var vocabulary = map[shape]string{
	chat:       "my order tent jacket arrived late parcel please could you check the refund status boots size wrong zipper broken exchange for another colour delivery address changed yesterday tracking says pending but nothing came thanks would like to know when it ships again gift card voucher invoice return label",
	labels:     "hello where is my parcel the app shows an error when paying card declined twice want money back shoes too small please cancel subscription password reset mail never arrives is this tent waterproof great service delivery damaged box missing item charged two times login fails again after update",
	extraction: "dear team please find below our order for the spring season kindly confirm delivery to the warehouse in Bremen payment within thirty days net as agreed with your colleague discount applies to full pallets only call us if an article is not in stock regards purchasing department reference attached terms unchanged",
	rag:        "the retention period applies to exported records and cannot be shortened by an administrator unless the workspace policy permits it see section on audit logs tokens expire after rotation and clients must refresh before calling the endpoint rate limits are counted per workspace webhooks retry with backoff until acknowledged regions replicate asynchronously",
	tools:      "stock article shelf bay reorder supplier shipment pallet count picked packed carrier late damaged transfer between warehouses before noon customer waits priority urgent normal move hold release check level threshold minimum order quantity lead time days",
	review:     "func handler err return nil if ctx request response writer mutex lock unlock defer close rows scan query insert update index slice append map range channel select timeout retry buffer read write flush token secret header cookie session user id value pointer interface struct test assert",
	summary:    "so we have about forty people in the field and they still use spreadsheets what would it cost us per seat well that depends on the modules you need honestly our main worry is the migration of old data and whether it works offline we can offer a pilot for two months I will send the security papers by Friday that sounds fair let us talk again with our finance lead",
	clauses:    "the supplier shall be liable for damages arising from gross negligence or wilful misconduct whereas liability for indirect loss is excluded to the extent permitted by law this agreement commences on the effective date and renews for successive periods of twelve months unless terminated in writing with ninety days notice neither party may assign without consent",
	phrases:    "lightweight trekking backpack waterproof rain jacket with hood merino base layer insulated bottle folding camp chair trail running shoe alpine sleeping bag down vest headlamp rechargeable carbon trekking poles dry bag climbing harness kids softshell trousers thermal gloves gas stove windproof",
}

// newPool writes sentences of 6 to 16 words, each with end behind it; text is
// plain ASCII.
func newPool(key uint64, vocabulary []string, manner func(int, []string) string, end string) pool {
	r := stream(forText, key)
	var b strings.Builder
	var p pool
	for b.Len() < poolBytes {
		p.starts = append(p.starts, b.Len())
		words := make([]string, 6+r.IntN(11))
		for i := range words {
			words[i] = vocabulary[r.IntN(len(vocabulary))]
		}
		if manner != nil {
			b.WriteString(manner(len(p.starts), words))
		} else {
			text := strings.Join(words, " ")
			b.WriteString(strings.ToUpper(text[:1]) + text[1:] + ".")
		}
		b.WriteString(end)
	}
	p.text = b.String()
	return p
}

// cut returns n bytes, beginning at a sentence chosen by h, going round.
func (p pool) cut(h uint64, n int) string {
	start := p.starts[h%uint64(len(p.starts))]
	if start+n <= len(p.text) {
		return p.text[start : start+n]
	}
	var b strings.Builder
	b.Grow(n)
	for n > 0 {
		part := min(n, len(p.text)-start)
		b.WriteString(p.text[start : start+part])
		n, start = n-part, 0
	}
	return b.String()
}

// appendText appends s as a JSON string. Simulated text is ASCII without
// control characters but newline and tab.
func appendText(dst []byte, s string) []byte {
	dst = append(dst, '"')
	from := 0
	for i := 0; i < len(s); i++ {
		var esc byte
		switch s[i] {
		case '"', '\\':
			esc = s[i]
		case '\n':
			esc = 'n'
		case '\t':
			esc = 't'
		default:
			continue
		}
		dst = append(dst, s[from:i]...)
		dst = append(dst, '\\', esc)
		from = i + 1
	}
	dst = append(dst, s[from:]...)
	return append(dst, '"')
}

// item identifies a prompt: everything about it, and about any model's answer
// to it, is a function of the item and the world's seed.
//
//	workload 8 bits · session 32 bits · turn 8 bits · salt 16 bits
type item uint64

func newItem(workload int, session uint32, turn int, salt uint16) item {
	return item(uint64(workload)<<56 | uint64(session)<<24 | uint64(turn&0xff)<<16 | uint64(salt))
}

func (i item) workload() int   { return int(i >> 56) }
func (i item) session() uint32 { return uint32(i >> 24) }

// refMark stands before the item's number in a prompt: how a simulated provider
// knows what it was asked.
const refMark = "ref:"

func (i item) ref() string { return fmt.Sprintf("%s%016x", refMark, uint64(i)) }
