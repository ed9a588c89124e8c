// Package simulator makes the traffic, the providers and the truth that the
// demo shows and the statistics are tested against.
//
// The one idea: a hidden truth that everything else must find. Each prompt
// carries a reference from which the simulated models derive what they answer:
// what is right, whether the strong model knows it, whether the weak one slips,
// how long each talks. History, live traffic, rehearsals and the next thirty
// days all ask the same function, so the truth of a candidate is what the
// simulator would really save and lose, not a number written beside a number.
//
// History is made of real request bodies and real answers, observed by the
// proxy's own Observer, and rehearsed by the real sampler and graders under a
// simulated clock. Everything is a function of a seed, however many processors
// work on it, and everything is marked simulated.
//
// What it does not do: it imitates no particular company's traffic or any real
// model's quality. The names and prices of models are real, how good they are
// here is invented.
package simulator
