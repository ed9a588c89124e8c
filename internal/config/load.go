package config

import (
	"errors"
	"fmt"
	"os"
	"reflect"
	"slices"
	"strings"
	"time"

	"github.com/go-viper/mapstructure/v2"
	"github.com/knadh/koanf/parsers/yaml"
	"github.com/knadh/koanf/providers/confmap"
	"github.com/knadh/koanf/providers/env/v2"
	"github.com/knadh/koanf/providers/rawbytes"
	"github.com/knadh/koanf/v2"
)

// delim separates the parts of a key inside koanf. It is no character that a
// workload's name may hold, unlike the dot that people write.
const delim = "\x1f"

// EnvPrefix starts every environment variable that configures gnomon.
const EnvPrefix = "GNOMON_"

// Options say where a configuration comes from.
type Options struct {
	// File is read when it is set, and must then exist; otherwise gnomon.yaml
	// of the working folder is read when it is there.
	File string
	// Flags are dotted keys set on the command line; they win over all.
	Flags map[string]any
	// Environ is os.Environ() when nil.
	Environ []string
	// Asks is of who only asks a running gnomon: what concerns the server alone
	// is not looked at, so that a fault there never stands before a rollback.
	Asks bool
	// Check looks at what this package cannot judge, at the same time as everything
	// else is looked at. Nil looks at no more.
	Check func(*Config, Wrong)
}

// Wrong takes the fault of a key ("providers.openai.price_list"); where the key was
// set is added to it.
type Wrong func(key, format string, args ...any)

// DefaultFile is read from the working folder when no file is named.
const DefaultFile = "gnomon.yaml"

// Load reads, merges and validates a configuration. Errors name the file and
// line, the environment variable or the flag, and the key.
func Load(o Options) (*Config, error) {
	k := koanf.NewWithConf(koanf.Conf{Delim: delim, StrictMerge: false})
	origins := origins{}
	// What is wrong in one place does not hide what is wrong in another.
	err := errors.Join(loadFile(k, o.File, origins), loadEnv(k, o.Environ, origins), loadFlags(k, o.Flags, origins))
	c := Default()
	err = errors.Join(err, decode(k, &c, origins))
	if o.Asks {
		c.Providers = nil
		c.Kafka.SASL.PasswordFile = ""
		if err != nil {
			return nil, err
		}
		return &c, c.readSecrets()
	}
	if err = errors.Join(err, c.readSecrets(), c.validate(origins, o.Check)); err != nil {
		return nil, err
	}
	return &c, nil
}

// origins remembers where a dotted key was set: "gnomon.yaml:12", "environment
// variable GNOMON_PROXY__ADDR", "flag --addr".
type origins map[string]string

func (o origins) of(key string) string {
	for k := key; k != ""; {
		if at, ok := o[k]; ok {
			return at
		}
		i := strings.LastIndex(k, delim)
		if i < 0 {
			break
		}
		k = k[:i]
	}
	return "configuration"
}

func loadFile(k *koanf.Koanf, path string, o origins) error {
	explicit := path != ""
	if !explicit {
		path = DefaultFile
	}
	raw, err := os.ReadFile(path)
	if errors.Is(err, os.ErrNotExist) && !explicit {
		return nil
	}
	if err != nil {
		return fmt.Errorf("configuration file: %w", err)
	}
	unknown := checkFile(path, raw, o)
	if err := k.Load(rawbytes.Provider(raw), yaml.Parser()); err != nil && unknown == nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	return unknown
}

// loadEnv maps GNOMON_PROXY__ADDR to proxy.addr. Lists are comma-separated.
// Structures that have no scalar form (ladders) belong in the file.
func loadEnv(k *koanf.Koanf, environ []string, o origins) error {
	if environ == nil {
		environ = os.Environ()
	}
	var wrong error
	p := env.Provider(delim, env.Opt{
		Prefix:      EnvPrefix,
		EnvironFunc: func() []string { return environ },
		TransformFunc: func(name, value string) (string, any) {
			if slices.Contains(reservedEnv, name) {
				return "", nil
			}
			key := strings.ReplaceAll(strings.ToLower(strings.TrimPrefix(name, EnvPrefix)), "__", delim)
			kind, ok := lookup(key)
			if !ok {
				wrong = errors.Join(wrong, fmt.Errorf("environment variable %s: unknown key %q%s", name, dotted(key), didYouMean(key)))
				return "", nil
			}
			o[key] = "environment variable " + name
			if kind == reflect.Slice {
				return key, splitList(value)
			}
			return key, value
		},
	})
	if err := k.Load(p, nil); err != nil {
		return fmt.Errorf("environment: %w", err)
	}
	return wrong
}

// reservedEnv are variables with gnomon's prefix that are no configuration.
var reservedEnv = []string{"GNOMON_CONFIG", "GNOMON_ENGINE_CHILD", "GNOMON_REQUIRE_ENGINE", "GNOMON_REFERENCE", "GNOMON_CONSOLE_URL", "GNOMON_BENCH_STATS", "GNOMON_BENCH_ROWS", "GNOMON_BENCH_DIR", "GNOMON_BENCH_DAYS", "GNOMON_BENCH_ROUTING", "GNOMON_PREVIEW", "GNOMON_SCREENSHOTS"}

func loadFlags(k *koanf.Koanf, flags map[string]any, o origins) error {
	m := map[string]any{}
	var wrong error
	for _, key := range slices.Sorted(mapsKeys(flags)) {
		v := flags[key]
		inner := strings.ReplaceAll(key, ".", delim)
		kind, ok := lookup(inner)
		if !ok {
			wrong = errors.Join(wrong, fmt.Errorf("--set %s: unknown key %q%s", key, key, didYouMean(inner)))
			continue
		}
		if text, isText := v.(string); isText && kind == reflect.Slice {
			v = splitList(text)
		}
		m[inner] = v
		o[inner] = "--set " + key
	}
	return errors.Join(wrong, k.Load(confmap.Provider(m, delim), nil))
}

func splitList(s string) []string {
	var list []string
	for part := range strings.SplitSeq(s, ",") {
		if part = strings.TrimSpace(part); part != "" {
			list = append(list, part)
		}
	}
	return list
}

func decode(k *koanf.Koanf, c *Config, o origins) error {
	base := c.Providers
	c.Providers = nil
	err := k.UnmarshalWithConf("", c, koanf.UnmarshalConf{Tag: "koanf", DecoderConfig: &mapstructure.DecoderConfig{
		Result: c, WeaklyTypedInput: true, TagName: "koanf",
		DecodeHook: mapstructure.ComposeDecodeHookFunc(wantUnit, mapstructure.StringToTimeDurationHookFunc(), mapstructure.StringToSliceHookFunc(",")),
	}})
	if err != nil {
		err = decodeError(k, err, o)
	}
	// A built-in row that the configuration names keeps what it does not set.
	set := c.Providers
	c.Providers = base
	for name, p := range set {
		row, builtin := base[name]
		merged := mergeProvider(row, p, k, name, builtin)
		c.Providers[name] = merged
	}
	for _, name := range k.MapKeys("providers") {
		if _, ok := c.Providers[name]; !ok && err != nil { // one that does not fit is told of once, not by every ladder that names it
			c.Providers[name] = Provider{Dialect: "openai", BaseURL: "https://unread.invalid"}
		}
	}
	return err
}

func mergeProvider(row, p Provider, k *koanf.Koanf, name string, builtin bool) Provider {
	if !builtin {
		return p
	}
	if p.Dialect == "" {
		p.Dialect = row.Dialect
	}
	if p.BaseURL == "" {
		p.BaseURL = row.BaseURL
	}
	if !k.Exists(strings.Join([]string{"providers", name, "include_usage"}, delim)) {
		p.IncludeUsage = row.IncludeUsage
	}
	return p
}

// wantUnit refuses a bare number where a duration belongs: it would be taken for
// nanoseconds. Zero needs no unit.
func wantUnit(from, to reflect.Type, data any) (any, error) {
	if to != reflect.TypeFor[time.Duration]() || from == to {
		return data, nil
	}
	switch n := reflect.ValueOf(data); {
	case n.CanInt() && n.Int() != 0, n.CanUint() && n.Uint() != 0, n.CanFloat() && n.Float() != 0:
		return nil, errors.New("a number without a unit")
	}
	return data, nil
}

// decodeError says of each value that does not fit where it was set, what it is
// and what would fit.
func decodeError(k *koanf.Koanf, err error, o origins) error {
	var all []error
	var walk func(error)
	walk = func(err error) {
		if d := (*mapstructure.DecodeError)(nil); errors.As(err, &d) && error(d) == err {
			all = append(all, misfit(k, d, o))
			return
		}
		switch w := err.(type) {
		case interface{ Unwrap() []error }:
			for _, e := range w.Unwrap() {
				walk(e)
			}
		case interface{ Unwrap() error }:
			walk(w.Unwrap())
		default:
			all = append(all, err)
		}
	}
	walk(err)
	return errors.Join(all...)
}

// misfit is one value that cannot be what its key wants. Only what stands for a
// number, a duration or a switch is repeated: anything else may be a secret.
func misfit(k *koanf.Koanf, d *mapstructure.DecodeError, o origins) error {
	inner := innerKey(d.Name())
	t, ok := typeOf(inner)
	if !ok {
		return fmt.Errorf("%s: %w", o.of(inner), d)
	}
	value := "its value does not fit"
	switch kind := t.Kind(); kind {
	case reflect.String, reflect.Struct, reflect.Map, reflect.Slice:
	default:
		value = fmt.Sprintf("%q does not fit", fmt.Sprint(k.Get(inner)))
	}
	return fmt.Errorf("%s: %s: %s: want %s", o.of(inner), dotted(inner), value, wanted(t))
}

// innerKey turns mapstructure's name of a field, workloads[a.b].rehearse, into a key.
func innerKey(name string) string {
	var b strings.Builder
	depth := 0
	for _, r := range name {
		switch {
		case r == '[':
			depth++
			b.WriteString(delim)
		case r == ']':
			depth--
		case r == '.' && depth == 0:
			b.WriteString(delim)
		default:
			b.WriteRune(r)
		}
	}
	return b.String()
}

// wanted is a type as a person would write a value of it.
func wanted(t reflect.Type) string {
	switch k := t.Kind(); {
	case t == reflect.TypeFor[time.Duration]():
		return "a duration, like 30s, 5m or 24h"
	case k == reflect.Bool:
		return "true or false"
	case k == reflect.Float64 || k == reflect.Float32 || k == reflect.Pointer:
		return "a number, like 0.5"
	case t.Kind() >= reflect.Int && t.Kind() <= reflect.Uint64:
		return "a whole number, like 14"
	case k == reflect.Slice:
		return "a list"
	case k == reflect.Struct || k == reflect.Map:
		return "keys and values below it"
	}
	return "a text"
}

// readSecrets fills secrets from the files that name them. One that cannot be
// had is told, and stands for set: what needs it is not said to lack it, too.
func (c *Config) readSecrets() error {
	var errs []error
	read := func(key, path string, into *string) {
		if path == "" {
			return
		}
		if *into != "" {
			errs = append(errs, fmt.Errorf("%s and its _file are both set: keep one", key))
			return
		}
		b, err := os.ReadFile(path)
		*into = strings.TrimSpace(string(b))
		if err == nil && *into == "" {
			err = fmt.Errorf("%s is empty", path)
		}
		if err != nil {
			errs = append(errs, fmt.Errorf("%s_file: %w", key, err))
			*into = "unread: " + key
		}
	}
	read("admin.token", c.Admin.TokenFile, &c.Admin.Token)
	read("kafka.sasl.password", c.Kafka.SASL.PasswordFile, &c.Kafka.SASL.Password)
	for _, name := range slices.Sorted(mapsKeys(c.Providers)) {
		p := c.Providers[name]
		read("providers."+name+".api_key", p.APIKeyFile, &p.APIKey)
		for i, path := range p.APIKeyFiles {
			key := ""
			read(fmt.Sprintf("providers.%s.api_key_files.%d", name, i), path, &key)
			p.APIKeys = append(p.APIKeys, key)
		}
		if p.APIKey == "" && len(p.APIKeys) > 0 { // what needs one takes the first
			p.APIKey, p.APIKeys = p.APIKeys[0], p.APIKeys[1:]
		}
		c.Providers[name] = p
	}
	return errors.Join(errs...)
}
