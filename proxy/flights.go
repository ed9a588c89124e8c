package proxy

import "sync"

// flights counts the requests in flight, bounds them, and says when the last
// one has landed.
type flights struct {
	max    int
	mu     sync.Mutex
	n      int
	landed chan struct{} // closed at n == 0; made by the first who waits
}

// bound sets how many may be in flight.
func (f *flights) bound(n int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.max = n
}

// enter takes a place. When all are taken it still counts the request, which is
// then refused, and returns false.
func (f *flights) enter() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.n++
	return f.n <= f.max
}

func (f *flights) leave() {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.n--; f.n == 0 && f.landed != nil {
		close(f.landed)
		f.landed = nil
	}
}

func (f *flights) count() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.n
}

// empty returns a channel that is closed when nothing is in flight.
func (f *flights) empty() <-chan struct{} {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.landed == nil {
		f.landed = make(chan struct{})
	}
	ch := f.landed
	if f.n == 0 {
		close(ch)
		f.landed = nil
	}
	return ch
}
