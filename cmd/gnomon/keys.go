package main

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/gnomon-llm/gnomon/activation"
	"github.com/gnomon-llm/gnomon/dashboards"
	"github.com/gnomon-llm/gnomon/internal/config"
	"github.com/gnomon-llm/gnomon/schemas"
)

// keyring is what the proxy finds keys in: one atomic load for each request that
// brings one.
type keyring struct {
	project string
	current atomic.Pointer[map[[sha256.Size]byte]*schemas.Key]
}

// set is the Keeper's onChange: only keys of this project hold here.
func (r *keyring) set(all []schemas.Key) {
	m := make(map[[sha256.Size]byte]*schemas.Key, len(all))
	for i := range all {
		if k := &all[i]; k.Project == r.project && len(k.SHA256) == sha256.Size {
			m[[sha256.Size]byte(k.SHA256)] = k
		}
	}
	r.current.Store(&m)
}

func (r *keyring) find(sum [sha256.Size]byte) *schemas.Key { return (*r.current.Load())[sum] }

// keyActions implements dashboards.Keys.
type keyActions struct {
	c      func() *config.Config // as it is in force
	keeper *activation.Keeper[schemas.Key]
}

// List implements dashboards.Keys.
func (a keyActions) List(project string) []schemas.Key {
	return slices.DeleteFunc(a.keeper.Latest(), func(k schemas.Key) bool { return k.Project != project })
}

// Create implements dashboards.Keys.
func (a keyActions) Create(ctx context.Context, k schemas.Key) (schemas.Key, error) {
	for _, name := range k.Providers {
		if _, ok := a.c().Providers[name]; !ok {
			return k, &dashboards.Error{Code: "unknown_provider", Message: fmt.Sprintf("No provider is called %q.", name), Hint: "Configured are " + strings.Join(sortedKeys(a.c().Providers), ", ") + "."}
		}
	}
	return a.propose(ctx, k)
}

// Revoke implements dashboards.Keys.
func (a keyActions) Revoke(ctx context.Context, project, id, actor, reason string) (schemas.Key, error) {
	have := a.keeper.Accepted(id)
	if have == nil || have.Project != project {
		return schemas.Key{}, &dashboards.Error{Kind: dashboards.NotFound, Message: fmt.Sprintf("Project %s has no key with the id %q.", project, id), Hint: "gnomon keys list shows them."}
	}
	if have.Revoked {
		return *have, nil
	}
	k := *have
	k.Replaces, k.Revoked, k.Actor, k.Reason = have.Version, true, actor, reason
	return a.propose(ctx, k)
}

func (a keyActions) propose(ctx context.Context, k schemas.Key) (schemas.Key, error) {
	ctx, cancel := context.WithTimeout(ctx, proposeTimeout)
	defer cancel()
	k, err := a.keeper.Propose(ctx, k)
	if err != nil {
		return k, refusal(err)
	}
	return k, nil
}

// newKey makes a key and its id. The secret part has 256 random bits.
func newKey() (text, id string, err error) {
	raw := make([]byte, 8+32)
	if _, err := rand.Read(raw); err != nil {
		return "", "", fmt.Errorf("no randomness to make a key of: %w", err)
	}
	id = hex.EncodeToString(raw[:8])
	return schemas.KeyPrefix + id + "_" + base64.RawURLEncoding.EncodeToString(raw[8:]), id, nil
}

func (a *app) keysCmd() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "keys",
		Short: "Make, list and revoke gnomon's own keys",
		Long: `Make, list and revoke gnomon's own keys. An application sends one in the place of a
provider's key; the provider gets the credential that is stored for it.`,
	}
	cmd.AddCommand(a.keysCreateCmd(), a.keysListCmd(), a.keysRevokeCmd())
	return cmd
}

func (a *app) keysCreateCmd() *cobra.Command {
	var feature, team, expires, reason, actor string
	var providers []string
	var perMinute, inFlight uint32
	cmd := &cobra.Command{
		Use:   "create NAME",
		Short: "Make a key; it is shown once",
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) != 1 || strings.TrimSpace(args[0]) == "" {
				return fmt.Errorf("%w: give the key one name: whose it is", errUsage)
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			until, err := parseExpiry(expires, time.Now())
			if err != nil {
				return fmt.Errorf("%w: %w", errUsage, err)
			}
			c, err := a.client()
			if err != nil {
				return err
			}
			text, id, err := newKey()
			if err != nil {
				return err
			}
			sum := sha256.Sum256([]byte(text))
			body := map[string]any{"id": id, "sha256": hex.EncodeToString(sum[:]), "name": args[0], "feature": feature, "team": team, "providers": providers,
				"requests_per_minute": perMinute, "in_flight": inFlight, "reason": reason, "actor": orActor(actor)}
			if !until.IsZero() {
				body["expires"] = until
			}
			var r struct {
				Key json.RawMessage `json:"key"`
			}
			if err := c.post(cmd.Context(), "/keys", body, &r); err != nil {
				return err
			}
			if a.json {
				return json.NewEncoder(a.stdout).Encode(map[string]any{"secret": text, "key": r.Key})
			}
			fmt.Fprintln(a.stdout, text)
			fmt.Fprintf(a.stderr, "This is the only time the key is shown. Send it where the provider's key would stand, or as x-gnomon-key.\n  revoke: gnomon keys revoke %s --reason \"…\"\n", id)
			return nil
		},
	}
	f := cmd.Flags()
	f.StringVar(&feature, "feature", "", "the workload its requests belong to (default: as they say)")
	f.StringVar(&team, "team", "", "the team (default: as requests say)")
	f.StringSliceVar(&providers, "provider", nil, "whose stored credential it may spend; may be repeated (default: all)")
	f.Uint32Var(&perMinute, "rpm", 0, "requests a minute, at each proxy (default: no limit)")
	f.Uint32Var(&inFlight, "in-flight", 0, "requests at once, at each proxy (default: no limit)")
	f.StringVar(&expires, "expires", "", "when it ends: 90d, 12h or a day like 2027-03-31 (default: never)")
	f.StringVar(&reason, "reason", "", "why; kept for ever")
	f.StringVar(&actor, "actor", "", "who (default: you)")
	return cmd
}

// parseExpiry reads a number of days, a duration or a day (its end, UTC).
func parseExpiry(s string, now time.Time) (time.Time, error) {
	if s == "" {
		return time.Time{}, nil
	}
	if days, ok := strings.CutSuffix(s, "d"); ok {
		if n, err := strconv.ParseUint(days, 10, 16); err == nil && n > 0 {
			return now.UTC().AddDate(0, 0, int(n)).Truncate(time.Second), nil
		}
	}
	if d, err := time.ParseDuration(s); err == nil && d > 0 {
		return now.UTC().Add(d).Truncate(time.Second), nil
	}
	if day, err := time.Parse(time.DateOnly, s); err == nil {
		return day.AddDate(0, 0, 1), nil
	}
	return time.Time{}, fmt.Errorf("--expires %s: want 90d, 12h or a day like 2027-03-31", s)
}

func (a *app) keysListCmd() *cobra.Command {
	return &cobra.Command{
		Use:   "list",
		Short: "List the keys: what each is for, never the key",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			c, err := a.client()
			if err != nil {
				return err
			}
			var raw json.RawMessage
			if err := c.get(cmd.Context(), "/keys", &raw); err != nil {
				return err
			}
			if a.json {
				_, err := a.stdout.Write(raw)
				return err
			}
			return a.printKeys(raw)
		},
	}
}

func (a *app) printKeys(raw []byte) error {
	var r struct {
		Keys []struct {
			schemas.Key
			Expires *time.Time `json:"expires"`
		} `json:"keys"`
	}
	if err := json.Unmarshal(raw, &r); err != nil {
		return err
	}
	if len(r.Keys) == 0 {
		fmt.Fprintln(a.stdout, "No keys. Callers send their own provider key, which passes through. gnomon keys create NAME makes one.")
		return nil
	}
	w := tabwriter.NewWriter(a.stdout, 2, 0, 2, ' ', 0)
	fmt.Fprintln(w, "ID\tNAME\tSTATE\tFEATURE\tTEAM\tPROVIDERS\tPER MINUTE\tAT ONCE\tBY")
	for _, k := range r.Keys {
		state := "holds"
		switch {
		case k.Revoked:
			state = "revoked " + k.At.Format(time.DateOnly)
		case k.Expires != nil && time.Now().After(*k.Expires):
			state = "expired " + k.Expires.Format(time.DateOnly)
		case k.Expires != nil:
			state = "until " + k.Expires.Format(time.DateOnly)
		}
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\t%s\t%s\t%s\t%s\n", k.ID, k.Name, state, orDash(k.Feature), orDash(k.Team), orWord(strings.Join(k.Providers, ","), "all"),
			limit(k.RequestsPerMinute), limit(k.InFlight), k.Actor)
	}
	return w.Flush()
}

func limit(n uint32) string {
	if n == 0 {
		return "-"
	}
	return strconv.FormatUint(uint64(n), 10)
}

func orDash(s string) string { return orWord(s, "-") }

func orWord(s, word string) string {
	if s == "" {
		return word
	}
	return s
}

func (a *app) keysRevokeCmd() *cobra.Command {
	var reason, actor string
	cmd := &cobra.Command{
		Use:   "revoke ID --reason \"…\"",
		Short: "Revoke a key, for good; proxies obey within a second",
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) != 1 {
				return fmt.Errorf("%w: name one key by its id; gnomon keys list shows them", errUsage)
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			id := args[0]
			if rest, ok := strings.CutPrefix(id, schemas.KeyPrefix); ok { // the key itself
				id, _, _ = strings.Cut(rest, "_")
			}
			c, err := a.client()
			if err != nil {
				return err
			}
			var raw json.RawMessage
			if err := c.post(cmd.Context(), "/keys/"+url.PathEscape(id)+"/revoke", map[string]any{"reason": reason, "actor": orActor(actor)}, &raw); err != nil {
				return err
			}
			if a.json {
				_, err := a.stdout.Write(raw)
				return err
			}
			fmt.Fprintf(a.stdout, "The key %s is revoked: requests that bring it are answered with 401.\n", id)
			return nil
		},
	}
	return withReason(cmd, &reason, &actor)
}
