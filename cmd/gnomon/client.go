package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"syscall"
	"time"

	"github.com/gnomon-llm/gnomon/internal/config"
)

// client asks a running gnomon over its API.
type client struct {
	base, token, project string
	http                 http.Client
}

func (a *app) client() (*client, error) {
	c, err := a.load(config.Options{Asks: true})
	if err != nil {
		return nil, fmt.Errorf("%w\n  to ask the running gnomon all the same, without that file: --config /dev/null, and --set admin.addr=HOST:PORT where it is not at %s", err, config.Default().Admin.Addr)
	}
	return newClient(c), nil
}

// newClient asks about the project that was named. Without one the gnomon that is
// asked takes its own: a person beside a demo or a colleague's server should not
// have to know how it was started.
func newClient(c *config.Config) *client {
	project := c.Project
	if project == config.Default().Project {
		project = ""
	}
	return &client{base: "http://" + dialable(c.Admin.Addr), token: c.Admin.Token, project: project, http: http.Client{Timeout: 2 * time.Minute}}
}

// dialable turns a listening address into one that can be called: ":8081" and
// "0.0.0.0:8081" listen everywhere, and are called on loopback.
func dialable(addr string) string {
	host, port, err := net.SplitHostPort(addr)
	if err != nil {
		return addr
	}
	if ip := net.ParseIP(host); host == "" || (ip != nil && ip.IsUnspecified()) {
		host = "127.0.0.1"
	}
	return net.JoinHostPort(host, port)
}

// apiError is the API's own refusal.
type apiError struct {
	Status int `json:"-"`
	Err    struct {
		Code    string `json:"code"`
		Message string `json:"message"`
		Hint    string `json:"hint"`
	} `json:"error"`
}

func (e *apiError) Error() string {
	if e.Err.Hint == "" {
		return e.Err.Message
	}
	return e.Err.Message + "\n  " + e.Err.Hint
}

// path escapes a name that may hold slashes.
func (c *client) workloadPath(workload, action string) string {
	p := "/workloads/" + url.PathEscape(workload)
	if action != "" {
		p += "/" + action
	}
	return p
}

func (c *client) get(ctx context.Context, path string, into any) error {
	return c.do(ctx, http.MethodGet, path, nil, into)
}

func (c *client) post(ctx context.Context, path string, body, into any) error {
	raw, err := json.Marshal(body)
	if err != nil {
		return err
	}
	return c.do(ctx, http.MethodPost, path, raw, into)
}

func (c *client) do(ctx context.Context, method, path string, body []byte, into any) error {
	u := c.base + "/api/v1" + path
	if c.project != "" {
		sign := "?"
		if strings.Contains(path, "?") {
			sign = "&"
		}
		u += sign + "project=" + url.QueryEscape(c.project)
	}
	req, err := http.NewRequestWithContext(ctx, method, u, bytes.NewReader(body))
	if err != nil {
		return err
	}
	if body != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	if c.token != "" {
		req.Header.Set("Authorization", "Bearer "+c.token)
	}
	resp, err := c.http.Do(req)
	if err != nil {
		if errors.Is(err, syscall.ECONNREFUSED) {
			return fmt.Errorf("no gnomon answers at %s\n  start it with gnomon serve (or gnomon demo), or set admin.addr to where it runs", c.base)
		}
		return err
	}
	defer resp.Body.Close()
	raw, err := io.ReadAll(resp.Body)
	if err != nil {
		return fmt.Errorf("answer of %s broke off: %w", c.base, err)
	}
	if resp.StatusCode >= 400 {
		e := &apiError{Status: resp.StatusCode}
		if json.Unmarshal(raw, e) != nil || e.Err.Message == "" {
			return fmt.Errorf("%s answered %s", c.base, resp.Status)
		}
		return e
	}
	if into == nil {
		return nil
	}
	if r, ok := into.(*json.RawMessage); ok {
		*r = raw
		return nil
	}
	if err := json.Unmarshal(raw, into); err != nil {
		return fmt.Errorf("answer of %s could not be read (another version of gnomon?): %w", c.base, err)
	}
	return nil
}
