package embedded

import (
	"errors"
	"fmt"
	"net/http"
	"regexp"
	"strconv"
	"strings"
)

// Codes of ClickHouse's exceptions that this endpoint raises or knows.
const (
	codeBadArguments       = 36
	codeNotImplemented     = 48
	codeSessionNotFound    = 372
	codeUnknownType        = 50
	codeSyntaxError        = 62
	codeUnknownFormat      = 73
	codeUnknownCompression = 89
	codeNoDataToInsert     = 108
	codeUnknownSetting     = 115
	codeIncorrectData      = 117
	codeReadonly           = 164
	codeTooManyQueries     = 202
	codeQueryTooLarge      = 229
	codeCannotDecompress   = 271
	codeCannotWriteFile    = 294
	codeCancelled          = 394
	codeAuthentication     = 516
	codeStdException       = 1001
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

// statuses are the HTTP statuses that ClickHouse gives to exception codes; what
// is in none of them is 500. Ours are 202 (waiting helps) and the last row (the
// fault is the body's): in ClickHouse they are 500 too.
var statuses = statusTable(map[int][]int{
	http.StatusUnauthorized:          {194},
	http.StatusForbidden:             {192, 193, 497, 512, 516},
	http.StatusBadRequest:            {6, 8, 15, 25, 26, 27, 36, 37, 38, 41, 44, 53, 62, 72, 117, 123, 167, 168, 223, 321, 376, 427, 441, 675, 676},
	http.StatusNotFound:              {46, 47, 50, 56, 60, 63, 73, 78, 81, 115, 152, 336, 511},
	http.StatusRequestEntityTooLarge: {codeQueryTooLarge},
	http.StatusNotImplemented:        {codeNotImplemented},
	http.StatusServiceUnavailable:    {76, 209, 439, codeTooManyQueries},
	http.StatusLengthRequired:        {381},
	http.StatusRequestTimeout:        {159},
	http.StatusUnsupportedMediaType:  {codeUnknownCompression, codeCannotDecompress},
})

func statusTable(rows map[int][]int) map[int]int {
	m := map[int]int{}
	for status, codes := range rows {
		for _, code := range codes {
			m[code] = status
		}
	}
	return m
}

func (e *exception) status() int {
	if s, ok := statuses[e.code]; ok {
		return s
	}
	return http.StatusInternalServerError
}
