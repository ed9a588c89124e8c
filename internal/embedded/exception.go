package embedded

import (
	"errors"
	"fmt"
	"net/http"
	"regexp"
	"strconv"
	"strings"
)

// Codes of ClickHouse's exceptions that this endpoint itself raises.
const (
	codeUnknownFormat      = 73
	codeBadArguments       = 36
	codeNotImplemented     = 48
	codeUnknownType        = 50
	codeSyntaxError        = 62
	codeUnknownSetting     = 115
	codeNoDataToInsert     = 108
	codeReadonly           = 164
	codeQueryTooLarge      = 167
	codeTooManyQueries     = 202
	codeCannotDecompress   = 271
	codeCancelled          = 394
	codeAuthentication     = 516
	codeNoFreeConnection   = 203
	codeStdException       = 1001
	codeIncorrectData      = 117
	codeSessionNotFound    = 372
	codeUnknownUserOrHost  = 195
	codeCannotWriteToDisk  = 243
	codeUnsupportedMethod  = 1
	codeUnknownCompression = 89
)

// exception is an error in ClickHouse's words: a number that clients branch on,
// and the text, which begins "Code: N. DB::Exception: ".
type exception struct {
	code int
	text string
}

func (e *exception) Error() string { return e.text }

// raise makes an exception of this endpoint's own, worded like the engine's.
func raise(code int, format string, args ...any) *exception {
	return &exception{code, fmt.Sprintf("Code: %d. DB::Exception: ", code) + fmt.Sprintf(format, args...)}
}

var (
	codePrefix = regexp.MustCompile(`^Code: (\d+)\. DB::[A-Za-z]*Exception: `)
	nestedText = regexp.MustCompile(`^(Code: \d+\. DB::[A-Za-z]*Exception: )(Code: \d+\. DB::[A-Za-z]*Exception: .*) \(version [^)]*\)\. \([A-Z0-9_]+\)$`)
)

// parseException reads what the library says. It wraps some errors in a second
// exception with the same code, which is taken off.
func parseException(text string) *exception {
	text = strings.TrimSpace(strings.TrimPrefix(text, "Error: "))
	if m := nestedText.FindStringSubmatch(text); m != nil && strings.HasPrefix(m[2], m[1]) {
		text = m[2]
	}
	m := codePrefix.FindStringSubmatch(text)
	if m == nil {
		return raise(codeStdException, "%s", text)
	}
	code, err := strconv.Atoi(m[1])
	if err != nil {
		code = codeStdException
	}
	return &exception{code, text}
}

// asException turns any error into an exception.
func asException(err error) *exception {
	var e *exception
	if errors.As(err, &e) {
		return e
	}
	return raise(codeStdException, "%s", err)
}

// statuses are ClickHouse's own HTTP statuses of exception codes; what is not
// here is 500.
var statuses = map[int]int{
	// What the client wrote cannot be read.
	26: 400, 27: 400, 33: 400, 36: 400, 38: 400, 41: 400, 42: 400, 43: 400, 44: 400, 46: 404, 50: 404, 53: 400, 57: 400, 62: 400,
	69: 400, 70: 400, 72: 400, 73: 404, 82: 400, 107: 404, 115: 404, 117: 400, 130: 400, 131: 400, 168: 400, 321: 400, 441: 400, 456: 400, 457: 400,
	// What it names is not there.
	16: 404, 47: 404, 60: 404, 81: 404,
	// It may not.
	164: 500, 192: 404, 193: 403, 194: 401, 195: 403, 291: 403, 492: 404, 497: 403, 516: 403,
	// Other.
	48: 501, 159: 408, 202: 503, 203: 503, 241: 500, 242: 500, 271: 400, 372: 404, 373: 423, 394: 500, 89: 400,
}

func (e *exception) status() int {
	if s, ok := statuses[e.code]; ok {
		return s
	}
	return http.StatusInternalServerError
}
