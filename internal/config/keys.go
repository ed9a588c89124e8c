package config

import (
	"errors"
	"fmt"
	"reflect"
	"strconv"
	"strings"

	"gopkg.in/yaml.v3"
)

// checkFile walks the file before it is merged: every key must be known, and
// its line is remembered for later errors.
func checkFile(path string, raw []byte, o origins) error {
	var doc yaml.Node
	if err := yaml.Unmarshal(raw, &doc); err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	if len(doc.Content) == 0 {
		return nil
	}
	root := doc.Content[0]
	if root.Kind != yaml.MappingNode {
		return fmt.Errorf("%s:%d: want keys and values, like \"project: acme\"", path, root.Line)
	}
	return checkNode(path, root, "", o)
}

func checkNode(path string, n *yaml.Node, prefix string, o origins) (wrong error) {
	switch n.Kind {
	case yaml.MappingNode:
		seen := map[string]int{}
		for i := 0; i+1 < len(n.Content); i += 2 {
			name, value := n.Content[i], n.Content[i+1]
			key := join(prefix, name.Value)
			at := fmt.Sprintf("%s:%d", path, name.Line)
			if line, dup := seen[name.Value]; dup {
				wrong = errors.Join(wrong, fmt.Errorf("%s: %q is set again (first on line %d)", at, dotted(key), line))
				continue
			}
			seen[name.Value] = name.Line
			if _, ok := lookup(key); !ok {
				wrong = errors.Join(wrong, fmt.Errorf("%s: unknown key %q%s", at, dotted(key), didYouMean(key)))
				continue // what is below it is unknown too
			}
			o[key] = at
			wrong = errors.Join(wrong, checkNode(path, value, key, o))
		}
	case yaml.SequenceNode:
		for i, item := range n.Content {
			key := join(prefix, strconv.Itoa(i))
			o[key] = fmt.Sprintf("%s:%d", path, item.Line)
			wrong = errors.Join(wrong, checkNode(path, item, key, o))
		}
	}
	return wrong
}

func join(prefix, name string) string {
	if prefix == "" {
		return name
	}
	return prefix + delim + name
}

// dotted is the key as people write it.
func dotted(key string) string { return strings.ReplaceAll(key, delim, ".") }

// lookup finds a key in Config's type. A map takes any name, a list any index.
func lookup(key string) (reflect.Kind, bool) {
	t, ok := typeOf(key)
	if !ok {
		return reflect.Invalid, false
	}
	return t.Kind(), true
}

func typeOf(key string) (reflect.Type, bool) {
	t := reflect.TypeFor[Config]()
	for part := range strings.SplitSeq(key, delim) {
		next, ok := child(t, part)
		if !ok {
			return nil, false
		}
		t = next
	}
	return t, true
}

func child(t reflect.Type, part string) (reflect.Type, bool) {
	switch t.Kind() {
	case reflect.Struct:
		for i := range t.NumField() {
			if tag := t.Field(i).Tag.Get("koanf"); tag == part && tag != "-" {
				return t.Field(i).Type, true
			}
		}
	case reflect.Map:
		return t.Elem(), part != ""
	case reflect.Slice:
		if _, err := strconv.Atoi(part); err == nil {
			return t.Elem(), true
		}
	}
	return nil, false
}

// Keys lists every key, maps as <name> and lists as [], for docs and tests.
func Keys() []string {
	var keys []string
	var walk func(t reflect.Type, prefix string)
	walk = func(t reflect.Type, prefix string) {
		switch {
		case t.Kind() == reflect.Struct:
			for i := range t.NumField() {
				if tag := t.Field(i).Tag.Get("koanf"); tag != "-" && tag != "" {
					walk(t.Field(i).Type, strings.TrimPrefix(prefix+"."+tag, "."))
				}
			}
		case t.Kind() == reflect.Map:
			walk(t.Elem(), prefix+".<name>")
		case t.Kind() == reflect.Slice && t.Elem().Kind() == reflect.Struct:
			walk(t.Elem(), prefix+"[]")
		default:
			keys = append(keys, prefix)
		}
	}
	walk(reflect.TypeFor[Config](), "")
	return keys
}

// didYouMean names the known key nearest to a mistyped one, if one is near.
func didYouMean(key string) string {
	want := dotted(key)
	best, bestDistance := "", 4
	for _, k := range Keys() {
		if d := distance(want, k); d < bestDistance {
			best, bestDistance = k, d
		}
	}
	if best == "" {
		return " (gnomon config print --defaults shows all keys)"
	}
	return fmt.Sprintf("; did you mean %q?", best)
}

// distance is Levenshtein's, for strings as short as keys.
func distance(a, b string) int {
	prev := make([]int, len(b)+1)
	for j := range prev {
		prev[j] = j
	}
	for i := range len(a) {
		row := make([]int, len(b)+1)
		row[0] = i + 1
		for j := range len(b) {
			cost := 1
			if a[i] == b[j] {
				cost = 0
			}
			row[j+1] = min(row[j]+1, prev[j+1]+1, prev[j]+cost)
		}
		prev = row
	}
	return prev[len(b)]
}
