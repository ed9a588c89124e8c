package evidence

import "time"

// Epoch is the part of a sequence of units that is about what is in force now.
type Epoch struct {
	Units        []Unit // to bet on
	Before       []Unit // the last of those before it: they may teach the bettor
	Restarts     int    // how often the wealth has started anew
	Outside      int    // units since the start about something that is not in force
	PromptVaries bool   // the prompt's template differs from request to request, and was not held against them
}

// The rules of Current.
const (
	forceShare  = 0.10 // of a stretch's units, to be in force
	forceUnits  = 2    // at least
	stretchLen  = 10   // units at least; shorter days are taken together
	presentDays = 3    // stretches within which what is in force must have appeared
	teachers    = 50   // units before the start that may teach the bettor
	templates   = 8    // more templates than this, and than a twentieth of the units: the template varies
)

// Current finds the units about the thing, or things side by side, now in force:
// a snapshot, template, grader, judge or rubric that makes up a tenth of a day's
// units. When a new one comes into force the epoch starts with its first unit;
// what has not been seen for three days is dropped. Only what units are about is
// looked at, never how they turned out, so the choice costs nothing in error.
func Current(units []Unit) Epoch {
	e := Epoch{PromptVaries: promptVaries(units)}
	thing := func(i int) Thing {
		t := units[i].Thing
		if e.PromptVaries {
			t.Prompt = 0
		}
		return t
	}
	start, in := 0, map[Thing]bool{}
	var lately []map[Thing]bool
	for _, s := range stretches(units) {
		force, seen := inForce(s, thing)
		if fresh := firstOutside(s, force, in, thing); fresh >= 0 {
			if len(in) > 0 {
				start = fresh
				e.Restarts++
			}
			next := force
			for t := range in {
				if seen[t] {
					next[t] = true // side by side with what is new
				}
			}
			in = next
		}
		lately = append(lately, seen)
	}
	lately = lately[max(0, len(lately)-presentDays):]
	for i := start; i < len(units); i++ {
		if t := thing(i); in[t] && seenIn(lately, t) {
			e.Units = append(e.Units, units[i])
		} else {
			e.Outside++
		}
	}
	e.Before = units[max(0, start-teachers):start]
	return e
}

// stretch is a range of units: a day, or days until there are enough.
type stretch struct{ from, to int }

func stretches(units []Unit) []stretch {
	var out []stretch
	from := 0
	for i := range units {
		last := i == len(units)-1
		if last || (i+1-from >= stretchLen && !sameDay(units[i].At, units[i+1].At)) {
			out = append(out, stretch{from, i + 1})
			from = i + 1
		}
	}
	return out
}

func sameDay(a, b time.Time) bool {
	return a.Truncate(24 * time.Hour).Equal(b.Truncate(24 * time.Hour))
}

// inForce counts the things of a stretch. A short last stretch brings nothing
// new into force yet: its units wait outside.
func inForce(s stretch, thing func(int) Thing) (force, seen map[Thing]bool) {
	count := map[Thing]int{}
	for i := s.from; i < s.to; i++ {
		count[thing(i)]++
	}
	force, seen = map[Thing]bool{}, map[Thing]bool{}
	n := s.to - s.from
	for t, c := range count {
		seen[t] = true
		enough := s.from == 0 || (n >= stretchLen && c >= forceUnits)
		if enough && float64(c) >= forceShare*float64(n) {
			force[t] = true
		}
	}
	return force, seen
}

// firstOutside returns the first unit of the stretch about something newly in
// force, or −1.
func firstOutside(s stretch, force, in map[Thing]bool, thing func(int) Thing) int {
	for i := s.from; i < s.to; i++ {
		if t := thing(i); force[t] && !in[t] {
			return i
		}
	}
	return -1
}

func seenIn(lately []map[Thing]bool, t Thing) bool {
	for _, seen := range lately {
		if seen[t] {
			return true
		}
	}
	return false
}

func promptVaries(units []Unit) bool {
	prompts := map[uint64]bool{}
	for _, u := range units {
		prompts[u.Thing.Prompt] = true
	}
	return len(prompts) > templates && len(prompts)*20 > len(units)
}
