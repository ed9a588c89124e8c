// Command gen rewrites published price facts into savings/prices.json: integer
// nano-USD per million tokens, one row per tier, period and prompt-length step.
//
//	go run ./savings/gen -facts model_prices.json -crosscheck price_crosscheck.json -out savings/prices.json
//
// It invents no price: what the facts leave empty is left out, and a model
// without any price is not written at all, so that it stays unpriced.
package main

import (
	"bytes"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"strconv"
	"time"
)

func main() {
	facts := flag.String("facts", "", "the price facts (JSON)")
	cross := flag.String("crosscheck", "", "where two sources disagree (JSON); optional")
	out := flag.String("out", "savings/prices.json", "the file to write")
	flag.Parse()
	if err := run(*facts, *cross, *out); err != nil {
		fmt.Fprintln(os.Stderr, "gen:", err)
		os.Exit(1)
	}
}

func run(facts, cross, out string) error {
	var in factFile
	if err := read(facts, &in); err != nil {
		return err
	}
	var disputes crossFile
	if cross != "" {
		if err := read(cross, &disputes); err != nil {
			return err
		}
	}
	book, err := convert(&in, &disputes)
	if err != nil {
		return err
	}
	text, err := json.MarshalIndent(book, "", " ")
	if err != nil {
		return err
	}
	return os.WriteFile(out, append(text, '\n'), 0o644)
}

func read(path string, into any) error {
	text, err := os.ReadFile(path)
	if err != nil {
		return fmt.Errorf("read facts: %w", err)
	}
	dec := json.NewDecoder(bytes.NewReader(text))
	dec.UseNumber() // prices are decimals: never through a float
	if err := dec.Decode(into); err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	return nil
}

// nano turns dollars per million tokens, as written, into nano-USD.
func nano(n json.Number) (int64, error) {
	whole, frac, _ := bytes.Cut([]byte(n.String()), []byte("."))
	if len(whole) == 0 || len(frac) > 9 || bytes.ContainsAny([]byte(n.String()), "eE-+") {
		return 0, fmt.Errorf("price %q is not an amount with at most nine decimals", n)
	}
	digits := string(whole) + string(frac) + "000000000"[:9-len(frac)]
	return strconv.ParseInt(digits, 10, 64)
}

func day(text string) (time.Time, error) { return time.Parse(time.DateOnly, text) }
