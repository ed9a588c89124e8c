// Package tokens counts tokens with OpenAI's published vocabularies, for
// requests whose provider did not say (docs/proxy.md, What is estimated).
//
// The one idea: the tokenizer is exact and slow, and quadratic on a run without
// a space (8 KiB of one letter takes it 70 ms), so it never sees such a run.
// A text is cut where the vocabularies' own rules end a word, which changes no
// count; only a run of more than maxRun bytes is cut within, which may cost a
// token at each cut. What a text can cost is linear in its length.
//
// The vocabularies are compiled in (pkoukk/tiktoken-go-loader) and built when
// first asked for: nothing is ever fetched. It is for background work alone:
// building one takes some 0.4 s, counting about a second for 2 MB.
//
// It does not know the tokenizers of other vendors: Of says so, and the count
// is an estimate of theirs. Nor does it know what surrounds a text in a
// conversation.
package tokens

import (
	"fmt"
	"reflect"
	"strings"
	"sync"
	"unicode/utf8"

	"github.com/pkoukk/tiktoken-go"
	loader "github.com/pkoukk/tiktoken-go-loader"
)

// Encoding is a vocabulary by its published name.
type Encoding string

// The vocabularies.
const (
	O200K  Encoding = "o200k_base"  // gpt-4o and all that came after it
	CL100K Encoding = "cl100k_base" // gpt-4, gpt-3.5, embeddings
)

// families are the models whose vocabulary is known, longest name first where
// one begins another. Source: tiktoken's own table (openai/tiktoken,
// tiktoken/model.py).
var families = []struct {
	prefix string
	of     Encoding
}{
	{"gpt-5", O200K}, {"gpt-4.5", O200K}, {"gpt-4.1", O200K}, {"gpt-4o", O200K}, {"chatgpt-4o", O200K}, {"gpt-oss", O200K},
	{"o1", O200K}, {"o3", O200K}, {"o4", O200K},
	{"gpt-4", CL100K}, {"gpt-3.5", CL100K}, {"gpt-35", CL100K}, {"text-embedding-", CL100K}, {"davinci-002", CL100K}, {"babbage-002", CL100K},
}

// Of returns the vocabulary of a model. own is false where its vendor has not
// published one: then it is the newest, as an estimate.
func Of(model string) (e Encoding, own bool) {
	model = strings.TrimPrefix(model[strings.LastIndexByte(model, '/')+1:], "ft:")
	for _, f := range families {
		if rest, ok := strings.CutPrefix(model, f.prefix); ok && (rest == "" || !isLower(rest[0]) || f.prefix[len(f.prefix)-1] == '-') {
			return f.of, true
		}
	}
	return O200K, false
}

func isLower(c byte) bool { return c >= 'a' && c <= 'z' }

// vocabulary is one encoding, built once.
type vocabulary struct {
	once sync.Once
	enc  *tiktoken.Tiktoken
	err  error
}

var (
	vocabularies = map[Encoding]*vocabulary{O200K: {}, CL100K: {}}
	offline      sync.Once
)

// Load builds a vocabulary, so that the first Count need not. It returns an
// error for a name that is none, or where the compiled-in file cannot be read.
func Load(e Encoding) error {
	_, err := load(e)
	return err
}

func load(e Encoding) (*tiktoken.Tiktoken, error) {
	v := vocabularies[e]
	if v == nil {
		return nil, fmt.Errorf("tokens: no vocabulary is called %q; there are %s and %s", e, O200K, CL100K)
	}
	v.once.Do(func() {
		// The library's own loader would fetch the files.
		offline.Do(func() { tiktoken.SetBpeLoader(loader.NewOfflineLoader()) })
		if v.enc, v.err = tiktoken.GetEncoding(string(e)); v.err != nil {
			v.err = fmt.Errorf("tokens: vocabulary %s: %w", e, v.err)
			return
		}
		trim(v.enc)
	})
	return v.enc, v.err
}

// trim lets go of what the library builds for turning tokens into text, which
// nobody does here: more than half of what a vocabulary takes. Its fields are not
// exported; where a later version has others, nothing is saved, and a test says so.
func trim(enc *tiktoken.Tiktoken) (freed int) {
	bpe := reflect.ValueOf(enc).Elem().FieldByName("bpe")
	if bpe.Kind() != reflect.Pointer || bpe.IsNil() {
		return 0
	}
	for _, name := range []string{"decoder", "sortedTokenBytes"} {
		if f := bpe.Elem().FieldByName(name); f.IsValid() {
			reflect.NewAt(f.Type(), f.Addr().UnsafePointer()).Elem().SetZero()
			freed++
		}
	}
	return freed
}

// Count returns how many tokens a text is. Words of the vocabulary's own
// control language (<|endoftext|>) count as the plain text that they are here.
func (e Encoding) Count(text []byte) (n int, err error) {
	enc, err := load(e)
	if err != nil {
		return 0, err
	}
	for len(text) > 0 {
		at := cut(text)
		n += len(enc.EncodeOrdinary(string(text[:at])))
		text = text[at:]
	}
	return n, nil
}

// What is handed to the tokenizer at once, and of it without a space.
const (
	maxPiece = 4 << 10
	maxRun   = 512
)

// cut returns where the first piece of a text ends. A space behind anything but
// white space begins a token in each of the vocabularies: their patterns take a
// space with what follows it, never with what stood before.
func cut(text []byte) int {
	end := 0 // of what may be cut off without changing a count
	for i := 1; i < len(text); i++ {
		if text[i] == ' ' && !isBlank(text[i-1]) {
			if i > maxPiece && end > 0 {
				return end
			}
			end = i
		}
		if i-end >= maxRun {
			if end > 0 {
				return end
			}
			for j := i; j > i-utf8.UTFMax; j-- {
				if utf8.RuneStart(text[j]) {
					return j
				}
			}
			return i // no UTF-8: anywhere is as good
		}
	}
	return len(text)
}

func isBlank(c byte) bool { return c == ' ' || c >= '\t' && c <= '\r' }

// Count counts a text by the vocabulary of a model, and names it; own is as Of
// has it.
func Count(model string, text []byte) (n int, vocabulary string, own bool, err error) {
	e, own := Of(model)
	n, err = e.Count(text)
	return n, string(e), own, err
}
