package activation

import (
	"fmt"
	"slices"
	"strings"

	"github.com/gnomon-llm/gnomon/schemas"
)

// maxWorkloadName bounds a name in bytes, as it bounds a feature's.
const maxWorkloadName = 128

// NameRequest is a person's wish to call discovered workloads something else.
type NameRequest struct {
	Project       string
	Found         []string // as they were discovered
	Name          string
	Into          bool // the name may be in use: what is found is added to it
	Actor, Reason string
}

// NameFacts are what the rules need to know beside the request.
type NameFacts struct {
	Names  []schemas.Naming                      // the accepted record of each workload of the project
	Policy func(workload string) *schemas.Policy // nil: none
	Seen   func(workload string) bool            // requests of it are stored
}

// Rename turns a wish into the records that grant it. Only what was discovered
// can be named, and only by a name that does not look discovered: so there are no
// chains of names and no circles, whoever else names something meanwhile.
//
// While a policy acts on one of the workloads none is named: a live experiment
// would get other requests, or lose its own. Rolling back comes first.
func Rename(r NameRequest, f NameFacts) ([]schemas.Naming, error) {
	if err := checkName(r, f); err != nil {
		return nil, err
	}
	var records []schemas.Naming
	for _, found := range r.Found {
		n := schemas.Naming{Project: r.Project, Workload: found, Name: r.Name, Actor: r.Actor, Reason: r.Reason}
		if now := namingOf(f.Names, found); now != nil {
			if now.Name == r.Name {
				continue
			}
			n.Replaces = now.Version
			if err := idle(f, now.Name); err != nil {
				return nil, err
			}
		}
		if err := idle(f, found); err != nil {
			return nil, err
		}
		records = append(records, n)
	}
	if len(records) == 0 {
		return nil, invalidName("%s is called that already", strings.Join(r.Found, ", "))
	}
	return records, nil
}

func checkName(r NameRequest, f NameFacts) error {
	control := func(c rune) bool { return c < 0x20 || c == 0x7f }
	switch {
	case strings.TrimSpace(r.Reason) == "":
		return invalidName("a reason is required (--reason \"…\")")
	case len(r.Found) == 0:
		return invalidName("no workload is given")
	case r.Name == "" || r.Name != strings.TrimSpace(r.Name) || len(r.Name) > maxWorkloadName || strings.ContainsFunc(r.Name, control):
		return invalidName("the name %q is empty, longer than %d bytes, or holds what no header may", r.Name, maxWorkloadName)
	case r.Name[0] == '~':
		return invalidName("%s begins with ~, as discovered workloads do: give it a name of your own", r.Name)
	}
	for _, found := range r.Found {
		if found == "" || found[0] != '~' {
			if called := foundAs(f.Names, found); len(called) > 0 {
				return invalidName("%s is what %s is called: name that anew, or take its name back first", found, strings.Join(called, ", "))
			}
			return invalidName("%q was not discovered: the name of a workload that clients send is changed where they send it (x-gnomon-feature)", found)
		}
		if found == "~other" || found == "~unnamed" {
			return invalidName("%s is no workload of one kind: it holds what could not be told apart", found)
		}
	}
	if used := foundAs(f.Names, r.Name); !r.Into && (len(used) > 0 && !slices.Equal(used, r.Found) || f.Policy(r.Name) != nil || f.Seen(r.Name)) {
		return invalidName("there is a workload %s already, so this would merge them, and new requests can then not be told apart: gnomon workloads merge %s --into %s, if that is meant", r.Name, strings.Join(r.Found, " "), r.Name)
	}
	return idle(f, r.Name)
}

// Carried is who makes records that carry a name on.
const Carried = "gnomon"

// Carry is the record by which a workload goes on under the name that rules of
// before found it by, whatever people call that one. It is false where a record
// says already what the workload is called.
//
// No policy stands in the way: the requests are the same.
func Carry(project, found, was string, names []schemas.Naming) (schemas.Naming, bool) {
	n := schemas.Naming{Project: project, Workload: found, Name: was, Actor: Carried, Reason: "the rules that find workloads have changed; its requests are the same"}
	return n, namingOf(names, found) == nil
}

// Unname takes a workload's name back.
func Unname(project, found, actor, reason string, f NameFacts) (schemas.Naming, error) {
	now := namingOf(f.Names, found)
	if now == nil || now.Name == "" {
		called := ""
		if all := foundAs(f.Names, found); len(all) > 0 {
			called = ": it is what " + strings.Join(all, ", ") + " is called; give one of those"
		}
		return schemas.Naming{}, fmt.Errorf("%w: nobody has named %s%s", ErrUnnamed, found, called)
	}
	if strings.TrimSpace(reason) == "" {
		return schemas.Naming{}, invalidName("a reason is required (--reason \"…\")")
	}
	if err := idle(f, now.Name); err != nil {
		return schemas.Naming{}, err
	}
	return schemas.Naming{Project: project, Workload: found, Replaces: now.Version, Actor: actor, Reason: reason}, nil
}

// idle refuses a workload whose policy acts.
func idle(f NameFacts, workload string) error {
	if workload == "" {
		return nil
	}
	if p := f.Policy(workload); p != nil && p.Mode != schemas.ModeObserve {
		return invalidName("%s is %s: roll it back first (gnomon rollback %s --reason \"…\"), or its experiment would change under it", workload, p.Mode, workload)
	}
	return nil
}

func namingOf(names []schemas.Naming, found string) *schemas.Naming {
	for i := range names {
		if names[i].Workload == found {
			return &names[i]
		}
	}
	return nil
}

// foundAs returns the discovered workloads that a name stands for.
func foundAs(names []schemas.Naming, name string) (all []string) {
	for i := range names {
		if name != "" && names[i].Name == name {
			all = append(all, names[i].Workload)
		}
	}
	return all
}

func invalidName(format string, args ...any) error {
	return fmt.Errorf("%w: %s", ErrName, fmt.Sprintf(format, args...))
}
