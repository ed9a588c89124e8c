package activation

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/gnomon-llm/gnomon/schemas"
)

// A Topic is the policy log on the broker.
type Topic interface {
	// Follow tells to of every record from the first on. It returns only when
	// ctx ends; a broker that is away is waited for. After the topic was made
	// anew it starts from the first record again.
	Follow(ctx context.Context, to Follower) error
	// Append writes one record and returns its own offset once the broker has
	// it.
	Append(ctx context.Context, key string, value []byte) (offset int64, err error)
}

// A Follower is told what a Topic holds.
type Follower interface {
	// Record gets every record in order.
	Record(offset int64, value []byte)
	// CaughtUp is called each time the topic has been (re)read to the end that
	// stood when it was connected to.
	CaughtUp()
	// Reset is called before reading starts again from the first record.
	Reset()
	// Lost is called when the topic can no longer be read.
	Lost(why error)
}

// ErrConflict says that another version was accepted first.
var ErrConflict = errors.New("the policy was changed by someone else meanwhile")

// Keeper follows the policy log and keeps what is accepted, in memory and on
// disk. Its methods are safe for concurrent use.
type Keeper struct {
	path  string
	topic Topic
	log   *slog.Logger

	mu       sync.Mutex
	accepted *chain        // what holds
	read     *chain        // what the topic alone says, to notice that it has lost something
	offset   int64         // next offset to be read
	replayed bool          // the topic has been read to its end once: what is revoked further on is never obeyed
	current  bool          // equal to the topic's end, and following it
	away     bool          // the topic cannot be read now
	alarm    string        // why the snapshot stands against the topic; empty when it does not
	unsaved  error         // the disk did not take the snapshot
	changed  chan struct{} // closed and replaced at each record read
	onChange func([]schemas.Policy)
}

// OpenKeeper reads the snapshot at path. A damaged snapshot is set aside with
// an alarm: without one everything observes until the topic has been read.
// onChange is called with the accepted policies at once and after each change,
// never concurrently; it must not block.
func OpenKeeper(path string, topic Topic, onChange func([]schemas.Policy), log *slog.Logger) (*Keeper, error) {
	k := &Keeper{path: path, topic: topic, log: log, accepted: newChain(), read: newChain(), changed: make(chan struct{}), onChange: onChange}
	records, err := readSnapshot(path)
	switch {
	case errors.Is(err, ErrSnapshot):
		k.alarm = err.Error()
		log.Error("policy snapshot cannot be trusted: every workload observes until the policy topic has been read", "err", err)
		if err := setAside(path); err != nil {
			return nil, err
		}
	case err != nil:
		return nil, err
	}
	for _, p := range records {
		k.accepted.accept(p)
	}
	onChange(k.accepted.latest())
	return k, nil
}

// Run follows the topic until ctx ends.
func (k *Keeper) Run(ctx context.Context) error {
	err := k.topic.Follow(ctx, following{k, ctx})
	if ctx.Err() != nil {
		return nil
	}
	return err
}

// following is the Keeper as its topic sees it.
type following struct {
	k   *Keeper
	ctx context.Context
}

func (f following) Record(offset int64, value []byte) { f.k.apply(offset, value) }
func (f following) CaughtUp()                         { f.k.caughtUp(f.ctx) }
func (f following) Reset()                            { f.k.reset() }
func (f following) Lost(why error)                    { f.k.lost(why) }

// apply takes one record of the topic.
func (k *Keeper) apply(offset int64, value []byte) {
	var p schemas.Policy
	err := json.Unmarshal(value, &p)
	k.mu.Lock()
	defer k.mu.Unlock()
	if err != nil || p.Workload == "" || p.Project == "" {
		k.log.Error("policy record cannot be read and is ignored", "offset", offset, "err", err)
	} else {
		k.read.accept(p)
		if k.accepted.accept(p) && k.replayed {
			k.publish()
		}
	}
	k.offset = offset + 1
	k.signal()
}

// publish tells the proxy first and the disk second: a slow disk must not delay
// a rollback. mu is held.
func (k *Keeper) publish() {
	k.onChange(k.accepted.latest())
	k.save()
}

// signal wakes who waits for a record; mu is held.
func (k *Keeper) signal() {
	close(k.changed)
	k.changed = make(chan struct{})
}

// save writes the snapshot; mu is held. A disk that does not take it is an
// alarm, not a reason to disobey: the policy holds in memory.
func (k *Keeper) save() {
	if k.unsaved = writeSnapshot(k.path, k.accepted.all()); k.unsaved != nil {
		k.log.Error("policy snapshot cannot be written", "path", k.path, "err", k.unsaved)
	}
}

// caughtUp compares the topic with what is accepted, and gives the topic back
// what it has lost.
func (k *Keeper) caughtUp(ctx context.Context) {
	k.mu.Lock()
	k.away = false
	if !k.replayed {
		k.replayed = true
		k.publish()
	}
	k.signal()
	missing := k.accepted.beyond(k.read)
	switch key := k.accepted.differs(k.read); {
	case key != "":
		k.current, missing = false, nil
		k.alarm = fmt.Sprintf("the policy topic tells another history of %s than this process's snapshot: the snapshot holds; see which is right, and remove the other", key)
		k.log.Error("policy topic and snapshot differ: the snapshot holds", "workload", key)
	case len(missing) == 0:
		k.current, k.alarm = true, ""
	default:
		k.alarm = fmt.Sprintf("the policy topic is %d records shorter than this process's snapshot: the snapshot holds, the topic is being mended", len(missing))
	}
	k.mu.Unlock()
	if len(missing) == 0 {
		return
	}
	k.log.Error("policy topic has lost records: the snapshot holds and is written back", "missing", len(missing))
	go k.mend(ctx, missing)
}

// mend appends what the topic has lost. Several keepers may do so at once:
// readers ignore what they have.
func (k *Keeper) mend(ctx context.Context, missing []schemas.Policy) {
	for _, p := range missing {
		value, err := json.Marshal(&p)
		if err == nil {
			_, err = k.topic.Append(ctx, p.Key(), value)
		}
		if err != nil {
			k.log.Error("policy topic could not be mended; tried again at the next connection", "err", err)
			return
		}
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	if !k.away {
		k.current, k.alarm = true, ""
	}
}

// reset is called when the topic starts anew under us.
func (k *Keeper) reset() {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.read, k.offset, k.current, k.replayed = newChain(), 0, false, false
}

// lost is called when the topic can no longer be read: what was read holds, and
// somebody should know that a change would not arrive.
func (k *Keeper) lost(why error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.current || k.alarm == "" {
		k.alarm = "the policy topic cannot be read: what was read of it holds, and a change does not arrive: " + why.Error()
	}
	k.current, k.away = false, true
}

// Standing is how far a Keeper can be relied on.
type Standing struct {
	Current bool   // what it holds equals the topic's end, and it follows
	Read    bool   // the topic was read whole once: nothing that was revoked is obeyed
	Away    bool   // the topic cannot be read now
	Alarm   string // what is wrong, to be shown; empty when nothing is
}

// Standing reports how far what the Keeper holds can be relied on.
func (k *Keeper) Standing() Standing {
	k.mu.Lock()
	defer k.mu.Unlock()
	s := Standing{Current: k.current, Read: k.replayed, Away: k.away, Alarm: k.alarm}
	if k.unsaved != nil {
		s.Alarm = "the policy snapshot cannot be written, a restart would go by an older one: " + k.unsaved.Error()
	}
	return s
}

// Policy returns the accepted version of a workload, nil when it has none.
func (k *Keeper) Policy(project, workload string) *schemas.Policy {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.accepted.current(project + "/" + workload)
}

// History returns all accepted versions of a workload, oldest first.
func (k *Keeper) History(project, workload string) []schemas.Policy {
	k.mu.Lock()
	defer k.mu.Unlock()
	return append([]schemas.Policy(nil), k.accepted.versions[project+"/"+workload]...)
}

// Latest returns the accepted version of every workload that has one.
func (k *Keeper) Latest() []schemas.Policy {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.accepted.latest()
}

// Propose writes p as the next version of its workload and waits until this
// keeper has read it back: when it returns nil, the broker has it and this
// process obeys it. That the snapshot has it too is for Standing to say: a disk
// that takes nothing must not make a rollback look undone.
// It sets Version, Replaces, SchemaVersion and At. ErrConflict means that
// another record was accepted in its place.
func (k *Keeper) Propose(ctx context.Context, p schemas.Policy) (schemas.Policy, error) {
	p.SchemaVersion = schemas.SchemaVersion
	p.Version = p.Replaces + 1
	p.At = time.Now().UTC().Truncate(time.Millisecond)
	if now := k.Policy(p.Project, p.Workload); version(now) != p.Replaces {
		return p, fmt.Errorf("%w: version %d holds, this one would replace %d", ErrConflict, version(now), p.Replaces)
	}
	value, err := json.Marshal(&p)
	if err != nil {
		return p, err
	}
	offset, err := k.topic.Append(ctx, p.Key(), value)
	if err != nil {
		return p, fmt.Errorf("policy could not be written to the broker (it may or may not have arrived; look before trying again): %w", err)
	}
	if err := k.wait(ctx, offset); err != nil {
		return p, fmt.Errorf("policy was written at offset %d but not read back: %w", offset, err)
	}
	return p, k.won(p, value)
}

func version(p *schemas.Policy) uint32 {
	if p == nil {
		return 0
	}
	return p.Version
}

// wait returns once the record at offset has been read.
func (k *Keeper) wait(ctx context.Context, offset int64) error {
	for {
		k.mu.Lock()
		done, changed := k.offset > offset && k.replayed, k.changed
		k.mu.Unlock()
		if done {
			return nil
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-changed:
		}
	}
}

// won reports whether p is what was accepted at its version.
func (k *Keeper) won(p schemas.Policy, value []byte) error {
	k.mu.Lock()
	defer k.mu.Unlock()
	have := k.accepted.versions[p.Key()]
	if int(p.Version) <= len(have) {
		if got, err := json.Marshal(&have[p.Version-1]); err == nil && string(got) == string(value) {
			return nil
		}
	}
	return fmt.Errorf("%w: version %d by %s holds", ErrConflict, len(have), actorOf(have))
}

func actorOf(have []schemas.Policy) string {
	if len(have) == 0 {
		return "nobody"
	}
	return have[len(have)-1].Actor
}
