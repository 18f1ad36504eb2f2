// Package relay is what runs at a site: a port for the agents there, over one
// connection upstream that somebody else keeps.
//
// Agents ask it for two things. A tunnel (tunnel.go) is a stream upstream in which the
// agent speaks TLS with an orchestrator: the relay can delay and drop what is in it, and
// nothing else. A blob comes out of its [Cache], which fetches each once, however many
// ask for it, and passes it on while it arrives. Nobody has to trust that: an agent
// checks what it got by its name.
//
// The digest of a blob is the right to read it: a relay cannot see what agents are
// given, so it serves each agent of its cluster whatever that knows the name of.
package relay
