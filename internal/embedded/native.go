package embedded

import (
	"encoding/binary"
	"errors"
	"fmt"
	"strconv"
	"strings"
)

// The library writes the Native format at revision 0; a client that says
// client_protocol_version reads blocks of that revision. They differ in two
// places: a block begins with its info, and from revisionCustomSerialization on
// a flag stands between a column's type and its data. So the columns' bytes are
// copied as they are; only their ends must be found, which needs their types.
const (
	revisionBlockInfo           = 1
	revisionCustomSerialization = 54454
)

// blockInfo is "not overflowed, no bucket": fields 1 and 2, then the end.
var blockInfo = []byte{1, 0, 2, 0xff, 0xff, 0xff, 0xff, 0}

var errShort = errors.New("the engine's Native block ends early")

// cursor walks over bytes.
type cursor struct {
	b   []byte
	pos int
}

func (c *cursor) skip(n uint64) error {
	if n > uint64(len(c.b)-c.pos) {
		return errShort
	}
	c.pos += int(n)
	return nil
}

func (c *cursor) uvarint() (uint64, error) {
	v, n := binary.Uvarint(c.b[c.pos:])
	if n <= 0 {
		return 0, errShort
	}
	c.pos += n
	return v, nil
}

func (c *cursor) uint64() (uint64, error) {
	if len(c.b)-c.pos < 8 {
		return 0, errShort
	}
	v := binary.LittleEndian.Uint64(c.b[c.pos:])
	c.pos += 8
	return v, nil
}

func (c *cursor) string() (string, error) {
	n, err := c.uvarint()
	if err != nil {
		return "", err
	}
	at := c.pos
	if err := c.skip(n); err != nil {
		return "", err
	}
	return string(c.b[at:c.pos]), nil
}

// reviseNative appends the blocks in src, written at revision 0, to dst as a
// client of that revision expects them.
func reviseNative(dst, src []byte, revision int) ([]byte, error) {
	c := &cursor{b: src}
	for c.pos < len(src) {
		if revision >= revisionBlockInfo {
			dst = append(dst, blockInfo...)
		}
		at := c.pos
		columns, err := c.uvarint()
		if err != nil {
			return dst, err
		}
		rows, err := c.uvarint()
		if err != nil {
			return dst, err
		}
		dst = append(dst, src[at:c.pos]...)
		for range columns {
			if dst, err = c.column(dst, rows, revision); err != nil {
				return dst, err
			}
		}
	}
	return dst, nil
}

func (c *cursor) column(dst []byte, rows uint64, revision int) ([]byte, error) {
	at := c.pos
	name, err := c.string()
	if err != nil {
		return dst, err
	}
	typ, err := c.string()
	if err != nil {
		return dst, err
	}
	dst = append(dst, c.b[at:c.pos]...)
	if revision >= revisionCustomSerialization {
		dst = append(dst, 0)
	}
	if rows == 0 {
		return dst, nil
	}
	t, err := parseType(typ)
	if err != nil {
		return dst, raise(codeUnknownType, "column %q: %s; cast it in the query, or ask for another FORMAT. (UNKNOWN_TYPE)", name, err)
	}
	at = c.pos
	if err := t.prefix(c); err != nil {
		return dst, err
	}
	if err := t.data(c, rows); err != nil {
		return dst, err
	}
	return append(dst, c.b[at:c.pos]...), nil
}

// columnType knows how many bytes a column of it takes.
type columnType struct {
	kind  byte   // 'f'ixed, 's'tring, 'n'ullable, 'a'rray, 't'uple, 'l'ow cardinality
	size  uint64 // of fixed
	inner []columnType
}

var fixedSizes = map[string]uint64{
	"Bool": 1, "Int8": 1, "UInt8": 1, "Enum8": 1, "Nothing": 1, "Int16": 2, "UInt16": 2, "Enum16": 2, "Date": 2, "BFloat16": 2,
	"Int32": 4, "UInt32": 4, "Float32": 4, "Date32": 4, "DateTime": 4, "IPv4": 4, "Time": 4,
	"Int64": 8, "UInt64": 8, "Float64": 8, "DateTime64": 8, "Time64": 8,
	"Int128": 16, "UInt128": 16, "UUID": 16, "IPv6": 16, "Int256": 32, "UInt256": 32,
	"Decimal32": 4, "Decimal64": 8, "Decimal128": 16, "Decimal256": 32,
}

// geo types are tuples and arrays under another name.
var aliases = map[string]string{
	"Point": "Tuple(Float64, Float64)", "Ring": "Array(Point)", "LineString": "Array(Point)", "Polygon": "Array(Ring)",
	"MultiLineString": "Array(LineString)", "MultiPolygon": "Array(Polygon)",
}

// parseType reads a type's name as ClickHouse writes it.
func parseType(s string) (columnType, error) {
	s = strings.TrimSpace(s)
	name, args := s, ""
	if i := strings.IndexByte(s, '('); i >= 0 && strings.HasSuffix(s, ")") {
		name, args = s[:i], s[i+1:len(s)-1]
	}
	if a, ok := aliases[name]; ok {
		return parseType(a)
	}
	if n, ok := fixedSizes[name]; ok {
		return columnType{kind: 'f', size: n}, nil
	}
	parts := splitArgs(args)
	switch name {
	case "String":
		return columnType{kind: 's'}, nil
	case "FixedString":
		n, err := strconv.ParseUint(strings.TrimSpace(args), 10, 32)
		return columnType{kind: 'f', size: n}, err
	case "Decimal":
		return decimalType(parts[0])
	case "Nullable", "Array", "LowCardinality":
		in, err := parseType(args)
		return columnType{kind: name[0] | 0x20, inner: []columnType{in}}, err
	case "Map":
		in, err := tupleType(parts)
		return columnType{kind: 'a', inner: []columnType{in}}, err
	case "Tuple":
		return tupleType(parts)
	case "Nested":
		in, err := tupleType(parts)
		return columnType{kind: 'a', inner: []columnType{in}}, err
	case "SimpleAggregateFunction":
		return parseType(parts[len(parts)-1])
	}
	if strings.HasPrefix(name, "Interval") {
		return columnType{kind: 'f', size: 8}, nil
	}
	return columnType{}, fmt.Errorf("type %s is not carried in Native by the embedded engine's endpoint", s)
}

func decimalType(precision string) (columnType, error) {
	p, err := strconv.Atoi(strings.TrimSpace(precision))
	size := uint64(32)
	switch {
	case p <= 9:
		size = 4
	case p <= 18:
		size = 8
	case p <= 38:
		size = 16
	}
	return columnType{kind: 'f', size: size}, err
}

// tupleType reads a tuple's elements, each a type or a name and a type.
func tupleType(parts []string) (columnType, error) {
	t := columnType{kind: 't'}
	for _, p := range parts {
		in, err := parseType(p)
		if err != nil || !isTypeName(p) {
			in, err = parseType(afterName(p))
		}
		if err != nil {
			return t, err
		}
		t.inner = append(t.inner, in)
	}
	return t, nil
}

// isTypeName is false for "name Type".
func isTypeName(p string) bool { return afterName(p) == "" }

// afterName returns what follows an element's name, "" when there is no name.
func afterName(p string) string {
	p = strings.TrimSpace(p)
	l := &lexer{src: p}
	first := l.next()
	if !first.identifier() {
		return ""
	}
	rest := strings.TrimSpace(p[first.end:])
	if rest == "" || rest[0] == '(' {
		return ""
	}
	return rest
}

// splitArgs splits at commas outside of parentheses and quotes.
func splitArgs(s string) []string {
	var parts []string
	l := &lexer{src: s}
	depth, from := 0, 0
	for t := l.next(); t.kind != tokEnd; t = l.next() {
		switch {
		case t.punct("("):
			depth++
		case t.punct(")"):
			depth--
		case t.punct(",") && depth == 0:
			parts = append(parts, s[from:t.start])
			from = t.end
		}
	}
	return append(parts, s[from:])
}

// prefix skips what a column writes before its data, depth first.
func (t columnType) prefix(c *cursor) error {
	if t.kind == 'l' {
		return c.skip(8) // version of the dictionary's serialization
	}
	for _, in := range t.inner {
		if err := in.prefix(c); err != nil {
			return err
		}
	}
	return nil
}

// data skips rows values.
func (t columnType) data(c *cursor, rows uint64) error {
	switch t.kind {
	case 'f':
		if t.size != 0 && rows > uint64(len(c.b))/t.size {
			return errShort
		}
		return c.skip(rows * t.size)
	case 's':
		for range rows {
			n, err := c.uvarint()
			if err != nil {
				return err
			}
			if err := c.skip(n); err != nil {
				return err
			}
		}
		return nil
	case 'n':
		if err := c.skip(rows); err != nil {
			return err
		}
		return t.inner[0].data(c, rows)
	case 'a':
		return t.array(c, rows)
	case 'l':
		return t.lowCardinality(c, rows)
	}
	for _, in := range t.inner {
		if err := in.data(c, rows); err != nil {
			return err
		}
	}
	return nil
}

// array skips end offsets, the last of which is the number of elements.
func (t columnType) array(c *cursor, rows uint64) error {
	if rows == 0 {
		return nil
	}
	if rows > uint64(len(c.b))/8 {
		return errShort
	}
	if err := c.skip((rows - 1) * 8); err != nil {
		return err
	}
	n, err := c.uint64()
	if err != nil {
		return err
	}
	return t.inner[0].data(c, n)
}

// lowCardinality skips flags and index width, the dictionary, and the indexes.
func (t columnType) lowCardinality(c *cursor, rows uint64) error {
	if rows == 0 {
		return nil
	}
	flags, err := c.uint64()
	if err != nil {
		return err
	}
	keys, err := c.uint64()
	if err != nil {
		return err
	}
	dictionary := t.inner[0]
	if dictionary.kind == 'n' { // null is a key of its own, not a map of nulls
		dictionary = dictionary.inner[0]
	}
	if err := dictionary.data(c, keys); err != nil {
		return err
	}
	n, err := c.uint64()
	if err != nil {
		return err
	}
	width := uint64(1) << (flags & 0xf)
	if n != rows || width > 8 || n > uint64(len(c.b))/width {
		return fmt.Errorf("the engine's Native block has %d indexes of %d bytes for %d rows", n, width, rows)
	}
	return c.skip(n * width)
}
