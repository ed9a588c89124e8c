package main

import (
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// Every metric that the handbook names has to be one that the code makes: an alert
// on a name that is none is never heard.
func TestEveryMetricThatTheHandbookNamesExists(t *testing.T) {
	var code strings.Builder
	err := filepath.WalkDir("../..", func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go") || strings.Contains(path, "e2e") {
			return err
		}
		raw, err := os.ReadFile(path)
		code.Write(raw)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	metric := regexp.MustCompile(`gnomon_[a-z0-9_]+[a-z0-9]`)
	var absent, all []string
	for _, doc := range []string{"operators.md", "completeness.md", "scale.md"} {
		raw, err := os.ReadFile("../../docs/" + doc)
		if err != nil {
			t.Fatal(err)
		}
		for _, name := range metric.FindAllString(string(raw), -1) {
			all = append(all, name)
			if !strings.Contains(code.String(), `"`+name+`"`) {
				absent = append(absent, doc+": "+name)
			}
		}
	}
	if len(all) < 10 || len(absent) > 0 {
		t.Errorf("of %d named, none makes %v", len(all), absent)
	}
}
