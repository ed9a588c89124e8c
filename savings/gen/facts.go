package main

import (
	"encoding/json"
	"fmt"
)

// The shape of the facts.
type factFile struct {
	Meta struct {
		Sources []struct {
			Name    string `json:"name"`
			Path    string `json:"path"`
			Commit  string `json:"commit"`
			Date    string `json:"commit_date"`
			Licence string `json:"licence"`
			UsedFor string `json:"used_for"`
		} `json:"sources"`
		Missing []string `json:"missing"`
	} `json:"_meta"`
	Providers []struct {
		ID     string      `json:"id"`
		Pages  []string    `json:"pricing_urls"`
		Models []factModel `json:"models"`
	} `json:"providers"`
}

type factModel struct {
	ID      string              `json:"id"`
	Match   factMatch           `json:"match"`
	Context int64               `json:"context_window"`
	Prices  []factPrice         `json:"prices"`
	Modes   map[string]factMode `json:"execution_modes"`
}

type factPrice struct {
	Constraint struct {
		StartDate string `json:"start_date"`
		StartTime string `json:"start_time"`
		EndTime   string `json:"end_time"`
	} `json:"constraint"`
	Prices map[string]factRate `json:"prices"`
}

type factMode struct {
	Base    map[string]json.Number            `json:"base"`
	ByStart map[string]map[string]json.Number `json:"by_input_start"`
}

type factMatch struct {
	Equals     string      `json:"equals"`
	StartsWith string      `json:"starts_with"`
	EndsWith   string      `json:"ends_with"`
	Contains   string      `json:"contains"`
	Regex      string      `json:"regex"`
	Or         []factMatch `json:"or"`
}

// rules writes the match rules as texts: name, prefix*, *suffix, *part*, /regexp/.
func (m factMatch) rules() ([]string, error) {
	switch {
	case m.Equals != "":
		return []string{m.Equals}, nil
	case m.StartsWith != "":
		return []string{m.StartsWith + "*"}, nil
	case m.EndsWith != "":
		return []string{"*" + m.EndsWith}, nil
	case m.Contains != "":
		return []string{"*" + m.Contains + "*"}, nil
	case m.Regex != "":
		return []string{"/" + m.Regex + "/"}, nil
	}
	var all []string
	for _, sub := range m.Or {
		rules, err := sub.rules()
		if err != nil {
			return nil, err
		}
		all = append(all, rules...)
	}
	if len(all) == 0 {
		return nil, fmt.Errorf("a match rule of a kind not known here")
	}
	return all, nil
}

// factRate is a number, or a base with steps past which the whole request is
// at another price.
type factRate struct {
	Base  json.Number
	Steps []factStep
}

type factStep struct {
	Start int64       `json:"start"`
	Price json.Number `json:"price"`
}

func (r *factRate) UnmarshalJSON(b []byte) error {
	if b[0] != '{' {
		return json.Unmarshal(b, &r.Base)
	}
	var steps struct {
		Base  json.Number `json:"base"`
		Tiers []factStep  `json:"tiers"`
	}
	err := json.Unmarshal(b, &steps)
	r.Base, r.Steps = steps.Base, steps.Tiers
	return err
}

type crossFile struct {
	Meta struct {
		Unit string `json:"unit"`
	} `json:"_meta"`
	Disagreements []struct {
		Provider string         `json:"provider"`
		Model    string         `json:"model"`
		Ours     [2]json.Number `json:"genai_prices"`
		Other    [2]json.Number `json:"portkey_models"`
	} `json:"disagreements"`
	CacheReads []struct {
		Provider string      `json:"provider"`
		Model    string      `json:"model"`
		Ours     json.Number `json:"genai_cache_read"`
		Other    json.Number `json:"portkey_cache_read"`
	} `json:"cache_read_disagreements"`
}
