package main

import (
	"io"
	"net"
	"net/http"
	"net/http/httputil"
	"net/url"
	"time"

	"github.com/gin-gonic/gin"
)

// serveFloor is one of the two floors: what the framework and the standard
// library do by themselves, recording nothing.
func serveFloor(kind string) error {
	addr := flagAddr()
	target, err := url.Parse(upstream())
	if err != nil {
		return err
	}
	transport := &http.Transport{MaxIdleConns: 0, MaxIdleConnsPerHost: 4096, DisableCompression: true, IdleConnTimeout: time.Minute}
	var h http.Handler
	if kind == "reverse" {
		h = &httputil.ReverseProxy{Transport: transport, FlushInterval: -1, Rewrite: func(r *httputil.ProxyRequest) { r.SetURL(target) }}
	} else {
		gin.SetMode(gin.ReleaseMode)
		e := gin.New()
		e.Any("/*path", func(c *gin.Context) { pass(c, transport, target) })
		h = e
	}
	ln, err := net.Listen("tcp", addr)
	if err != nil {
		return err
	}
	return (&http.Server{Handler: h}).Serve(ln) //nolint:gosec // loopback, for as long as a measurement
}

// pass is the least that a gin handler has to do to be a proxy.
func pass(c *gin.Context, transport *http.Transport, target *url.URL) {
	u := *c.Request.URL
	u.Scheme, u.Host = target.Scheme, target.Host
	out := (&http.Request{Method: c.Request.Method, URL: &u, Header: c.Request.Header, Body: c.Request.Body, ContentLength: c.Request.ContentLength}).WithContext(c.Request.Context())
	resp, err := transport.RoundTrip(out)
	if err != nil {
		c.Status(http.StatusBadGateway)
		return
	}
	defer resp.Body.Close()
	h := c.Writer.Header()
	for name, values := range resp.Header {
		h[name] = values
	}
	c.Writer.WriteHeader(resp.StatusCode)
	if resp.ContentLength >= 0 {
		_, _ = io.Copy(c.Writer, resp.Body)
		return
	}
	buf := make([]byte, 4096)
	for {
		n, err := resp.Body.Read(buf)
		if n > 0 {
			if _, werr := c.Writer.Write(buf[:n]); werr != nil {
				return
			}
			c.Writer.Flush()
		}
		if err != nil {
			return
		}
	}
}
