package activation

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"
)

// A Topic is a log of Records on the broker.
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
var ErrConflict = errors.New("it was changed by someone else meanwhile")

// Keeper follows a log of Records and keeps what is accepted, in memory and on
// disk. Its methods are safe for concurrent use.
type Keeper[R Record[R]] struct {
	noun  string
	path  string
	topic Topic
	log   *slog.Logger

	mu       sync.Mutex
	accepted *chain[R]     // what holds
	read     *chain[R]     // what the topic alone says, to notice that it has lost something
	offset   int64         // next offset to be read
	replayed bool          // the topic has been read to its end once: what is revoked further on is never obeyed
	current  bool          // equal to the topic's end, and following it
	away     bool          // the topic cannot be read now
	behind   time.Time     // since when not current
	alarm    string        // why the snapshot stands against the topic; empty when it does not
	unsaved  error         // the disk did not take the snapshot
	changed  chan struct{} // closed and replaced at each record read
	onChange func([]R)
}

// OpenKeeper reads the snapshot at path. A damaged snapshot is set aside with
// an alarm: without one nothing holds until the topic has been read.
// onChange is called with the accepted records at once and after each change,
// never concurrently; it must not block.
func OpenKeeper[R Record[R]](path string, topic Topic, onChange func([]R), log *slog.Logger) (*Keeper[R], error) {
	var zero R
	k := &Keeper[R]{noun: zero.Noun(), path: path, topic: topic, log: log, accepted: newChain[R](), read: newChain[R](), behind: time.Now(), changed: make(chan struct{}), onChange: onChange}
	records, err := readSnapshot[R](path)
	switch {
	case errors.Is(err, ErrSnapshot):
		k.alarm = err.Error()
		log.Error("a snapshot cannot be trusted: nothing of it holds until its topic has been read", "of", k.noun, "err", err)
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
func (k *Keeper[R]) Run(ctx context.Context) error {
	err := k.topic.Follow(ctx, following[R]{k, ctx})
	if ctx.Err() != nil {
		return nil
	}
	return err
}

// following is the Keeper as its topic sees it.
type following[R Record[R]] struct {
	k   *Keeper[R]
	ctx context.Context
}

func (f following[R]) Record(offset int64, value []byte) { f.k.apply(offset, value) }
func (f following[R]) CaughtUp()                         { f.k.caughtUp(f.ctx) }
func (f following[R]) Reset()                            { f.k.reset() }
func (f following[R]) Lost(why error)                    { f.k.lost(why) }

// apply takes one record of the topic.
func (k *Keeper[R]) apply(offset int64, value []byte) {
	var p R
	err := json.Unmarshal(value, &p)
	k.mu.Lock()
	defer k.mu.Unlock()
	if err != nil || !p.Valid() {
		k.log.Error("a record cannot be read and is ignored", "of", k.noun, "offset", offset, "err", err)
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
func (k *Keeper[R]) publish() {
	k.onChange(k.accepted.latest())
	k.save()
}

// signal wakes who waits for a record; mu is held.
func (k *Keeper[R]) signal() {
	close(k.changed)
	k.changed = make(chan struct{})
}

// save writes the snapshot; mu is held. A disk that does not take it is an
// alarm, not a reason to disobey: the policy holds in memory.
func (k *Keeper[R]) save() {
	if k.unsaved = writeSnapshot(k.path, k.accepted.all()); k.unsaved != nil {
		k.log.Error("a snapshot cannot be written", "of", k.noun, "path", k.path, "err", k.unsaved)
	}
}

// caughtUp compares the topic with what is accepted, and gives the topic back
// what it has lost.
func (k *Keeper[R]) caughtUp(ctx context.Context) {
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
		k.stale()
		missing = nil
		k.alarm = fmt.Sprintf("the %s topic tells another history of %s than this process's snapshot: the snapshot holds; see which is right, and remove the other", k.noun, key)
		k.log.Error("topic and snapshot differ: the snapshot holds", "of", k.noun, "key", key)
	case len(missing) == 0:
		k.current, k.alarm = true, ""
	default:
		k.alarm = fmt.Sprintf("the %s topic is %d records shorter than this process's snapshot: the snapshot holds, the topic is being mended", k.noun, len(missing))
	}
	alarm := k.alarm
	k.mu.Unlock()
	if len(missing) == 0 {
		return
	}
	k.log.Error("a topic has lost records: the snapshot holds and is written back", "of", k.noun, "missing", len(missing))
	go k.mend(ctx, missing, alarm)
}

// mend appends what the topic has lost, and takes back the alarm of that; another
// one that came meanwhile stands. Several keepers may do so at once: readers
// ignore what they have.
func (k *Keeper[R]) mend(ctx context.Context, missing []R, alarm string) {
	for _, p := range missing {
		value, err := json.Marshal(&p)
		if err == nil {
			_, err = k.topic.Append(ctx, p.Key(), value)
		}
		if err != nil {
			k.log.Error("a topic could not be mended; tried again at the next connection", "of", k.noun, "err", err)
			return
		}
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	if !k.away && k.alarm == alarm {
		k.current, k.alarm = true, ""
	}
}

// reset is called when the topic starts anew under us.
func (k *Keeper[R]) reset() {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.stale()
	k.read, k.offset, k.replayed = newChain[R](), 0, false
}

// lost is called when the topic can no longer be read: what was read holds, and
// somebody should know that a change would not arrive.
func (k *Keeper[R]) lost(why error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.current || k.alarm == "" {
		k.alarm = "the " + k.noun + " topic cannot be read: what was read of it holds, and a change does not arrive: " + why.Error()
	}
	k.stale()
	k.away = true
}

// stale notes that what holds may be out of date from now on.
func (k *Keeper[R]) stale() {
	if k.current {
		k.current, k.behind = false, time.Now()
	}
}

// Standing is how far a Keeper can be relied on.
type Standing struct {
	Current bool   // what it holds equals the topic's end, and it follows
	Read    bool   // the topic was read whole once: nothing that was revoked is obeyed
	Away    bool   // the topic cannot be read now
	Alarm   string // what is wrong, to be shown; empty when nothing is

	// Age is for how long what holds may be out of date: since the topic was last
	// followed, or since the start; 0 while Current.
	Age time.Duration
}

// Standing reports how far what the Keeper holds can be relied on.
func (k *Keeper[R]) Standing() Standing {
	k.mu.Lock()
	defer k.mu.Unlock()
	s := Standing{Current: k.current, Read: k.replayed, Away: k.away, Alarm: k.alarm}
	if !k.current {
		s.Age = time.Since(k.behind)
	}
	if k.unsaved != nil {
		s.Alarm = "the " + k.noun + " snapshot cannot be written, a restart would go by an older one: " + k.unsaved.Error()
	}
	return s
}

// Accepted returns the accepted version of a key, nil when it has none.
func (k *Keeper[R]) Accepted(key string) *R {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.accepted.current(key)
}

// History returns all accepted versions of a key, oldest first.
func (k *Keeper[R]) History(key string) []R {
	k.mu.Lock()
	defer k.mu.Unlock()
	return append([]R(nil), k.accepted.versions[key]...)
}

// Latest returns the accepted version of every key that has one.
func (k *Keeper[R]) Latest() []R {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.accepted.latest()
}

// Propose writes p as the next version of its key and waits until this
// keeper has read it back: when it returns nil, the broker has it and this
// process obeys it. That the snapshot has it too is for Standing to say: a disk
// that takes nothing must not make a rollback look undone.
// It sets version and time. ErrConflict means that
// another record was accepted in its place.
func (k *Keeper[R]) Propose(ctx context.Context, p R) (R, error) {
	p = p.Next(time.Now().UTC().Truncate(time.Millisecond))
	_, replaces := p.Place()
	if now := uint32(len(k.History(p.Key()))); now != replaces {
		return p, fmt.Errorf("%w: version %d of the %s holds, this one would replace %d", ErrConflict, now, k.noun, replaces)
	}
	value, err := json.Marshal(&p)
	if err != nil {
		return p, err
	}
	offset, err := k.topic.Append(ctx, p.Key(), value)
	if err != nil {
		return p, fmt.Errorf("the %s could not be written to the broker (it may or may not have arrived; look before trying again): %w", k.noun, err)
	}
	if err := k.wait(ctx, offset); err != nil {
		return p, fmt.Errorf("the %s was written at offset %d but not read back: %w", k.noun, offset, err)
	}
	return p, k.won(p, value)
}

// wait returns once the record at offset has been read.
func (k *Keeper[R]) wait(ctx context.Context, offset int64) error {
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
func (k *Keeper[R]) won(p R, value []byte) error {
	k.mu.Lock()
	defer k.mu.Unlock()
	have := k.accepted.versions[p.Key()]
	if version, _ := p.Place(); int(version) <= len(have) {
		if got, err := json.Marshal(&have[version-1]); err == nil && string(got) == string(value) {
			return nil
		}
	}
	return fmt.Errorf("%w: version %d of the %s, by %s, holds", ErrConflict, len(have), k.noun, authorOf(have))
}

func authorOf[R Record[R]](have []R) string {
	if len(have) == 0 {
		return "nobody"
	}
	return have[len(have)-1].By()
}
