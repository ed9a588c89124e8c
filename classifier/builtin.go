package classifier

import (
	"bytes"
	_ "embed"
	"encoding/json"
	"fmt"
	"sync"

	"github.com/gnomon-llm/gnomon/schemas"
)

// modelsJSON is data, kept by hand: the ladders and what models can do, dated.
//
//go:embed models.json
var modelsJSON []byte

type modelsFile struct {
	Date   string `json:"date"`
	Note   string `json:"note"`
	Models []struct {
		Names     []string `json:"names"`
		Context   uint32   `json:"context"`
		MaxOutput uint32   `json:"max_output"`
		MinCached uint32   `json:"min_cached"` // absent: 1,024
		Source    string   `json:"source"`
		Supports  []string `json:"supports"`
	} `json:"models"`
	Ladders []struct {
		Baseline   string   `json:"baseline"`
		Candidates []string `json:"candidates"`
	} `json:"ladders"`
}

// gateWords are the capabilities by the word the data file uses.
var gateWords = map[string]schemas.Gate{
	"tools": schemas.GateTools, "parallel_tools": schemas.GateParallelTools, "vision": schemas.GateVision, "audio": schemas.GateAudio,
	"json_mode": schemas.GateJSONMode, "json_schema": schemas.GateJSONSchema, "logprobs": schemas.GateLogprobs,
	"multiple_choices": schemas.GateMultipleChoices, "reasoning": schemas.GateReasoning, "prediction": schemas.GatePrediction,
	"web_search": schemas.GateWebSearch,
}

// builtinModels reads the embedded file once. That it can be read is a test's
// matter: the file does not change after the build.
var builtinModels = sync.OnceValue(func() *modelsFile {
	f, err := parseModels(modelsJSON)
	if err != nil {
		panic("embedded models.json: " + err.Error())
	}
	return f
})

func parseModels(text []byte) (*modelsFile, error) {
	var f modelsFile
	dec := json.NewDecoder(bytes.NewReader(text))
	dec.DisallowUnknownFields()
	if err := dec.Decode(&f); err != nil {
		return nil, err
	}
	for _, m := range f.Models {
		for _, word := range m.Supports {
			if _, ok := gateWords[word]; !ok {
				return nil, fmt.Errorf("%v: no capability is called %q", m.Names, word)
			}
		}
	}
	return &f, nil
}

// BuiltinDate returns the day on which the built-in ladders and capabilities
// were last compared with the vendors' pages, as 2006-01-02.
func BuiltinDate() string { return builtinModels().Date }

// BuiltinLadders returns the built-in ladder of each baseline.
func BuiltinLadders() []Ladder {
	f := builtinModels()
	out := make([]Ladder, 0, len(f.Ladders))
	for _, l := range f.Ladders {
		out = append(out, Ladder{Baseline: l.Baseline, Candidates: append([]string(nil), l.Candidates...)})
	}
	return out
}

// BuiltinCapabilities returns what the built-in models can do.
func BuiltinCapabilities() []Capability {
	var out []Capability
	for _, m := range builtinModels().Models {
		var gates schemas.Gate
		for _, word := range m.Supports {
			gates |= gateWords[word]
		}
		for _, name := range m.Names {
			out = append(out, Capability{Model: name, Supports: gates, ContextWindow: m.Context, MaxOutput: m.MaxOutput, MinCached: m.MinCached})
		}
	}
	return out
}
