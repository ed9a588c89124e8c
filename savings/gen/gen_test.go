package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"testing"
)

// TestPricesAreWhatTheFactsSay makes prices.json anew and compares.
func TestPricesAreWhatTheFactsSay(t *testing.T) {
	root := os.Getenv("GNOMON_REFERENCE")
	if root == "" {
		root = "../../../shared"
	}
	facts := filepath.Join(root, "prices", "model_prices.json")
	if _, err := os.Stat(facts); err != nil {
		t.Skip("no reference data: set GNOMON_REFERENCE to its folder")
	}
	out := filepath.Join(t.TempDir(), "prices.json")
	if err := run(facts, filepath.Join(root, "prices", "price_crosscheck.json"), out); err != nil {
		t.Fatal(err)
	}
	made, err := os.ReadFile(out)
	if err != nil {
		t.Fatal(err)
	}
	shipped, err := os.ReadFile("../prices.json")
	if err != nil {
		t.Fatal(err)
	}
	if string(made) != string(shipped) {
		t.Error("savings/prices.json is not what savings/gen makes of the facts: run it again")
	}
}

func TestNano(t *testing.T) {
	for text, want := range map[json.Number]int64{"0.15": 150_000_000, "5": 5_000_000_000, "0.0375": 37_500_000, "0.000000001": 1, "600": 600_000_000_000} {
		if got, err := nano(text); err != nil || got != want {
			t.Errorf("%s: %d, %v", text, got, err)
		}
	}
	for _, text := range []json.Number{"-1", "1e3", "0.0000000001", "x", ""} {
		if got, err := nano(text); err == nil {
			t.Errorf("%s was taken as %d", text, got)
		}
	}
}
