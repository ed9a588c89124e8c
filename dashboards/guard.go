package dashboards

import (
	"crypto/hmac"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/hex"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"
)

const (
	cookieName = "gnomon_console"
	cookieLife = 12 * time.Hour

	contentSecurityPolicy = "default-src 'self'; script-src 'self'; style-src 'self'; img-src 'self'; font-src 'self'; connect-src 'self'; " +
		"object-src 'none'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'"
)

// guard is the admin plane's only door. Probes and metrics are exempt: they say
// nothing of any request, and whoever scrapes them names the host as it likes.
func (s *server) guard(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		secure(w.Header())
		switch r.URL.Path {
		case "/metrics", "/healthz", "/readyz":
			next.ServeHTTP(w, r)
			return
		}
		if !s.hostAllowed(r.Host) {
			s.refuse(w, r, &Error{Code: "foreign_host",
				Message: "This console does not answer to the host " + strconv.Quote(r.Host) + ".",
				Hint:    "Use its IP address or localhost, or add the name to admin.hosts."}, http.StatusForbidden)
			return
		}
		if why := foreign(r); why != "" {
			s.refuse(w, r, &Error{Code: "foreign_origin",
				Message: "This request was made by another site: " + why + ".",
				Hint:    "Open the console itself and do it there. A program sends JSON with the header content-type: application/json."}, http.StatusForbidden)
			return
		}
		if !s.allowedIn(r) {
			s.unauthorized(w, r)
			return
		}
		next.ServeHTTP(w, r)
	})
}

func secure(h http.Header) {
	h.Set("Content-Security-Policy", contentSecurityPolicy)
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("X-Frame-Options", "DENY")
	h.Set("Referrer-Policy", "same-origin")
	h.Set("Cross-Origin-Opener-Policy", "same-origin")
	h.Set("Cross-Origin-Resource-Policy", "same-origin")
	h.Set("Permissions-Policy", "camera=(), geolocation=(), microphone=(), payment=(), usb=()")
	h.Set("Cache-Control", "no-store")
}

// hostAllowed keeps DNS rebinding out: a name that an attacker points at this
// address is neither an IP literal, nor localhost, nor configured.
func (s *server) hostAllowed(host string) bool {
	name := host
	if h, _, err := net.SplitHostPort(host); err == nil {
		name = h
	}
	name = strings.Trim(name, "[]")
	if _, err := netip.ParseAddr(name); err == nil {
		return true
	}
	if strings.EqualFold(name, "localhost") {
		return true
	}
	return slices.ContainsFunc(s.Hosts, func(a string) bool { return strings.EqualFold(a, name) || strings.EqualFold(a, host) })
}

// foreign says why a request comes from another site, or "".
func foreign(r *http.Request) string {
	if o := r.Header.Get("Origin"); o != "" {
		u, err := url.Parse(o)
		if err != nil || u.Host == "" || !strings.EqualFold(u.Host, r.Host) {
			return "origin " + strconv.Quote(o)
		}
	}
	safe := r.Method == http.MethodGet || r.Method == http.MethodHead
	switch site := r.Header.Get("Sec-Fetch-Site"); site {
	case "", "same-origin", "none":
	default:
		// A link from a wiki is welcome; a script, image or form of another site is not.
		if !safe || r.Header.Get("Sec-Fetch-Mode") != "navigate" {
			return "Sec-Fetch-Site " + site
		}
	}
	if !safe && isForm(r) && r.Header.Get("Origin") == "" && r.Header.Get("Sec-Fetch-Site") == "" {
		return "a form without an Origin"
	}
	return ""
}

func isForm(r *http.Request) bool {
	return !strings.HasPrefix(r.Header.Get("Content-Type"), "application/json")
}

func (s *server) allowedIn(r *http.Request) bool {
	if s.Token == "" || r.URL.Path == "/login" || strings.HasPrefix(r.URL.Path, "/assets/") {
		return true
	}
	if bearer, ok := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer "); ok {
		return equal(bearer, s.Token)
	}
	c, err := r.Cookie(cookieName)
	return err == nil && s.validCookie(c.Value)
}

func equal(a, b string) bool {
	x, y := sha256.Sum256([]byte(a)), sha256.Sum256([]byte(b))
	return subtle.ConstantTimeCompare(x[:], y[:]) == 1
}

// sign makes a cookie's value: its end, and a keyed hash of it. The token
// itself never travels in a cookie.
func (s *server) sign(until int64) string {
	m := hmac.New(sha256.New, []byte(s.Token))
	m.Write([]byte("gnomon console session until " + strconv.FormatInt(until, 10)))
	return strconv.FormatInt(until, 10) + "." + hex.EncodeToString(m.Sum(nil))
}

func (s *server) validCookie(v string) bool {
	end, _, _ := strings.Cut(v, ".")
	until, err := strconv.ParseInt(end, 10, 64)
	return err == nil && s.Now().Unix() < until && hmac.Equal([]byte(v), []byte(s.sign(until)))
}

func (s *server) login(w http.ResponseWriter, r *http.Request) {
	r.Body = http.MaxBytesReader(w, r.Body, 4096)
	next := localPath(r.PostFormValue("next"))
	if !equal(strings.TrimSpace(r.PostFormValue("token")), s.Token) || s.Token == "" {
		s.renderLogin(w, http.StatusUnauthorized, next, "That is not the token in admin.token_file.")
		return
	}
	until := s.Now().Add(cookieLife)
	http.SetCookie(w, &http.Cookie{Name: cookieName, Value: s.sign(until.Unix()), Path: "/", MaxAge: int(cookieLife.Seconds()),
		HttpOnly: true, SameSite: http.SameSiteStrictMode, Secure: r.TLS != nil})
	http.Redirect(w, r, next, http.StatusSeeOther)
}

func (s *server) logout(w http.ResponseWriter, r *http.Request) {
	http.SetCookie(w, &http.Cookie{Name: cookieName, Path: "/", MaxAge: -1, HttpOnly: true, SameSite: http.SameSiteStrictMode})
	http.Redirect(w, r, "/login", http.StatusSeeOther)
}

// localPath keeps a redirect on this host.
func localPath(p string) string {
	if !strings.HasPrefix(p, "/") || strings.HasPrefix(p, "//") || strings.ContainsAny(p, "\\\r\n\t") {
		return "/"
	}
	return p
}

func (s *server) unauthorized(w http.ResponseWriter, r *http.Request) {
	if wantsPage(r) {
		http.Redirect(w, r, "/login?next="+url.QueryEscape(r.URL.RequestURI()), http.StatusSeeOther)
		return
	}
	w.Header().Set("WWW-Authenticate", `Bearer realm="gnomon"`)
	s.refuse(w, r, &Error{Code: "unauthorized", Message: "This needs the admin token.",
		Hint: "Send it as Authorization: Bearer <token>; it is in the file named by admin.token_file."}, http.StatusUnauthorized)
}

// wantsPage tells a person's navigation from a program's call.
func wantsPage(r *http.Request) bool {
	return r.Method == http.MethodGet && !strings.HasPrefix(r.URL.Path, "/api/") && r.Header.Get("HX-Request") == ""
}

// refuse answers before any page is reached: JSON for programs, a line for people.
func (s *server) refuse(w http.ResponseWriter, r *http.Request, e *Error, status int) {
	s.Log.Warn("console refused a request", "code", e.Code, "method", r.Method, "path", r.URL.Path, "status", status)
	if strings.HasPrefix(r.URL.Path, "/api/") {
		writeJSON(w, status, apiError{errorBody{e.Code, e.Message, e.Hint}})
		return
	}
	text(w, status, e.Message+"\n"+e.Hint+"\n")
}
