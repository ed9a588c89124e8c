package activation

import (
	"errors"
	"strings"
	"testing"

	"github.com/gnomon-llm/gnomon/schemas"
)

func nameFacts() NameFacts {
	return NameFacts{
		Names: []schemas.Naming{{Workload: "~a", Version: 1, Name: "mail"}, {Workload: "~b", Version: 1, Name: "mail"}, {Workload: "~undone", Version: 2}, {Workload: "~onlive", Version: 1, Name: "live"}},
		Policy: func(w string) *schemas.Policy {
			switch w {
			case "live", "~live":
				return &schemas.Policy{Workload: w, Mode: schemas.ModeLive}
			case "watched":
				return &schemas.Policy{Workload: w, Mode: schemas.ModeObserve}
			}
			return nil
		},
		Seen: func(w string) bool { return w == "feature" },
	}
}

func TestWhoMayBeCalledWhat(t *testing.T) {
	for _, tt := range []struct {
		name  string
		found string
		to    string
		into  bool
		want  string // what the refusal says; empty: granted
	}{
		{"a new name", "~c", "letters", false, ""},
		{"another name for one that has one", "~a", "letters", false, ""},
		{"again after the name was taken back", "~undone", "letters", false, ""},
		{"a name in use merges, and has to be said", "~c", "mail", false, "--into mail"},
		{"a feature's name merges, too", "~c", "feature", false, "--into feature"},
		{"a name with a policy merges, too", "~c", "watched", false, "--into watched"},
		{"merged knowingly", "~c", "mail", true, ""},
		{"merged into a feature", "~c ~d", "feature", true, ""},
		{"what is called so already", "~a", "mail", true, "already"},
		{"a discovered name as the new one would make chains", "~c", "~d", true, "begins with ~"},
		{"back to itself", "~c", "~c", false, "begins with ~"},
		{"a workload that clients name", "feature", "letters", false, "x-gnomon-feature"},
		{"a name that was given", "mail", "letters", false, "~a, ~b"},
		{"the rest", "~other", "letters", false, "told apart"},
		{"while it is live", "~live", "letters", false, "roll it back first"},
		{"into what is live", "~c", "live", true, "roll it back first"},
		{"out of what is live", "~onlive", "letters", false, "roll it back first"},
		{"no name", "~c", "", false, "empty"},
		{"a name no header can carry", "~c", "a\nb", false, "no header"},
		{"a name that is too long", "~c", strings.Repeat("x", 129), false, "128"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got, err := Rename(NameRequest{Project: "p", Found: strings.Fields(tt.found), Name: tt.to, Into: tt.into, Actor: "ann", Reason: "why"}, nameFacts())
			if tt.want == "" {
				if err != nil || len(got) != len(strings.Fields(tt.found)) || got[0].Name != tt.to || got[0].Reason != "why" || !got[0].Valid() {
					t.Errorf("%+v, %v", got, err)
				}
				return
			}
			if !errors.Is(err, ErrName) || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("%v, want %q", err, tt.want)
			}
		})
	}
	if _, err := Rename(NameRequest{Found: []string{"~c"}, Name: "x"}, nameFacts()); err == nil {
		t.Error("no reason is needed")
	}
}

func TestANameIsTakenBackAsTheNextVersion(t *testing.T) {
	n, err := Unname("p", "~a", "ann", "wrong one", nameFacts())
	if err != nil || n.Name != "" || n.Replaces != 1 || !n.Valid() {
		t.Errorf("%+v, %v", n, err)
	}
	for found, want := range map[string]string{"~c": "no name to take back: nobody", "~undone": "nobody", "mail": "~a, ~b", "~onlive": "roll it back"} {
		if _, err := Unname("p", found, "ann", "why", nameFacts()); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", found, err)
		}
	}
}

func TestANameIsCarriedOnOnce(t *testing.T) {
	f := nameFacts()
	n, due := Carry("p", "~new", "~a", f.Names)
	if !due || n.Name != "~a" || n.Actor != Carried || !n.Valid() {
		t.Fatalf("%+v, %v", n, due)
	}
	f.Names = append(f.Names, n.Next(n.At))
	if _, again := Carry("p", "~new", "~a", f.Names); again {
		t.Error("what is said is said again")
	}
	if _, again := Carry("p", "~undone", "~a", f.Names); again {
		t.Error("what a person has taken back is carried on")
	}
	// What it carries on is renamed as ever, and so is it, by whoever parts them.
	for _, found := range []string{"~a", "~new"} {
		if got, err := Rename(NameRequest{Project: "p", Found: []string{found}, Name: "letters", Actor: "ann", Reason: "why"}, f); err != nil || len(got) != 1 || got[0].Replaces != 1 {
			t.Errorf("%s: %+v, %v", found, got, err)
		}
	}
}
