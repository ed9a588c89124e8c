package dashboards

import (
	"context"
	"encoding/hex"
	"net/http"
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/gnomon-llm/gnomon/schemas"
)

// Keys makes, lists and revokes gnomon's own keys. The key itself is made where
// it is asked for; only its SHA-256 comes here.
type Keys interface {
	// List returns the accepted version of each key of a project, revoked ones too.
	List(project string) []schemas.Key
	// Create returns once the key is accepted.
	Create(ctx context.Context, k schemas.Key) (schemas.Key, error)
	// Revoke returns once the key is revoked; NotFound when there is none.
	Revoke(ctx context.Context, project, id, actor, reason string) (schemas.Key, error)
}

// keyBody is what POST /keys takes.
type keyBody struct {
	ID                string    `json:"id"`
	SHA256            string    `json:"sha256"`
	Name              string    `json:"name"`
	Feature           string    `json:"feature"`
	Team              string    `json:"team"`
	Providers         []string  `json:"providers"`
	RequestsPerMinute uint32    `json:"requests_per_minute"`
	InFlight          uint32    `json:"in_flight"`
	Expires           time.Time `json:"expires"`
	Reason            string    `json:"reason"`
	Actor             string    `json:"actor"`
}

// keyAnswer is a key as the API shows it: what it is for, not what it hashes to.
type keyAnswer struct {
	ID                string     `json:"id"`
	Name              string     `json:"name"`
	Version           uint32     `json:"version"`
	Feature           string     `json:"feature"`
	Team              string     `json:"team"`
	Providers         []string   `json:"providers"` // empty: all with a stored credential
	RequestsPerMinute uint32     `json:"requests_per_minute"`
	InFlight          uint32     `json:"in_flight"`
	Expires           *time.Time `json:"expires"`
	Revoked           bool       `json:"revoked"`
	Actor             string     `json:"actor"`
	Reason            string     `json:"reason"`
	At                time.Time  `json:"at"`
}

func keyOf(k schemas.Key) keyAnswer {
	a := keyAnswer{ID: k.ID, Name: k.Name, Version: k.Version, Feature: k.Feature, Team: k.Team, Providers: orEmpty(k.Providers),
		RequestsPerMinute: k.RequestsPerMinute, InFlight: k.InFlight, Revoked: k.Revoked, Actor: k.Actor, Reason: k.Reason, At: k.At}
	if !k.Expires.IsZero() {
		a.Expires = &k.Expires
	}
	return a
}

func (s *server) keyRoutes(mux *http.ServeMux) {
	mux.HandleFunc("GET /api/v1/keys", s.api(s.apiKeys))
	mux.HandleFunc("POST /api/v1/keys", s.api(s.apiCreateKey))
	mux.HandleFunc("POST /api/v1/keys/{id}/revoke", s.api(s.apiRevokeKey))
}

func (s *server) keys(r *http.Request) (Keys, string, error) {
	p, err := s.project(r)
	if err == nil && s.Keys == nil {
		err = errReadOnly
	}
	return s.Keys, p, err
}

func (s *server) apiKeys(r *http.Request) (any, error) {
	keys, project, err := s.keys(r)
	if err != nil {
		return nil, err
	}
	list := []keyAnswer{}
	for _, k := range keys.List(project) {
		list = append(list, keyOf(k))
	}
	return map[string]any{"project": project, "keys": list}, nil
}

var keyID = regexp.MustCompile(`^[a-z0-9]{8,32}$`)

func (s *server) apiCreateKey(r *http.Request) (any, error) {
	keys, project, err := s.keys(r)
	if err != nil {
		return nil, err
	}
	var b keyBody
	if err := readJSON(r, maxActionBody, &b); err != nil {
		return nil, err
	}
	sum, err := hex.DecodeString(b.SHA256)
	k := schemas.Key{Project: project, ID: b.ID, Name: strings.TrimSpace(b.Name), SHA256: sum, Feature: b.Feature, Team: b.Team, Providers: b.Providers,
		RequestsPerMinute: b.RequestsPerMinute, InFlight: b.InFlight, Expires: b.Expires.UTC(), Actor: orWord(b.Actor, "api"), Reason: strings.TrimSpace(b.Reason)}
	switch {
	case err != nil || !k.Valid():
		return nil, &Error{Code: "bad_sha256", Message: "sha256 is not the SHA-256 of a key, in hexadecimal.", Hint: "gnomon keys create makes the key and its hash; the key itself does not belong here."}
	case !keyID.MatchString(b.ID):
		return nil, &Error{Code: "bad_id", Message: "The id is " + strconv.Quote(b.ID) + ".", Hint: "8 to 32 lower-case letters and digits."}
	case k.Name == "":
		return nil, &Error{Code: "name_missing", Message: "A key needs a name.", Hint: "Say whose it is, for example \"support backend\"."}
	case !b.Expires.IsZero() && !b.Expires.After(s.Now()):
		return nil, &Error{Code: "expired", Message: "The key would have expired already.", Hint: "Give a time that is to come."}
	}
	for what, v := range map[string]string{"name": k.Name, "feature": k.Feature, "team": k.Team} {
		if len(v) > 128 || strings.ContainsFunc(v, func(r rune) bool { return r < 0x20 || r == 0x7f }) {
			return nil, &Error{Code: "bad_" + what, Message: "The " + what + " is longer than 128 bytes or holds control characters.", Hint: "Shorten it."}
		}
	}
	if k, err = keys.Create(r.Context(), k); err != nil {
		return nil, err
	}
	return map[string]any{"key": keyOf(k)}, nil
}

func (s *server) apiRevokeKey(r *http.Request) (any, error) {
	keys, project, err := s.keys(r)
	if err != nil {
		return nil, err
	}
	var b rollbackBody
	if err := readJSON(r, maxActionBody, &b); err != nil {
		return nil, err
	}
	reason := strings.TrimSpace(b.Reason)
	if err := checkReason(reason); err != nil {
		return nil, err
	}
	k, err := keys.Revoke(r.Context(), project, r.PathValue("id"), orWord(b.Actor, "api"), reason)
	if err != nil {
		return nil, err
	}
	return map[string]any{"key": keyOf(k)}, nil
}
