package config

import (
	"iter"
	"maps"
	"net/url"
	"reflect"
	"slices"
	"strconv"
	"time"

	"gopkg.in/yaml.v3"
)

// redacted stands for a secret that is set.
const redacted = "(set, not shown)"

// Redacted returns a copy without secrets.
func (c *Config) Redacted() *Config {
	r := *c
	hide := func(s *string) {
		if *s != "" {
			*s = redacted
		}
	}
	hide(&r.Admin.Token)
	hide(&r.Kafka.SASL.Password)
	hideIn := func(address *string) {
		if u, err := url.Parse(*address); err == nil {
			if u.RawQuery != "" {
				u.RawQuery = "not-shown"
			}
			*address = u.Redacted()
		} else {
			*address = redacted
		}
	}
	hideIn(&r.ClickHouse.DSN)
	hideIn(&r.ClickHouse.ReadDSN)
	r.Providers = maps.Clone(c.Providers)
	for name, p := range r.Providers {
		hide(&p.APIKey)
		p.APIKeys = slices.Clone(p.APIKeys)
		for i := range p.APIKeys {
			p.APIKeys[i] = redacted + " " + strconv.Itoa(i+2) // told apart, as keys must be
		}
		r.Providers[name] = p
	}
	return &r
}

// YAML returns the configuration as a file would state it.
func (c *Config) YAML() ([]byte, error) {
	return yaml.Marshal(c.Map())
}

// Map returns the configuration as nested maps under its own keys, for JSON.
func (c *Config) Map() map[string]any {
	return toMap(reflect.ValueOf(*c)).(map[string]any)
}

func mapsKeys[V any](m map[string]V) iter.Seq[string] { return maps.Keys(m) }

// toMap turns a value into nested maps under its own keys.
func toMap(v reflect.Value) any {
	switch v.Kind() {
	case reflect.Struct:
		m := map[string]any{}
		for i := range v.NumField() {
			if tag := v.Type().Field(i).Tag.Get("koanf"); tag != "-" && tag != "" {
				m[tag] = toMap(v.Field(i))
			}
		}
		return m
	case reflect.Map:
		m := map[string]any{}
		for it := v.MapRange(); it.Next(); {
			m[it.Key().String()] = toMap(it.Value())
		}
		return m
	case reflect.Slice:
		list := make([]any, v.Len())
		for i := range list {
			list[i] = toMap(v.Index(i))
		}
		return list
	}
	if d, ok := v.Interface().(time.Duration); ok {
		return d.String()
	}
	return v.Interface()
}
