package main

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"strconv"
	"strings"
	"time"
)

// conn is one client's connection. It writes requests that were made ahead and
// reads answers with as little work as it can: what the load costs is taken
// from the same processor that the stand-in answers on.
type conn struct {
	net.Conn
	r *bufio.Reader
}

func dial(addr string) (*conn, error) {
	c, err := net.DialTimeout("tcp", addr, 10*time.Second)
	if err != nil {
		return nil, err
	}
	return &conn{c, bufio.NewReaderSize(c, 16<<10)}, nil
}

// request is what an SDK would send.
type request struct {
	path   string
	size   int    // of the body, about
	shape  string // asks for a stream
	stream bool
}

// bytes makes the request for a target. session tells clients apart.
func (q request) bytes(t *target, session string) []byte {
	prompt := strings.Repeat("Where is my parcel? ", max(1, (q.size-210)/20))
	body := `{"model":"gpt-4o",`
	if q.stream {
		body += `"stream":true,"stream_options":{"include_usage":true},`
	}
	body += `"temperature":0.2,"messages":[{"role":"system","content":"You answer customers of a parcel service, kindly and in two sentences."},{"role":"user","content":"` + prompt + `"}]}`
	head := "POST " + q.path + " HTTP/1.1\r\nHost: " + t.addr + "\r\n" +
		"Authorization: Bearer sk-standin-0123456789abcdefghijklmnop\r\nContent-Type: application/json\r\nAccept: application/json\r\nUser-Agent: OpenAI/Python 2.8.0\r\n" +
		"X-Stainless-Lang: python\r\nX-Stainless-Package-Version: 2.8.0\r\nX-Stainless-OS: Linux\r\nX-Stainless-Arch: x64\r\nX-Stainless-Runtime: CPython\r\nX-Stainless-Runtime-Version: 3.12.3\r\n" +
		"X-Stainless-Retry-Count: 0\r\nX-Gnomon-Feature: bench\r\nX-Gnomon-Session: " + session + "\r\n" + t.headers
	if q.shape != "" {
		head += shapeHeader + ": " + q.shape + "\r\n"
	}
	return []byte(head + "Content-Length: " + strconv.Itoa(len(body)) + "\r\n\r\n" + body)
}

// exchange sends a request and reads the answer. event, when not nil, is told
// how long each stream event was under way.
func (c *conn) exchange(req []byte, event func(time.Duration)) error {
	if _, err := c.Write(req); err != nil {
		return err
	}
	length, chunked, err := c.head()
	if err != nil {
		return err
	}
	if !chunked {
		_, err = io.CopyN(io.Discard, c.r, length)
		return err
	}
	for {
		line, err := c.r.ReadSlice('\n')
		if err != nil {
			return err
		}
		size, err := strconv.ParseUint(string(bytes.TrimSpace(line)), 16, 32)
		if err != nil {
			return fmt.Errorf("chunk size: %w", err)
		}
		if err := c.chunk(int(size), event); err != nil {
			return err
		}
		if size == 0 {
			return nil
		}
	}
}

// head reads status and headers.
func (c *conn) head() (length int64, chunked bool, err error) {
	line, err := c.r.ReadSlice('\n')
	if err != nil {
		return 0, false, err
	}
	if !bytes.HasPrefix(line, []byte("HTTP/1.1 200")) {
		return 0, false, fmt.Errorf("answered %q", bytes.TrimSpace(line))
	}
	length = -1
	for {
		line, err := c.r.ReadSlice('\n')
		if err != nil {
			return 0, false, err
		}
		if len(line) <= 2 {
			break
		}
		name, value, _ := bytes.Cut(line, []byte(":"))
		switch {
		case bytes.EqualFold(name, []byte("Content-Length")):
			if length, err = strconv.ParseInt(string(bytes.TrimSpace(value)), 10, 64); err != nil {
				return 0, false, err
			}
		case bytes.EqualFold(name, []byte("Transfer-Encoding")):
			chunked = true
		}
	}
	if length < 0 && !chunked {
		return 0, false, errors.New("an answer without a length")
	}
	return length, chunked, nil
}

// chunk reads one chunk and its line end.
func (c *conn) chunk(size int, event func(time.Duration)) error {
	for size > 0 {
		n := min(size, 4096)
		piece, err := c.r.Peek(n)
		if err != nil {
			return err
		}
		if event != nil {
			now := time.Now().UnixNano()
			for _, line := range bytes.Split(piece, []byte("\n")) {
				if i := bytes.LastIndex(line, []byte(`"t":`)); i >= 0 {
					if at, err := strconv.ParseInt(string(bytes.TrimRight(line[i+4:], "}\n")), 10, 64); err == nil {
						event(time.Duration(now - at))
					}
				}
			}
		}
		_, _ = c.r.Discard(n)
		size -= n
	}
	_, err := c.r.Discard(2)
	return err
}
