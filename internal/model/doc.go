// Package model holds the tests that try to refute the dispatch protocol: an
// exhaustive exploration of all that one step, its attempts and an unreliable
// world can do to each other, the same with bugs put in that it has to find, and a
// seeded simulation of whole clusters.
//
// Both drive the product's own functions: engine.State folds and decides,
// journal.State accepts, refuses and forgets. Only what lies between them is
// modelled: disks, processes, the network, the replicated log and the people.
package model
