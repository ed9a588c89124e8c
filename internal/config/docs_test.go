package config

import (
	"flag"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"
)

var update = flag.Bool("update", false, "write the table of keys into docs/operators.md")

// comments reads the comment beside each field of config.go, by struct and field.
func comments(t *testing.T) map[string]string {
	t.Helper()
	file, err := parser.ParseFile(token.NewFileSet(), "config.go", nil, parser.ParseComments)
	if err != nil {
		t.Fatal(err)
	}
	found := map[string]string{}
	ast.Inspect(file, func(n ast.Node) bool {
		spec, ok := n.(*ast.TypeSpec)
		if !ok {
			return true
		}
		if s, ok := spec.Type.(*ast.StructType); ok {
			for _, f := range s.Fields.List {
				found[spec.Name.Name+"."+f.Names[0].Name] = strings.TrimSpace(f.Comment.Text())
			}
		}
		return false
	})
	return found
}

// table is the reference of all keys as Markdown.
func table(t *testing.T) string {
	words := comments(t)
	var b strings.Builder
	b.WriteString("| key | default | |\n|---|---|---|\n")
	var walk func(ty reflect.Type, def reflect.Value, prefix string)
	walk = func(ty reflect.Type, def reflect.Value, prefix string) {
		for i := range ty.NumField() {
			f := ty.Field(i)
			key := strings.TrimPrefix(prefix+"."+f.Tag.Get("koanf"), ".")
			var value reflect.Value
			if def.IsValid() {
				value = def.Field(i)
			}
			switch {
			case f.Type.Kind() == reflect.Struct:
				walk(f.Type, value, key)
			case f.Type.Kind() == reflect.Map:
				walk(f.Type.Elem(), reflect.Value{}, key+".<name>")
			case f.Type.Kind() == reflect.Slice && f.Type.Elem().Kind() == reflect.Struct:
				walk(f.Type.Elem(), reflect.Value{}, key+"[]")
			default:
				word := words[ty.Name()+"."+f.Name]
				if word == "" {
					t.Errorf("%s.%s has no comment", ty.Name(), f.Name)
				}
				fmt.Fprintf(&b, "| `%s` | %s | %s |\n", key, shown(key, value), word)
			}
		}
	}
	walk(reflect.TypeFor[Config](), reflect.ValueOf(Default()), "")
	return b.String()
}

func shown(key string, v reflect.Value) string {
	switch {
	case key == "data_dir":
		return "`~/.local/share/gnomon`"
	case !v.IsValid() || v.IsZero():
		return ""
	}
	if d, ok := v.Interface().(time.Duration); ok {
		return "`" + d.String() + "`"
	}
	return fmt.Sprintf("`%v`", v.Interface())
}

func TestEveryKeyIsDocumented(t *testing.T) {
	path := filepath.Join("..", "..", "docs", "operators.md")
	raw, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	before, rest, ok := strings.Cut(string(raw), "<!-- keys -->\n")
	_, after, ok2 := strings.Cut(rest, "<!-- /keys -->")
	if !ok || !ok2 {
		t.Fatal("docs/operators.md has no place for the table of keys")
	}
	want := before + "<!-- keys -->\n" + table(t) + "<!-- /keys -->" + after
	if *update {
		if err := os.WriteFile(path, []byte(want), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	if want != string(raw) {
		t.Error("docs/operators.md does not list the keys as they are: go test ./internal/config -update")
	}
}
