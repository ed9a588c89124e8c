package tokens

import (
	"errors"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/pkoukk/tiktoken-go"
	"pgregory.net/rapid"
)

// whole is the tokenizer's own count of a text, uncut.
func whole(t testing.TB, e Encoding, text string) int {
	t.Helper()
	enc, err := load(e)
	if err != nil {
		t.Fatal(err)
	}
	return len(enc.EncodeOrdinary(text))
}

func count(t testing.TB, e Encoding, text string) int {
	t.Helper()
	n, err := e.Count([]byte(text))
	if err != nil {
		t.Fatal(err)
	}
	return n
}

func TestCountsAreThoseOfTheTokenizer(t *testing.T) {
	long := strings.Repeat("The customer asks why the invoice of last month was charged twice.\n\n  1) Explain, don't guess;  2) be brief.\t", 200)
	for name, text := range map[string]string{
		"nothing is no token":                   "",
		"one word":                              "hello",
		"control words count as plain text":     "a <|endoftext|> b",
		"prose beyond one piece is cut exactly": long,
		"runs of spaces stay whole":             strings.Repeat("x   y \n  z ", 900),
		"German":                                strings.Repeat("Der Kunde fragt, warum die Rechnung zweimal abgebucht wurde. ", 100),
		"Go code":                               strings.Repeat("\tif err := store.Insert(ctx, rows[1:10]); err != nil {\n\t\treturn fmt.Errorf(\"insert: %w\", err)\n\t}\n", 100),
	} {
		t.Run(name, func(t *testing.T) {
			for _, e := range []Encoding{O200K, CL100K} {
				if got, want := count(t, e, text), whole(t, e, text); got != want {
					t.Errorf("%s: %d tokens, the tokenizer says %d", e, got, want)
				}
			}
		})
	}
}

// Figures of tiktoken's own documentation and tests, so that the two do not err
// alike.
func TestCountsAreThePublishedOnes(t *testing.T) {
	for _, row := range []struct {
		e    Encoding
		text string
		want int
	}{
		{CL100K, "tiktoken is great!", 6},           // openai-cookbook, How to count tokens with tiktoken
		{CL100K, "antidisestablishmentarianism", 6}, // there, compared by encoding
		{O200K, "antidisestablishmentarianism", 6},
		{CL100K, "2 + 2 = 4", 7},
		{O200K, "2 + 2 = 4", 7},
		{CL100K, "お誕生日おめでとう", 9},
		{O200K, "お誕生日おめでとう", 8},
	} {
		if got := count(t, row.e, row.text); got != row.want {
			t.Errorf("%s of %q: %d tokens, published are %d", row.e, row.text, got, row.want)
		}
	}
}

func TestCutsBetweenWordsChangeNoCount(t *testing.T) {
	if err := Load(O200K); err != nil {
		t.Fatal(err)
	}
	word := rapid.SampledFrom([]string{"a", "Word", "don't", "42", "12345678", "\n", "\r\n", "\t", " ", "  ", "é", "客户", "🙂", "...", "//", "{\"k\":", "HTTPServer", "'s"})
	rapid.Check(t, func(r *rapid.T) {
		var b strings.Builder
		for range rapid.IntRange(0, 400).Draw(r, "words") {
			b.WriteString(word.Draw(r, "word"))
			if rapid.Bool().Draw(r, "space") {
				b.WriteByte(' ')
			}
		}
		text := b.String()
		for rest := text; len(rest) > 0; {
			at := cut([]byte(rest))
			if at < len(rest) && (rest[at] != ' ' || isBlank(rest[at-1])) {
				return // a run so long that it was cut within
			}
			rest = rest[at:]
		}
		if got, want := count(t, O200K, text), whole(t, O200K, text); got != want {
			r.Fatalf("%d tokens, the tokenizer says %d: %q", got, want, text)
		}
	})
}

func TestCutsWithinARunCostLittle(t *testing.T) {
	for name, text := range map[string]string{
		"one letter":      strings.Repeat("a", 2048),
		"Chinese":         strings.Repeat("请把下面的文字翻译成英文并且解释其中比较难懂的词语", 40),
		"JSON, no blanks": strings.Repeat(`{"id":"order-00037","total":46.25,"tags":["express","gift"]},`, 60),
		"base64":          strings.Repeat("R25vbW9uIGlzIHRoZSBwYXJ0IG9mIGEgc3VuZGlhbA", 60),
	} {
		got, want := count(t, O200K, text), whole(t, O200K, text)
		t.Logf("%s: %d bytes, %d tokens, %+d by cuts", name, len(text), want, got-want)
		if cuts := len(text)/(maxRun-3) + 1; got < want || got > want+2*cuts {
			t.Errorf("%s: %d tokens in place of %d with %d cuts", name, got, want, cuts)
		}
	}
}

// TestARunWithoutASpaceIsBounded is the denial of service that this package is
// there against; the uncut count of an eighth of it shows what it would cost.
func TestARunWithoutASpaceIsBounded(t *testing.T) {
	count(t, O200K, "warm")
	timed := func(n int, f func()) time.Duration {
		best := time.Hour
		for range n {
			at := time.Now()
			f()
			best = min(best, time.Since(at))
		}
		return best
	}
	for name, text := range map[string]string{
		"one letter": strings.Repeat("a", 64<<10), "spaces": strings.Repeat(" ", 64<<10), "line ends": strings.Repeat("\n", 64<<10),
		"one sign": strings.Repeat("=", 64<<10), "no UTF-8": strings.Repeat("\x80", 64<<10), "an emoji": strings.Repeat("🙂", 16<<10), "digits": strings.Repeat("7", 64<<10),
	} {
		tries := 3
		if raceEnabled {
			tries = 1
		}
		ours := timed(tries, func() { count(t, O200K, text) })
		t.Logf("%-10s 64 KiB: %v", name, ours)
		if ours > 2*time.Second && !raceEnabled {
			t.Errorf("64 KiB of %s take %v", name, ours)
		}
		if name != "one letter" {
			continue
		}
		eighth := timed(tries, func() { whole(t, O200K, text[:8<<10]) })
		t.Logf("%-10s 8 KiB, uncut: %v", name, eighth)
		if ours > 8*eighth {
			t.Errorf("cutting did not help: 64 KiB take %v, 8 KiB uncut %v", ours, eighth)
		}
	}
}

func TestModelsHaveTheirVocabulary(t *testing.T) {
	for model, want := range map[string]Encoding{
		"gpt-5": O200K, "gpt-5-mini-2025-08-07": O200K, "gpt-5.1": O200K, "gpt-4o-mini": O200K, "gpt-4.1-nano": O200K, "o3-mini": O200K, "o1": O200K, "chatgpt-4o-latest": O200K,
		"openai/gpt-4o": O200K, "ft:gpt-4o-mini:acme::x": O200K, "gpt-oss-120b": O200K,
		"gpt-4": CL100K, "gpt-4-turbo": CL100K, "gpt-3.5-turbo-0125": CL100K, "gpt-35-turbo": CL100K, "text-embedding-3-small": CL100K,
	} {
		if got, own := Of(model); got != want || !own {
			t.Errorf("%s: %s, own %v", model, got, own)
		}
	}
	for _, model := range []string{"claude-sonnet-4-5", "gemini-2.5-flash", "llama-3.3-70b", "", "open-mistral", "o1x-of-somebody", "gpt-neox"} {
		if got, own := Of(model); got != O200K || own {
			t.Errorf("%s: %s, own %v; no vocabulary of it is published", model, got, own)
		}
	}
}

// The library's own loader goes by http.Get and keeps what it fetched in a
// folder. Here neither may happen, in a process that has loaded nothing yet; and
// the test shows that it would notice.
func TestNothingIsEverFetched(t *testing.T) {
	const fresh = "TOKENS_TEST_FRESH"
	if os.Getenv(fresh) == "" {
		cmd := exec.Command(os.Args[0], "-test.run=^TestNothingIsEverFetched$", "-test.v")
		cmd.Env = append(os.Environ(), fresh+"=1")
		if out, err := cmd.CombinedOutput(); err != nil || !strings.Contains(string(out), "--- PASS: TestNothingIsEverFetched") {
			t.Fatalf("%v\n%s", err, out)
		}
		return
	}
	t.Setenv("TIKTOKEN_CACHE_DIR", t.TempDir())
	asked := 0
	http.DefaultTransport = roundTrip(func(*http.Request) (*http.Response, error) { asked++; return nil, errors.New("no network") })
	if _, err := tiktoken.NewDefaultBpeLoader().LoadTiktokenBpe("http://127.0.0.1:1/none.tiktoken"); err == nil || asked == 0 {
		t.Fatalf("the library's own loader did not ask the network (%v): this test proves nothing", err)
	}
	asked = 0
	for _, e := range []Encoding{O200K, CL100K} {
		if err := Load(e); err != nil || count(t, e, "hello world") != 2 {
			t.Errorf("%s does not count: %v", e, err)
		}
	}
	if asked > 0 {
		t.Errorf("the network was asked %d times", asked)
	}
	if left, err := os.ReadDir(os.Getenv("TIKTOKEN_CACHE_DIR")); err != nil || len(left) > 0 {
		t.Errorf("files were kept: %v, %v", left, err)
	}
}

type roundTrip func(*http.Request) (*http.Response, error)

func (f roundTrip) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

func TestWhatDecodingNeedsIsLetGo(t *testing.T) {
	enc, err := tiktoken.GetEncoding(string(O200K)) // built anew of what is loaded
	if err != nil || trim(enc) != 2 {
		t.Errorf("the library's fields have other names (%v): internal/tokens takes twice the memory", err)
	}
}

func TestAnUnknownVocabularyIsAnError(t *testing.T) {
	if _, err := Encoding("p50k_base").Count([]byte("x")); err == nil {
		t.Error("a vocabulary that is not there counted")
	}
}

func BenchmarkCount(b *testing.B) {
	for name, text := range map[string]string{
		"prose 64 KiB":      strings.Repeat("The customer asks why the invoice of last month was charged twice. ", 1000)[:64<<10],
		"one letter 64 KiB": strings.Repeat("a", 64<<10),
	} {
		b.Run(name, func(b *testing.B) {
			b.SetBytes(int64(len(text)))
			b.ReportAllocs()
			for b.Loop() {
				count(b, O200K, text)
			}
		})
	}
}

// TestWhatAVocabularyTakes states the memory of a process that has loaded one,
// and then the other, and counted; in a process of its own.
func TestWhatAVocabularyTakes(t *testing.T) {
	const fresh = "TOKENS_TEST_MEMORY"
	if os.Getenv(fresh) == "" {
		cmd := exec.Command(os.Args[0], "-test.run=^TestWhatAVocabularyTakes$", "-test.v")
		cmd.Env = append(os.Environ(), fresh+"=1")
		out, err := cmd.CombinedOutput()
		t.Logf("%s", out)
		if err != nil {
			t.Fatal(err)
		}
		return
	}
	before := resident(t, "VmRSS")
	if before == 0 {
		t.Skip("this system does not say what is resident")
	}
	text := strings.Repeat("The customer asks why the invoice of last month was charged twice. ", 900)
	for _, e := range []Encoding{O200K, CL100K} {
		count(t, e, text)
		t.Logf("%s: %d MB resident, at most %d MB on the way, from %d MB", e, resident(t, "VmRSS")>>20, resident(t, "VmHWM")>>20, before>>20)
	}
	if grown := resident(t, "VmRSS") - before; grown > 80<<20 && !raceEnabled {
		t.Errorf("two vocabularies take %d MB", grown>>20)
	}
}

// resident reads a figure of Linux's /proc/self/status in bytes; 0 elsewhere.
func resident(t *testing.T, name string) (n int) {
	t.Helper()
	raw, err := os.ReadFile("/proc/self/status")
	if err != nil {
		return 0
	}
	_, rest, _ := strings.Cut(string(raw), name+":")
	if _, err := fmt.Sscanf(rest, "%d kB", &n); err != nil {
		t.Fatal(err)
	}
	return n << 10
}
