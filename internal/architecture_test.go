package internal_test

import (
	"encoding/json"
	"errors"
	"io"
	"os/exec"
	"path"
	"slices"
	"strings"
	"testing"
)

const module = "github.com/gnomon-llm/gnomon"

// homes names the only packages that may import a library (docs/DESIGN.md,
// Rooms). A folder stands for itself and what is below it.
var homes = map[string][]string{
	"github.com/gin-gonic/gin":            {"proxy"},
	"github.com/segmentio/kafka-go":       {"internal/pipeline"},
	"github.com/ClickHouse/clickhouse-go": {"internal/store"},
	"github.com/ClickHouse/ch-go":         {"internal/store", "internal/embedded"},
	"github.com/ebitengine/purego":        {"internal/embedded"},
	"github.com/twmb/franz-go":            {"internal/embedded"},
	"gonum.org/v1/gonum":                  {"analyzer"},
	"gonum.org/v1/plot":                   {"classifier/training"},
	"github.com/knadh/koanf":              {"internal/config"},
	"github.com/failsafe-go/failsafe-go":  {"proxy"},
	"github.com/spf13/cobra":              {"cmd/gnomon"},
	"github.com/pkoukk/tiktoken-go":       {"internal/tokens"},
}

// mayImport is the stated direction: what each room may import of ours. Pure
// rooms know records and each other; adapters know the domain; cmd knows all.
var mayImport = map[string][]string{
	"schemas":             {},
	"proxy/dialect":       {"schemas"},
	"proxy/translate":     {"schemas", "proxy/dialect"},
	"savings":             {"schemas"},
	"classifier":          {"schemas", "proxy/dialect"},
	"classifier/training": {"schemas", "classifier", "analyzer"},
	"analyzer":            {"schemas", "analyzer", "classifier"}, // whose scores pairs are of
	"analyzer/familiar":   {"schemas", "classifier"},
	"analyzer/whatif":     {"schemas", "analyzer", "classifier", "savings"},
	"activation":          {"schemas"},
	"rehearsal":           {"schemas", "savings", "classifier", "proxy/dialect", "proxy/translate"},
	"proxy":               {"schemas", "proxy", "classifier", "savings"},
	"dashboards":          {"schemas", "analyzer", "activation", "classifier", "savings", "dashboards"},
	"internal/config":     {},
	"internal/sabotage":   {},
	"internal/tokens":     {},
	"internal/spool":      {"schemas", "internal/sabotage"},
	"internal/pipeline":   {"schemas", "internal/spool", "internal/sabotage"},
	"e2e/chaos":           {"internal/sabotage"},
	"internal/replay":     {"schemas", "classifier", "savings"},
	"internal/store":      {"internal/replay", "internal/sabotage", "schemas", "analyzer", "savings", "dashboards"},
	"internal/embedded":   {"internal/embedded", "internal/sabotage"},
	"internal/simulator":  {"schemas", "classifier", "savings", "analyzer", "rehearsal", "proxy"},
}

type pkg struct {
	ImportPath string
	Imports    []string
}

// listed returns our packages; test files are not held to the direction.
func listed(t *testing.T) []pkg {
	t.Helper()
	cmd := exec.Command("go", "list", "-json=ImportPath,Imports", module+"/...")
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("go list: %v", err)
	}
	var all []pkg
	dec := json.NewDecoder(strings.NewReader(string(out)))
	for {
		var p pkg
		if err := dec.Decode(&p); errors.Is(err, io.EOF) {
			return all
		} else if err != nil {
			t.Fatal(err)
		}
		all = append(all, p)
	}
}

// offences lists the imports of p that go against homes or mayImport.
func offences(p pkg) []string {
	self := strings.TrimPrefix(p.ImportPath, module+"/")
	var bad []string
	for _, imp := range p.Imports {
		if ours, ok := strings.CutPrefix(imp, module+"/"); ok {
			if room, known := roomOf(self); known && ours != self && !within(ours, mayImport[room]) {
				bad = append(bad, self+" imports "+ours)
			} else if !known && !strings.HasPrefix(self, "cmd/") {
				bad = append(bad, self+" is in no room: name it in docs/DESIGN.md and here")
			}
			continue
		}
		for lib, allowed := range homes {
			if (imp == lib || strings.HasPrefix(imp, lib+"/")) && !within(self, allowed) {
				bad = append(bad, self+" imports "+imp+", whose only home is "+strings.Join(allowed, ", "))
			}
		}
	}
	slices.Sort(bad)
	return slices.Compact(bad)
}

func roomOf(self string) (string, bool) {
	for room := self; room != "."; room = path.Dir(room) {
		if _, ok := mayImport[room]; ok {
			return room, true
		}
	}
	return "", false
}

func within(p string, folders []string) bool {
	return slices.ContainsFunc(folders, func(f string) bool { return p == f || strings.HasPrefix(p, f+"/") })
}

func TestImportsGoInTheStatedDirection(t *testing.T) {
	for _, p := range listed(t) {
		for _, bad := range offences(p) {
			t.Error(bad)
		}
	}
}

func TestAnImportAgainstTheDirectionIsNoticed(t *testing.T) {
	for _, p := range []pkg{
		{module + "/schemas", []string{module + "/proxy"}},
		{module + "/classifier", []string{"github.com/gin-gonic/gin"}},
		{module + "/analyzer", []string{"github.com/ClickHouse/clickhouse-go/v2/lib/driver"}},
		{module + "/proxy/dialect", []string{module + "/internal/store"}},
		{module + "/common", []string{module + "/schemas"}},
	} {
		if len(offences(p)) != 1 {
			t.Errorf("%s importing %v: %v", p.ImportPath, p.Imports, offences(p))
		}
	}
}
