package embedded

import (
	"bytes"
	"encoding/binary"
	"testing"

	"github.com/ClickHouse/ch-go/proto"
	"pgregory.net/rapid"
)

func TestTypesAreReadAsClickHouseWritesThem(t *testing.T) {
	for name, want := range map[string]columnType{
		"UInt8":                                {kind: 'f', size: 1},
		"Decimal(18, 9)":                       {kind: 'f', size: 8},
		"Decimal(38, 9)":                       {kind: 'f', size: 16},
		"Decimal(9, 2)":                        {kind: 'f', size: 4},
		"Decimal(76, 2)":                       {kind: 'f', size: 32},
		"DateTime64(3, 'UTC')":                 {kind: 'f', size: 8},
		"FixedString(7)":                       {kind: 'f', size: 7},
		"IntervalDay":                          {kind: 'f', size: 8},
		"Enum8('a(' = 1, 'b,)' = 2)":           {kind: 'f', size: 1},
		"Nullable(String)":                     {kind: 'n', inner: []columnType{{kind: 's'}}},
		"LowCardinality(Nullable(String))":     {kind: 'l', inner: []columnType{{kind: 'n', inner: []columnType{{kind: 's'}}}}},
		"SimpleAggregateFunction(sum, UInt64)": {kind: 'f', size: 8},
		"Tuple(Date Date, `x y` Array(UInt16), String)": {kind: 't', inner: []columnType{{kind: 'f', size: 2}, {kind: 'a', inner: []columnType{{kind: 'f', size: 2}}}, {kind: 's'}}},
		"Point": {kind: 't', inner: []columnType{{kind: 'f', size: 8}, {kind: 'f', size: 8}}},
	} {
		if got, err := parseType(name); err != nil || !equalTypes(got, want) {
			t.Errorf("%s: %+v, %v", name, got, err)
		}
	}
	for _, name := range []string{"AggregateFunction(sum, UInt64)", "Dynamic", "JSON", "Variant(String, UInt8)", "", "Array()", "Decimal(x, 1)", "FixedString(x)", "Nullable("} {
		if got, err := parseType(name); err == nil {
			t.Errorf("%q was read as %+v", name, got)
		}
	}
}

func equalTypes(a, b columnType) bool {
	if a.kind != b.kind || a.size != b.size || len(a.inner) != len(b.inner) {
		return false
	}
	for i := range a.inner {
		if !equalTypes(a.inner[i], b.inner[i]) {
			return false
		}
	}
	return true
}

func TestABlockIsRevisedForItsReader(t *testing.T) {
	n, s := proto.ColUInt64{1, 2, 3}, new(proto.ColStr)
	for _, v := range []string{"a", "", "ccc"} {
		s.Append(v)
	}
	input := proto.Input{{Name: "n", Data: n}, {Name: "s", Data: proto.NewArray(proto.NewLowCardinality(new(proto.ColStr)))}, {Name: "t", Data: s}}
	lists := input[1].Data.(*proto.ColArr[string])
	for _, v := range [][]string{{"x", "y"}, {}, {"x"}} {
		lists.Append(v)
	}
	for _, revision := range []int{0, 54405, 54460} {
		var src, want proto.Buffer
		block := proto.Block{Columns: 3, Rows: 3, Info: proto.BlockInfo{BucketNum: -1}}
		if err := block.EncodeRawBlock(&src, 0, input); err != nil {
			t.Fatal(err)
		}
		if revision > 0 {
			block.Info.Encode(&want)
		}
		if err := block.EncodeRawBlock(&want, revision, input); err != nil {
			t.Fatal(err)
		}
		got, err := reviseNative(nil, src.Buf, revision)
		if err != nil || revision > 0 && !bytes.Equal(got, want.Buf) || revision == 0 && !bytes.Equal(got, src.Buf) {
			t.Errorf("revision %d: %q, not %q (%v)", revision, got, want.Buf, err)
		}
		for cut := 1; cut < len(src.Buf); cut++ {
			if _, err := reviseNative(nil, src.Buf[:cut], revision); err == nil {
				t.Fatalf("a block cut at %d was taken", cut)
			}
		}
	}
}

func TestNoBytesMakeTheReviserPanicOrGrow(t *testing.T) {
	types := []string{"UInt64", "String", "Array(Array(String))", "LowCardinality(String)", "Nullable(UInt8)", "Map(String, UInt8)", "Tuple(a UInt8, b String)", "FixedString(0)"}
	rapid.Check(t, func(t *rapid.T) {
		src := binary.AppendUvarint(nil, 1)
		src = binary.AppendUvarint(src, rapid.Uint64Range(0, 1<<40).Draw(t, "rows"))
		typ := rapid.SampledFrom(types).Draw(t, "type")
		src = append(append(append(src, 1, 'c'), byte(len(typ))), typ...)
		src = append(src, rapid.SliceOfN(rapid.Byte(), 0, 200).Draw(t, "data")...)
		out, err := reviseNative(nil, src, 54460)
		if err == nil && len(out) > 20*len(src)+20 {
			t.Fatalf("%d bytes became %d", len(src), len(out))
		}
	})
}
