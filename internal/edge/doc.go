// Package edge emulates the links that sites hang on: delay, jitter, loss, a rate,
// reordering, and cuts. A [Link] carries packets between two TUN devices, each of
// which may be in a network namespace of its own, so that real processes speak over
// it; kernels without the netem queue discipline will do.
//
// It knows nothing of what it carries. What the product does at the end of such
// links is shown by this package's tests, which docs/edge.md is about.
package edge
