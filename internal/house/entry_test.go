package house

import (
	"go/ast"
	"strings"
	"testing"
)

// TestEntryPoints knows every place where the product listens or says what serves whom. A
// new one belongs here once there is a test of who may enter by it, which the entry names.
func TestEntryPoints(t *testing.T) {
	known := map[string]struct {
		calls int
		rule  string
	}{
		"cli/sockets.go":           {5, "pki.TestEndpoints; cli.TestPortsTellOfDenials"}, // agents (2 of TCP), HTTPS, orchestrators
		"cli/relay.go":             {2, "pki.TestEndpoints"},
		"cli/fleet.go":             {2, "closed at once: they find a free port"},
		"cli/node.go":              {1, "the unix socket: api.TestEveryRouteAndRole, as local"},
		"cli/peers.go":             {2, "port.TestAdmit; cli.TestPortsTellOfDenials"},
		"engine/api/serve.go":      {1, "the unix socket's file, which only its user may open"},
		"engine/api/handler.go":    {1, "api.TestEveryRouteAndRole"},
		"engine/gateway/quic.go":   {1, "gateway.TestDenialsAreOnRecord"},
		"nodeagent/relay/serve.go": {1, "pki.TestEndpoints"},
		"nodeagent/dial_quic.go":   {1, "an agent's own socket, which dials and accepts nothing"},
		"raft/transport.go":        {4, "port.TestForeigners, port.TestAdmit"},
	}
	found := map[string]int{}
	for _, s := range sources(t) {
		if strings.HasSuffix(s.Path, "_test.go") || within(s.Dir, "internal") || within(s.Dir, "engine/gateway/gatewaytest") {
			continue
		}
		ast.Inspect(s.File, func(n ast.Node) bool {
			if call, ok := n.(*ast.CallExpr); ok {
				if called, ok := call.Fun.(*ast.SelectorExpr); ok && opens(called.Sel.Name, len(call.Args)) {
					found[s.Path]++
				}
			}
			return true
		})
	}
	for path, calls := range found {
		if known[path].calls != calls {
			t.Errorf("%s opens %d ways in, and %d are known: say here which test tells who may enter, and who may not", path, calls, known[path].calls)
		}
	}
	for path, entry := range known {
		if found[path] == 0 {
			t.Errorf("%s opens no way in any more (%s)", path, entry.rule)
		}
	}
}

// opens reports whether a call by this name listens, or says what serves whom.
func opens(name string, args int) bool {
	switch name {
	case "Handle", "HandleFunc":
		return args == 2
	case "ListenAndServe", "ListenAndServeTLS", "ServeTLS":
		return args != 4 // that of package api takes a listener, and is counted there
	}
	return strings.HasPrefix(name, "Listen") && args > 0
}
