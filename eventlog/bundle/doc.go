// Package bundle writes and checks audit bundles: one file with records of a log,
// what proves them, and what they refer to, so that somebody without the cluster
// and without a network can tell what happened, and that nobody changed the
// record of it. docs/audit.md describes the format for those who write a verifier
// of their own.
//
// A bundle is canonical: the same content has one form, byte for byte, and a
// reader refuses every other. So a flipped bit is found wherever it is.
//
// The package knows what events look like and, but for which of them begin and end a
// run and name blobs, never what they mean. Which records belong to a run is its
// caller's business.
package bundle
